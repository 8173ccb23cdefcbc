use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use serde::{Deserialize, Serialize};

use super::softplus;
use crate::kernels;
use crate::net::probabilities;

/// What fine-tuning minimises. A training loss, never a result: results come from `evaluate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SegmentationLoss {
    /// The paper's.
    #[serde(rename = "dice")]
    Dice,
    /// nnU-Net's, and the default: on slices without the organ Dice alone hardly has a slope.
    #[default]
    #[serde(rename = "dice+ce")]
    DiceCrossEntropy,
}

/// Added to both sides of the fraction, so that an empty slice predicted empty costs nothing.
const SMOOTH: f32 = 1.0;

impl SegmentationLoss {
    /// `logits` and one-hot `target` are [B, C, H, W]; C = 1 is one organ (sigmoid), otherwise
    /// channel 0 is background (softmax). Returns a scalar as `[1]`.
    pub fn forward(self, logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        if logits.dims()[1] == 1 && kernels::serves(&logits) {
            let entropy = if self == Self::Dice { 0.0 } else { 1.0 };
            return kernels::soft_dice(logits, target, entropy);
        }
        let dice = soft_dice(probabilities(logits.clone()), target.clone());
        match self {
            Self::Dice => dice,
            Self::DiceCrossEntropy => dice + cross_entropy(logits, target),
        }
    }
}

/// 1 − (2 Σpt + 1) / (Σp + Σt + 1), summed over each slice and organ, then averaged over both;
/// background takes no part.
fn soft_dice(probabilities: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    let [_, channels, ..] = target.dims();
    let foreground = |x: Tensor<4>| if channels == 1 { x } else { x.narrow(1, 1, channels - 1) };
    let (p, t) = (foreground(probabilities), foreground(target));
    let sum = |x: Tensor<4>| x.sum_dim(3).sum_dim(2);
    let overlap = sum(p.clone() * t.clone()) * 2.0 + SMOOTH;
    let total = sum(p) + sum(t) + SMOOTH;
    (overlap / total).mean().neg() + 1.0
}

/// Mean over all pixels of −ln p(truth); with one channel of its two-class form on the logit.
fn cross_entropy(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    if logits.dims()[1] == 1 {
        return (softplus(logits.clone()) - logits * target).mean();
    }
    (log_softmax(logits, 1) * target).sum_dim(1).mean().neg()
}
