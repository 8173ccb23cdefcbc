//! SAM's mask decoder: four masks for every prompt, and how good it thinks they are.

use burn::tensor::Tensor;
use polycl_base::Result;

use super::layers::{LayerNorm, Mlp, Upscale};
use super::transformer::{TwoWayConfig, TwoWayTransformer};
use crate::kernels::transformer::{Activation, activate, linear};
use crate::weights::Weights;

/// Masks of a prompt: one for what it means as a whole, three for where it is ambiguous (whole, part,
/// part of a part).
pub const MASKS: usize = 4;

#[derive(Debug, Clone)]
pub struct MaskDecoder {
    transformer: TwoWayTransformer,
    /// Tokens of its own, [1, N, dim]: the object score's where there is one, the IoU's, the masks'.
    tokens: Tensor<3>,
    upscale: [Upscale; 2],
    norm: LayerNorm,
    hypernetworks: Vec<Mlp>,
    iou: Mlp,
    /// SAM 2 tells whether the object is there at all.
    object_score: Option<Mlp>,
    dim: usize,
    side: usize,
}

/// The decoder's answer to each prompt.
#[derive(Debug, Clone)]
pub struct Masks {
    /// [B, masks, 4 side, 4 side]
    pub logits: Tensor<4>,
    /// Predicted intersection over union with the truth, [B, masks].
    pub iou: Tensor<2>,
}

/// All that the decoder says of each prompt: the mask of the prompt as a whole, then the three others.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// [B, 4, 4 side, 4 side]
    pub logits: Tensor<4>,
    /// [B, 4], before any sigmoid
    pub iou: Tensor<2>,
    /// Tokens of the masks as the transformer leaves them, [B, 4, dim].
    pub tokens: Tensor<3>,
    /// [B, 1], above zero where the object is there.
    pub object_score: Option<Tensor<2>>,
}

impl MaskDecoder {
    /// `places` is the positional encoding of the embedding's pixels, [1, side², dim].
    pub fn load(weights: &mut Weights, name: &str, config: TwoWayConfig, places: &Tensor<3>) -> Result<Self> {
        let (dim, side) = (config.dim, places.dims()[1].isqrt());
        let scored = weights.shape(&format!("{name}.obj_score_token.weight")).is_some();
        // The IoU's head may be wider than the rest.
        let hidden = weights.shape(&format!("{name}.iou_prediction_head.layers.0.weight"));
        let hidden = hidden.and_then(|sides| sides.first().copied()).filter(|&n| n > 0).unwrap_or(dim);
        let mut token = |part: &str, count| weights.values(&format!("{name}.{part}.weight"), &[count, dim]);
        let score = if scored { token("obj_score_token", 1)? } else { Vec::new() };
        let tokens = [score, token("iou_token", 1)?, token("mask_tokens", MASKS)?].concat();
        let count = tokens.len() / dim;
        let mut mlp = |part: &str, sides: &[usize]| Mlp::load(weights, &format!("{name}.{part}"), sides);
        let hypernetwork =
            |i: usize| mlp(&format!("output_hypernetworks_mlps.{i}"), &[dim, dim, dim, dim / 8]);
        let hypernetworks = (0..MASKS).map(hypernetwork).collect::<Result<_>>()?;
        let iou = mlp("iou_prediction_head", &[dim, hidden, hidden, MASKS])?;
        let object_score = scored.then(|| mlp("pred_obj_score_head", &[dim, dim, dim, 1])).transpose()?;
        let upscaling = format!("{name}.output_upscaling");
        Ok(Self {
            transformer: TwoWayTransformer::load(weights, &format!("{name}.transformer"), config, places)?,
            tokens: weights.upload(tokens, [1, count, dim]),
            upscale: [
                Upscale::load(weights, &format!("{upscaling}.0"), dim, dim / 4)?,
                Upscale::load(weights, &format!("{upscaling}.3"), dim / 4, dim / 8)?,
            ],
            norm: LayerNorm::load(weights, &format!("{upscaling}.1"), dim / 4, 1e-6)?,
            hypernetworks,
            iou,
            object_score,
            dim,
            side,
        })
    }

    /// Masks of prompts on an image: pixels [1 or B, side², dim] with what the prompts add to them,
    /// and the prompts' tokens [B, N, dim]. One mask each, or the three others where `multimask`.
    pub fn forward(&self, pixels: Tensor<3>, prompts: Tensor<3>, multimask: bool) -> Masks {
        let Decoded { logits, iou, .. } = self.decode(pixels, prompts, None);
        let wanted = if multimask { 1..MASKS } else { 0..1 };
        let iou = iou.narrow(1, wanted.start, wanted.len());
        Masks { logits: logits.narrow(1, wanted.start, wanted.len()), iou }
    }

    /// [`Self::forward`] with all masks; `fine` is added while the map grows, [B, 2 side, 2 side, dim / 4]
    /// and [B, 4 side, 4 side, dim / 8].
    pub fn decode(&self, pixels: Tensor<3>, prompts: Tensor<3>, fine: Option<[Tensor<4>; 2]>) -> Decoded {
        let [batch, _, dim] = prompts.dims();
        let own = self.tokens.dims()[1];
        let tokens = self.tokens.clone().expand([batch, own, dim]);
        let (tokens, pixels) = self.transformer.forward(pixels, Tensor::cat(vec![tokens, prompts], 1));
        let map = self.grow(pixels.reshape([batch, self.side, self.side, self.dim]), fine);
        let token = |i: usize| tokens.clone().narrow(1, i, 1).squeeze_dim::<2>(1);
        let first = own - MASKS;
        let weights =
            (0..MASKS).map(|i| self.hypernetworks[i].forward(token(first + i)).unsqueeze_dim::<3>(1));
        Decoded {
            logits: products(map, Tensor::cat(weights.collect(), 1)),
            iou: self.iou.forward(token(first - 1)),
            object_score: self.object_score.as_ref().map(|head| head.forward(token(0))),
            tokens: tokens.narrow(1, first, MASKS),
        }
    }

    /// Four times as fine: [B, 4 side, 4 side, dim / 8].
    fn grow(&self, map: Tensor<4>, fine: Option<[Tensor<4>; 2]>) -> Tensor<4> {
        let [coarser, finer] = fine.map_or([None, None], |fine| fine.map(Some));
        let map = self.upscale[0].forward(map, Activation::None);
        let map = coarser.map_or(map.clone(), |coarser| map + coarser);
        let map = activate(self.norm.forward(map), Activation::Gelu);
        match finer {
            Some(finer) => activate(self.upscale[1].forward(map, Activation::None) + finer, Activation::Gelu),
            None => self.upscale[1].forward(map, Activation::Gelu),
        }
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
