//! The loss of one organ: soft Dice of sigmoid probabilities, with or without cross-entropy.

use rayon::prelude::*;

/// Added to both sides of the fraction.
const SMOOTH: f64 = 1.0;

/// Σpt, Σp, Σt and Σ ln-loss of one image.
type Sums = [f64; 4];

/// Mean over images of what each costs times its weight: 1 − (2 Σpt + 1) / (Σp + Σt + 1), where p is
/// the sigmoid of `logits`, plus `entropy` times the mean binary cross-entropy of its pixels. Weights
/// of 1 change no bit.
pub fn soft_dice(logits: &[f32], target: &[f32], weights: &[f32], entropy: f32) -> f32 {
    let images = weights.len();
    let sums = sums(logits, target, images, entropy);
    let weighted = |cost: &dyn Fn(&Sums) -> f64| -> f64 {
        sums.iter().zip(weights).map(|(sums, &weight)| f64::from(weight) * cost(sums)).sum()
    };
    let dice = weighted(&|[overlap, p, t, _]| 1.0 - (2.0 * overlap + SMOOTH) / (p + t + SMOOTH));
    let logs = weighted(&|sums| sums[3]);
    (dice / images as f64 + f64::from(entropy) * logs / logits.len() as f64) as f32
}

/// The gradient of [`soft_dice`] by the logits, times `upstream`.
pub fn soft_dice_backward(
    logits: &[f32],
    target: &[f32],
    weights: &[f32],
    entropy: f32,
    upstream: f32,
) -> Vec<f32> {
    let images = weights.len();
    let (pixels, sums) = (logits.len() / images, sums(logits, target, images, entropy));
    let logits_in_all = logits.len();
    let mut gradient = vec![0.0; logits.len()];
    let both = logits.par_chunks_exact(pixels).zip(target.par_chunks_exact(pixels));
    gradient.par_chunks_exact_mut(pixels).zip(both).zip(sums.par_iter().zip(weights)).for_each(
        |((to, (logits, target)), (sums, &weight))| {
            let [overlap, p, t, _] = sums;
            let upstream = f64::from(upstream) * f64::from(weight);
            let entropy = (upstream * f64::from(entropy) / logits_in_all as f64) as f32;
            let total = p + t + SMOOTH;
            // d/dp of −(2 Σpt + 1) / total is constant but for t.
            let share = upstream / images as f64;
            let (by_truth, by_any) =
                ((-2.0 * share / total) as f32, (share * (2.0 * overlap + SMOOTH) / (total * total)) as f32);
            for ((to, &logit), &t) in to.iter_mut().zip(logits).zip(target) {
                let p = sigmoid(logit);
                *to = (by_truth * t + by_any) * p * (1.0 - p) + entropy * (p - t);
            }
        },
    );
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
