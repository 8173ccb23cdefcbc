use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::config::PretrainConfig;
use super::two_views::TwoViews;
use crate::loss::{Pair, Pairs, info_nce, similarity};
use crate::net::{Encoder, EncoderConfig, Projected};

/// Positional contrastive learning (Zeng et al. 2021): views of slices at a similar relative height are
/// positives, whichever scans they are from; all others are negatives.
#[derive(Module, Debug)]
pub struct Positional {
    pub encoder: Encoder,
    pub projection: crate::net::Mlp,
}

impl TwoViews for Positional {
    fn new(encoder: &EncoderConfig, config: &PretrainConfig, device: &Device) -> Self {
        let Projected { encoder, projection } = Projected::new(encoder, false, config.dropout(), device);
        Self { encoder, projection }
    }

    fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    fn step(self, views: [Tensor<4>; 2], positions: &[f32], config: &PretrainConfig) -> (Self, Tensor<1>) {
        let pooled = self.encoder.pooled(Tensor::cat(views.into(), 0), 1);
        let embeddings = self.projection.forward(pooled);
        let threshold = config.positional.unwrap_or_default().threshold;
        let loss = positional(embeddings, positions, threshold, config.temperature());
        (self, loss)
    }
}

/// Embeddings [2B, C], row i and row i + B being of the slice at `positions[i]` → scalar as `[1]`.
pub fn positional(embeddings: Tensor<2>, positions: &[f32], threshold: f32, temperature: f32) -> Tensor<1> {
    let rows = 2 * positions.len();
    let near = |row: usize, column: usize| {
        let [a, b] = [row, column].map(|view| view % positions.len());
        a == b || (positions[a] - positions[b]).abs() < threshold
    };
    let pair = |row: usize, column: usize| match (row == column, near(row, column)) {
        (true, _) => Pair::Ignored,
        (false, true) => Pair::Positive,
        (false, false) => Pair::Negative,
    };
    info_nce(similarity(embeddings.clone(), embeddings, temperature), Pairs::new(rows, rows, pair))
}
