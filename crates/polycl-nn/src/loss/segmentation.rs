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
    /// channel 0 is background (softmax). `weights`, one an image, say how much it counts: the loss is
    /// the mean over images of weight times loss, so that weights of 1 change no bit and weights with
    /// a mean of 1 over all images keep the scale of the gradients, whatever the batches. Returns a
    /// scalar as `[1]`.
    pub fn forward(self, logits: Tensor<4>, target: Tensor<4>, weights: Tensor<1>) -> Tensor<1> {
        if logits.dims()[1] == 1 && kernels::serves(&logits) {
            let entropy = if self == Self::Dice { 0.0 } else { 1.0 };
            return kernels::soft_dice(logits, target, weights, entropy);
        }
        let weights = weights.reshape([-1, 1, 1, 1]);
        let dice = soft_dice(probabilities(logits.clone()), target.clone(), weights.clone());
        match self {
            Self::Dice => dice,
            Self::DiceCrossEntropy => dice + cross_entropy(logits, target, weights),
        }
    }
}

/// 1 − (2 Σpt + 1) / (Σp + Σt + 1), summed over each slice and organ, weighted, then averaged over
/// both; background takes no part. Weights are [B, 1, 1, 1].
fn soft_dice(probabilities: Tensor<4>, target: Tensor<4>, weights: Tensor<4>) -> Tensor<1> {
    let [_, channels, ..] = target.dims();
    let foreground = |x: Tensor<4>| if channels == 1 { x } else { x.narrow(1, 1, channels - 1) };
    let (p, t) = (foreground(probabilities), foreground(target));
    let sum = |x: Tensor<4>| x.sum_dim(3).sum_dim(2);
    let overlap = sum(p.clone() * t.clone()) * 2.0 + SMOOTH;
    let total = sum(p) + sum(t) + SMOOTH;
    (overlap / total * weights.clone()).mean().neg() + weights.mean()
}

/// Mean over all pixels of −ln p(truth), weighted; with one channel of its two-class form on the logit.
fn cross_entropy(logits: Tensor<4>, target: Tensor<4>, weights: Tensor<4>) -> Tensor<1> {
    if logits.dims()[1] == 1 {
        return ((softplus(logits.clone()) - logits * target) * weights).mean();
    }
    ((log_softmax(logits, 1) * target).sum_dim(1) * weights).mean().neg()
}
