//! Training losses: one file each, means over the batch, smaller is better.

mod contrastive;
mod info_nce;
mod segmentation;

pub use contrastive::ContrastiveLoss;
pub use info_nce::{Pair, Pairs, info_nce, normalised, similarity};
pub use segmentation::SegmentationLoss;

pub use crate::kernels::NO_TARGET;

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

/// ln(1 + eˣ) without overflow: max(x, 0) + ln(1 + e^−|x|).
fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    relu(x.clone()) + x.abs().neg().exp().log1p()
}
