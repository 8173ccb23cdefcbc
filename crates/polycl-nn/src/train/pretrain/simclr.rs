use burn::tensor::{Device, Tensor};

use super::config::PretrainConfig;
use super::two_views::TwoViews;
use crate::loss::{Pair, Pairs, info_nce, similarity};
use crate::net::{Encoder, EncoderConfig, Projected};

/// SimCLR (Chen et al. 2020): the two views of a slice are each other's only positive, all other views of
/// the batch are negatives (NT-Xent).
pub type SimClr = Projected;

impl TwoViews for SimClr {
    fn new(encoder: &EncoderConfig, config: &PretrainConfig, device: &Device) -> Self {
        Projected::new(encoder, false, config.dropout(), device)
    }

    fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    fn step(self, views: [Tensor<4>; 2], _: &[f32], config: &PretrainConfig) -> (Self, Tensor<1>) {
        let loss = nt_xent(self.forward(Tensor::cat(views.into(), 0)), config.temperature());
        (self, loss)
    }
}

/// Embeddings [2B, C], row i and row i + B being of one slice → scalar as `[1]`.
pub fn nt_xent(embeddings: Tensor<2>, temperature: f32) -> Tensor<1> {
    let [rows, _] = embeddings.dims();
    let pair = |row: usize, column: usize| match (row == column, row % (rows / 2) == column % (rows / 2)) {
        (true, _) => Pair::Ignored,
        (false, true) => Pair::Positive,
        (false, false) => Pair::Negative,
    };
    info_nce(similarity(embeddings.clone(), embeddings, temperature), Pairs::new(rows, rows, pair))
}
