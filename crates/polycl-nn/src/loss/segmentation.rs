use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, relu};
use serde::{Deserialize, Serialize};

use super::softplus;
use crate::kernels::{self, DiceLoss, Over};
use crate::net::probabilities;

/// The loss that fine-tuning minimises. It is never a result: results come from `evaluate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SegmentationLoss {
    /// The paper's, slice by slice: on slices without the organ it hardly has a slope.
    #[serde(rename = "dice")]
    Dice,
    /// The same and cross-entropy.
    #[serde(rename = "dice+ce")]
    DiceCrossEntropy,
    /// nnU-Net's, and the default: Dice over all slices of a batch together, and cross-entropy.
    #[default]
    #[serde(rename = "batch-dice+ce")]
    BatchDiceCrossEntropy,
}

/// Added to both sides of the fraction, so that nothing predicted where nothing is costs nothing.
const SMOOTH: f32 = 1.0;

impl SegmentationLoss {
    /// `logits` and one-hot `target` are [B, C, H, W]; C = 1 is one organ (sigmoid), otherwise
    /// channel 0 is background (softmax). `weights`, one an image, say how much it counts: slice by slice
    /// the loss is the mean over images of weight times loss; over a batch each image has its weight in the
    /// sums. Weights of 1 change no bit. Pixels of which every target is [`super::NO_TARGET`] are left out, as nnU-Net
    /// leaves out what is not annotated. Returns a scalar as `[1]`.
    pub fn forward(self, logits: Tensor<4>, target: Tensor<4>, weights: Tensor<1>) -> Tensor<1> {
        let loss = self.parts();
        if logits.dims()[1] == 1 && kernels::serves(&logits) {
            return kernels::soft_dice(logits, target, weights, loss);
        }
        let weights = weights.reshape([-1, 1, 1, 1]);
        let known = target.clone().narrow(1, 0, 1).greater_equal_elem(0.0).float();
        let target = relu(target);
        let p = probabilities(logits.clone()) * known.clone();
        let dice = soft_dice(p, target.clone(), weights.clone(), loss.over);
        if loss.entropy == 0.0 {
            return dice;
        }
        dice + cross_entropy(logits, target, weights, known).mul_scalar(loss.entropy)
    }

    /// The loss of regions that may overlap, a channel each: the mean of [`Self::forward`] of each as of one organ. It is
    /// nnU-Net's `DC_and_BCE_loss`, but for the cross-entropy beside `ignore`, which that adds up over the regions.
    pub fn of_regions(self, logits: Tensor<4>, target: Tensor<4>, weights: Tensor<1>) -> Tensor<1> {
        let regions = logits.dims()[1];
        let channel = |x: &Tensor<4>, region| x.clone().narrow(1, region, 1);
        let each = (0..regions)
            .map(|region| self.forward(channel(&logits, region), channel(&target, region), weights.clone()));
        Tensor::cat(each.collect(), 0).mean()
    }

    /// The set that its Dice is taken over, and its share of cross-entropy.
    pub fn parts(self) -> DiceLoss {
        match self {
            Self::Dice => DiceLoss { over: Over::Image, entropy: 0.0 },
            Self::DiceCrossEntropy => DiceLoss { over: Over::Image, entropy: 1.0 },
            Self::BatchDiceCrossEntropy => DiceLoss { over: Over::Batches(1), entropy: 1.0 },
        }
    }
}

/// 1 − (2 Σpt + 1) / (Σp + Σt + 1) of each organ, background left out. Over images it is weighted and averaged
/// over them; over a batch the sums are weighted. Weights are [B, 1, 1, 1].
fn soft_dice(probabilities: Tensor<4>, target: Tensor<4>, weights: Tensor<4>, over: Over) -> Tensor<1> {
    let [_, channels, ..] = target.dims();
    let foreground = |x: Tensor<4>| if channels == 1 { x } else { x.narrow(1, 1, channels - 1) };
    let (p, t) = (foreground(probabilities), foreground(target));
    let sum = |x: Tensor<4>| x.sum_dim(3).sum_dim(2);
    let (overlap, total) = (sum(p.clone() * t.clone()) * 2.0, sum(p) + sum(t));
    if over == Over::Image {
        let fraction = (overlap + SMOOTH) / (total + SMOOTH);
        return (fraction * weights.clone()).mean().neg() + weights.mean();
    }
    let all = |x: Tensor<4>| (x * weights.clone()).sum_dim(0) + SMOOTH;
    (all(overlap) / all(total)).mean().neg() + 1.0
}

/// Mean over all pixels that are `known`, 1 or 0, of −ln p(truth), weighted; with one channel of its two-class form on
/// the logit.
fn cross_entropy(logits: Tensor<4>, target: Tensor<4>, weights: Tensor<4>, known: Tensor<4>) -> Tensor<1> {
    let mean = if logits.dims()[1] == 1 {
        ((softplus(logits.clone()) - logits * target) * known.clone() * weights).mean()
    } else {
        ((log_softmax(logits, 1) * target).sum_dim(1) * weights).mean().neg()
    };
    let all = known.ones_like().sum();
    // Where all are known, the factor is 1 to the bit.
    mean * (all / known.sum().clamp_min(1.0))
}
