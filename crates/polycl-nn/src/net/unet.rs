use burn::module::Module;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::tensor::{Device, Tensor};

use super::block::ConvBlock;

/// The contracting path of the U-Net: five blocks with 2×2 max-pool between them.
#[derive(Module, Debug)]
pub struct UNetEncoder {
    blocks: Vec<ConvBlock>,
    pool: MaxPool2d,
}

impl UNetEncoder {
    pub fn new(widths: &[usize; 5], device: &Device) -> Self {
        let inputs = [1, widths[0], widths[1], widths[2], widths[3]];
        let blocks = inputs.iter().zip(widths).map(|(&i, &o)| ConvBlock::new(i, o, device)).collect();
        Self { blocks, pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init() }
    }

    /// [B, 1, H, W] → five maps; map `i` is `[B, widths[i], H / 2^i, W / 2^i]`.
    pub fn features(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        let mut maps: Vec<Tensor<4>> = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let input = maps.last().map_or_else(|| x.clone(), |map| self.pool.forward(map.clone()));
            maps.push(block.forward(input));
        }
        maps
    }

    /// What the projection sees: max-pool, then global average: `[B, 1, H, W]` → `[B, widths[4]]`.
    pub fn pooled(&self, x: Tensor<4>) -> Tensor<2> {
        let deepest = self.features(x).pop().expect("there are five blocks");
        global_average(self.pool.forward(deepest))
    }

    pub(super) fn without_dropout(mut self) -> Self {
        self.blocks = self.blocks.into_iter().map(ConvBlock::without_dropout).collect();
        self
    }
}

/// [B, C, H, W] → [B, C]
pub fn global_average(x: Tensor<4>) -> Tensor<2> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h * w]).mean_dim(2).reshape([b, c])
}
