//! SAM's mask decoder: four masks for every prompt, and how good it thinks they are.

use burn::tensor::Tensor;
use polycl_volume::Result;

use super::layers::{LayerNorm, Mlp, Upscale};
use super::transformer::{TwoWayConfig, TwoWayTransformer};
use crate::kernels::transformer::{Activation, activate, linear};
use crate::weights::Weights;

/// Masks of a prompt: one for what it means as a whole, three for where it is ambiguous (whole, part,
/// part of a part).
const MASKS: usize = 4;

#[derive(Debug, Clone)]
pub struct MaskDecoder {
    transformer: TwoWayTransformer,
    /// The IoU's token and the masks', [1, 1 + MASKS, dim].
    tokens: Tensor<3>,
    upscale: [Upscale; 2],
    norm: LayerNorm,
    hypernetworks: Vec<Mlp>,
    iou: Mlp,
    dim: usize,
    side: usize,
}

/// What the decoder says of each prompt.
#[derive(Debug, Clone)]
pub struct Masks {
    /// [B, masks, 4 side, 4 side]
    pub logits: Tensor<4>,
    /// Predicted intersection over union with the truth, [B, masks].
    pub iou: Tensor<2>,
}

impl MaskDecoder {
    /// `places` is the positional encoding of the embedding's pixels, [1, side², dim].
    pub fn load(weights: &mut Weights, name: &str, config: TwoWayConfig, places: &Tensor<3>) -> Result<Self> {
        let (dim, side) = (config.dim, places.dims()[1].isqrt());
        let iou_token = weights.values(&format!("{name}.iou_token.weight"), &[1, dim])?;
        let mask_tokens = weights.values(&format!("{name}.mask_tokens.weight"), &[MASKS, dim])?;
        let tokens = weights.upload([iou_token, mask_tokens].concat(), [1, 1 + MASKS, dim]);
        let hypernetwork = |i: usize| {
            let name = format!("{name}.output_hypernetworks_mlps.{i}");
            Mlp::load(weights, &name, &[dim, dim, dim, dim / 8])
        };
        let hypernetworks = (0..MASKS).map(hypernetwork).collect::<Result<_>>()?;
        let upscaling = format!("{name}.output_upscaling");
        Ok(Self {
            transformer: TwoWayTransformer::load(weights, &format!("{name}.transformer"), config, places)?,
            tokens,
            upscale: [
                Upscale::load(weights, &format!("{upscaling}.0"), dim, dim / 4)?,
                Upscale::load(weights, &format!("{upscaling}.3"), dim / 4, dim / 8)?,
            ],
            norm: LayerNorm::load(weights, &format!("{upscaling}.1"), dim / 4, 1e-6)?,
            hypernetworks,
            iou: Mlp::load(weights, &format!("{name}.iou_prediction_head"), &[dim, dim, dim, MASKS])?,
            dim,
            side,
        })
    }

    /// Masks of prompts on an image: pixels [1 or B, side², dim] with what the prompts add to them,
    /// and the prompts' tokens [B, N, dim]. One mask each, or the three others where `multimask`.
    pub fn forward(&self, pixels: Tensor<3>, prompts: Tensor<3>, multimask: bool) -> Masks {
        let [batch, _, dim] = prompts.dims();
        let own = self.tokens.clone().expand([batch, 1 + MASKS, dim]);
        let (tokens, pixels) = self.transformer.forward(pixels, Tensor::cat(vec![own, prompts], 1));
        let map = pixels.reshape([batch, self.side, self.side, self.dim]);
        let map =
            activate(self.norm.forward(self.upscale[0].forward(map, Activation::None)), Activation::Gelu);
        let map = self.upscale[1].forward(map, Activation::Gelu); // [B, 4 side, 4 side, dim / 8]
        let wanted = if multimask { 1..MASKS } else { 0..1 };
        let weights = wanted.clone().map(|i| {
            let token: Tensor<2> = tokens.clone().narrow(1, 1 + i, 1).squeeze_dim(1);
            self.hypernetworks[i].forward(token).unsqueeze_dim::<3>(1)
        });
        let weights = Tensor::cat(weights.collect(), 1); // [B, masks, dim / 8]
        let iou: Tensor<2> = self.iou.forward(tokens.narrow(1, 0, 1).squeeze_dim::<2>(1));
        Masks { logits: products(map, weights), iou: iou.narrow(1, wanted.start, wanted.len()) }
    }
}

/// The product of every pixel [B, H, W, C] with each mask's weights [B, masks, C] → [B, masks, H, W].
fn products(map: Tensor<4>, weights: Tensor<3>) -> Tensor<4> {
    let ([batch, ..], [_, masks, c]) = (map.dims(), weights.dims());
    let each = |b: usize| {
        let weight = weights.clone().narrow(0, b, 1).reshape([masks, c]);
        linear(map.clone().narrow(0, b, 1), &weight, None, None, Activation::None)
    };
    let logits = Tensor::cat((0..batch).map(each).collect(), 0);
    logits.permute([0, 3, 1, 2])
}
