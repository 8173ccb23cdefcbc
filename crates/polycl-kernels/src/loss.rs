//! The loss of one organ: soft Dice of sigmoid probabilities, with or without cross-entropy.

use rayon::prelude::*;

/// Added to both sides of the fraction.
const SMOOTH: f64 = 1.0;

/// Σpt, Σp, Σt and Σ ln-loss of one image.
type Sums = [f64; 4];

/// Mean over images of 1 − (2 Σpt + 1) / (Σp + Σt + 1), where p is the sigmoid of `logits`, plus
/// `entropy` times the mean binary cross-entropy of all pixels.
pub fn soft_dice(logits: &[f32], target: &[f32], images: usize, entropy: f32) -> f32 {
    let sums = sums(logits, target, images, entropy);
    let dice: f64 =
        sums.iter().map(|[overlap, p, t, _]| 1.0 - (2.0 * overlap + SMOOTH) / (p + t + SMOOTH)).sum();
    let logs: f64 = sums.iter().map(|sums| sums[3]).sum();
    (dice / images as f64 + f64::from(entropy) * logs / logits.len() as f64) as f32
}

/// The gradient of [`soft_dice`] by the logits, times `upstream`.
pub fn soft_dice_backward(
    logits: &[f32],
    target: &[f32],
    images: usize,
    entropy: f32,
    upstream: f32,
) -> Vec<f32> {
    let (pixels, sums) = (logits.len() / images, sums(logits, target, images, entropy));
    let upstream = f64::from(upstream);
    let entropy = (upstream * f64::from(entropy) / logits.len() as f64) as f32;
    let mut gradient = vec![0.0; logits.len()];
    let both = logits.par_chunks_exact(pixels).zip(target.par_chunks_exact(pixels));
    gradient.par_chunks_exact_mut(pixels).zip(both).zip(&sums).for_each(|((to, (logits, target)), sums)| {
        let [overlap, p, t, _] = sums;
        let total = p + t + SMOOTH;
        // d/dp of −(2 Σpt + 1) / total is constant but for t.
        let share = upstream / images as f64;
        let (by_truth, by_any) =
            ((-2.0 * share / total) as f32, (share * (2.0 * overlap + SMOOTH) / (total * total)) as f32);
        for ((to, &logit), &t) in to.iter_mut().zip(logits).zip(target) {
            let p = sigmoid(logit);
            *to = (by_truth * t + by_any) * p * (1.0 - p) + entropy * (p - t);
        }
    });
    gradient
}

fn sums(logits: &[f32], target: &[f32], images: usize, entropy: f32) -> Vec<Sums> {
    assert!(images > 0 && logits.len() == target.len() && logits.len().is_multiple_of(images));
    let pixels = logits.len() / images;
    let both = logits.par_chunks_exact(pixels).zip(target.par_chunks_exact(pixels));
    both.map(|(logits, target)| {
        let mut sums = [0.0; 4];
        // Rows of float32 keep the rounding small and the loop fast.
        for (logits, target) in logits.chunks(256).zip(target.chunks(256)) {
            let mut row = [0f32; 4];
            for (&logit, &t) in logits.iter().zip(target) {
                let p = sigmoid(logit);
                row[0] += p * t;
                row[1] += p;
                row[2] += t;
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
