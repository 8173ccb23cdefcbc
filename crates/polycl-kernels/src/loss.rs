//! The loss of one organ: soft Dice of sigmoid probabilities, with or without cross-entropy.

use rayon::prelude::*;

use crate::Over;

/// Added to both sides of the fraction.
const SMOOTH: f64 = 1.0;

/// Σpt, Σp, Σt, Σ ln-loss and the number of one image's pixels that have a target.
type Sums = [f64; 5];

/// The target of a pixel of which nobody knows what it is; any below 0 is one. Such pixels are in no sum and no mean,
/// and have no slope.
pub const NO_TARGET: f32 = -1.0;

/// Which soft Dice, and how much cross-entropy beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiceLoss {
    /// The images of a fraction: each by itself, or all of a batch, of which those without the organ then have a
    /// slope as well.
    pub over: Over,
    /// Multiplies the mean binary cross-entropy of all pixels.
    pub entropy: f32,
}

impl DiceLoss {
    /// Σpt and Σp + Σt of each image's fraction; over a batch its images' weighted sums.
    fn fractions(self, sums: &[Sums], weights: &[f32]) -> Vec<[f64; 2]> {
        let own = |&[overlap, p, t, ..]: &Sums| [overlap, p + t];
        if self.over == Over::Image {
            return sums.iter().map(own).collect();
        }
        let size = sums.len() / self.over.groups(sums.len());
        let groups = sums.chunks(size).zip(weights.chunks(size));
        let of_group = |(sums, weights): (&[Sums], &[f32])| {
            let weighted = |part: usize| -> f64 {
                sums.iter().zip(weights).map(|(sums, &weight)| f64::from(weight) * own(sums)[part]).sum()
            };
            vec![[weighted(0), weighted(1)]; sums.len()]
        };
        groups.flat_map(of_group).collect()
    }
}

/// The mean of 1 − (2 Σpt + 1) / (Σp + Σt + 1), where p is the sigmoid of `logits`, over images, each times its
/// weight, or over batches, in whose sums each image has its weight; plus `entropy` times the mean binary
/// cross-entropy of the pixels, each image times its weight. Weights of 1 change no bit. Pixels of [`NO_TARGET`] are
/// left out.
pub fn soft_dice(logits: &[f32], target: &[f32], weights: &[f32], loss: DiceLoss) -> f32 {
    let images = weights.len();
    let sums = sums(logits, target, images, loss.entropy);
    let weighted = |cost: &dyn Fn(usize) -> f64| -> f64 {
        weights.iter().enumerate().map(|(image, &weight)| f64::from(weight) * cost(image)).sum()
    };
    let fractions = loss.fractions(&sums, weights);
    let dice = |image: usize| {
        let [overlap, total] = fractions[image];
        1.0 - (2.0 * overlap + SMOOTH) / (total + SMOOTH)
    };
    let count = loss.over.groups(images);
    let dice = match loss.over {
        Over::Image => weighted(&dice),
        Over::Batches(_) => (0..images).step_by(images / count).map(dice).sum(),
    };
    let logs = weighted(&|image| sums[image][3]);
    (dice / count as f64 + f64::from(loss.entropy) * logs / pixels_with_target(&sums)) as f32
}

/// The gradient of [`soft_dice`] by the logits, times `upstream`.
pub fn soft_dice_backward(
    logits: &[f32],
    target: &[f32],
    weights: &[f32],
    loss: DiceLoss,
    upstream: f32,
) -> Vec<f32> {
    let images = weights.len();
    let (pixels, sums) = (logits.len() / images, sums(logits, target, images, loss.entropy));
    let fractions = loss.fractions(&sums, weights);
    let (known, count) = (pixels_with_target(&sums), loss.over.groups(images));
    let mut gradient = vec![0.0; logits.len()];
    let both = logits.par_chunks_exact(pixels).zip(target.par_chunks_exact(pixels));
    gradient.par_chunks_exact_mut(pixels).zip(both).zip(fractions.par_iter().zip(weights)).for_each(
        |((to, (logits, target)), (&[overlap, total], &weight))| {
            let upstream = f64::from(upstream) * f64::from(weight);
            let entropy = (upstream * f64::from(loss.entropy) / known) as f32;
            let total = total + SMOOTH;
            // d/dp of −(2 Σpt + 1) / total is constant but for t.
            let share = upstream / count as f64;
            let (by_truth, by_any) =
                ((-2.0 * share / total) as f32, (share * (2.0 * overlap + SMOOTH) / (total * total)) as f32);
            for ((to, &logit), &t) in to.iter_mut().zip(logits).zip(target).filter(|(_, t)| **t >= 0.0) {
                let p = sigmoid(logit);
                *to = (by_truth * t + by_any) * p * (1.0 - p) + entropy * (p - t);
            }
        },
    );
    gradient
}

/// Of all images, and 1 where there is none.
fn pixels_with_target(sums: &[Sums]) -> f64 {
    sums.iter().map(|sums| sums[4]).sum::<f64>().max(1.0)
}

fn sums(logits: &[f32], target: &[f32], images: usize, entropy: f32) -> Vec<Sums> {
    assert!(images > 0 && logits.len() == target.len() && logits.len().is_multiple_of(images));
    let pixels = logits.len() / images;
    let both = logits.par_chunks_exact(pixels).zip(target.par_chunks_exact(pixels));
    both.map(|(logits, target)| {
        let mut sums = [0.0; 5];
        // Rows of float32 keep the rounding small and the loop fast.
        for (logits, target) in logits.chunks(256).zip(target.chunks(256)) {
            let mut row = [0f32; 5];
            for (&logit, &t) in logits.iter().zip(target).filter(|(_, t)| **t >= 0.0) {
                let p = sigmoid(logit);
                row[0] += p * t;
                row[1] += p;
                row[2] += t;
                row[4] += 1.0;
                if entropy != 0.0 {
                    row[3] += logit.max(0.0) - logit * t + (-logit.abs()).exp().ln_1p();
                }
            }
            sums.iter_mut().zip(row).for_each(|(sum, row)| *sum += f64::from(row));
        }
        sums
    })
    .collect()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
