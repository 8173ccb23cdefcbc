//! SAM's image encoder: a plain ViT whose blocks attend within windows, but for a few that see the
//! whole image (Li et al. 2022, "Exploring plain vision transformer backbones").

use burn::tensor::Tensor;
use polycl_base::Result;

use super::layers::{Conv2d, LayerNorm, Linear, Neck};
use crate::kernels::Conv;
use crate::kernels::transformer::{Activation, Heads, Places, window_attention};
use crate::weights::Weights;

/// The shape of SAM's ViT.
#[derive(Debug, Clone, PartialEq)]
pub struct VitConfig {
    pub patch: usize,
    /// Patches along a side of the image.
    pub side: usize,
    pub dim: usize,
    pub depth: usize,
    pub heads: usize,
    pub window: usize,
    /// Blocks that attend to the whole image.
    pub global: &'static [usize],
    /// Channels of the embedding.
    pub outputs: usize,
}

#[derive(Debug, Clone)]
pub struct Vit {
    patch_embed: Conv2d,
    /// [1, side, side, dim]
    pos_embed: Tensor<4>,
    blocks: Vec<Block>,
    neck: Neck,
}

impl Vit {
    pub fn load(weights: &mut Weights, name: &str, config: &VitConfig) -> Result<Self> {
        let VitConfig { patch, side, dim, .. } = *config;
        let conv = Conv { kernel: patch, stride: patch, padding: 0 };
        let block = |i: usize| {
            let window = if config.global.contains(&i) { side } else { config.window };
            Block::load(weights, &format!("{name}.blocks.{i}"), dim, config.heads, window)
        };
        let blocks = (0..config.depth).map(block).collect::<Result<_>>()?;
        Ok(Self {
            patch_embed: Conv2d::load(weights, &format!("{name}.patch_embed.proj"), [3, dim], conv, true)?,
            pos_embed: weights.tensor(&format!("{name}.pos_embed"), [1, side, side, dim])?,
            blocks,
            neck: Neck::load(weights, &format!("{name}.neck"), dim, config.outputs)?,
        })
    }

    /// [B, H, W, 3] → embedding [B, H', W', outputs]; `stage` sees what each part leaves.
    pub fn forward(&self, image: Tensor<4>, stage: &mut dyn FnMut(&str, &Tensor<4>)) -> Tensor<4> {
        let mut x = self.patch_embed.forward(image) + self.pos_embed.clone();
        stage("patch_embed", &x);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x);
            stage(&format!("blocks.{i}"), &x);
        }
        self.neck.forward(x)
    }
}

#[derive(Debug, Clone)]
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    places: Places,
    /// Query, key and value of the zeros that windows are padded with, after the norm.
    outside: Tensor<1>,
    heads: Heads,
    window: usize,
    norm2: LayerNorm,
    lin1: Linear,
    lin2: Linear,
}

impl Block {
    fn load(weights: &mut Weights, name: &str, dim: usize, heads: usize, window: usize) -> Result<Self> {
        let heads = Heads::new(heads, dim);
        let qkv = Linear::load(weights, &format!("{name}.attn.qkv"), dim, 3 * dim)?;
        let outside = qkv.forward(weights.upload(vec![0.0; dim], [1, dim])).reshape([3 * dim]);
        let mut table =
            |axis: &str| weights.tensor(&format!("{name}.attn.rel_pos_{axis}"), [2 * window - 1, heads.dim]);
        let places = Places::Relative([table("h")?, table("w")?]);
        Ok(Self {
            norm1: LayerNorm::load(weights, &format!("{name}.norm1"), dim, 1e-6)?,
            qkv,
            proj: Linear::load(weights, &format!("{name}.attn.proj"), dim, dim)?,
            places,
            outside,
            heads,
            window,
            norm2: LayerNorm::load(weights, &format!("{name}.norm2"), dim, 1e-6)?,
            lin1: Linear::load(weights, &format!("{name}.mlp.lin1"), dim, 4 * dim)?,
            lin2: Linear::load(weights, &format!("{name}.mlp.lin2"), 4 * dim, dim)?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let qkv = self.qkv.forward(self.norm1.forward(x.clone()));
        let y = window_attention(qkv, None, &self.outside, &self.places, self.heads, self.window);
        let x = self.proj.added(y, x, Activation::None);
        let y = self.lin1.activated(self.norm2.forward(x.clone()), Activation::Gelu);
        self.lin2.added(y, x, Activation::None)
    }
}
