use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::block::ConvBlock;
use super::map::Map;

/// The contracting path of the U-Net: five blocks with 2×2 max-pool between them.
#[derive(Module, Debug)]
pub struct UNetEncoder {
    blocks: Vec<ConvBlock>,
}

impl UNetEncoder {
    pub fn new(inputs: usize, widths: &[usize; 5], device: &Device) -> Self {
        let inputs = [inputs, widths[0], widths[1], widths[2], widths[3]];
        let blocks = inputs.iter().zip(widths).map(|(&i, &o)| ConvBlock::new(i, o, device)).collect();
        Self { blocks }
    }

    /// [B, inputs, H, W] → five maps; map `i` is `[B, widths[i], H / 2^i, W / 2^i]`.
    pub fn features(&self, x: Tensor<4>) -> Vec<Map> {
        let mut maps: Vec<Map> = Vec::with_capacity(self.blocks.len());
        let mut input = Map::from_nchw(x);
        for block in &self.blocks {
            let map = block.forward(&[&input]);
            input = halved(&map);
            maps.push(map);
        }
        maps
    }

    /// Input of the projection: max-pool, then global average: `[B, inputs, H, W]` → `[B, widths[4]]`.
    pub fn pooled(&self, x: Tensor<4>) -> Tensor<2> {
        let deepest = self.features(x).pop().expect("there are five blocks");
        global_average(&halved(&deepest))
    }

    pub(super) fn with_dropout(mut self, probability: f64) -> Self {
        self.blocks = self.blocks.into_iter().map(|block| block.with_dropout(probability)).collect();
        self
    }
}

fn halved(map: &Map) -> Map {
    map.max_pool(2, 2, 0)
}

/// [B, C, H, W] → [B, C]
pub fn global_average(map: &Map) -> Tensor<2> {
    let x = map.read();
    let [b, h, w, c] = x.dims();
    x.reshape([b, h * w, c]).mean_dim(1).reshape([b, c])
}
