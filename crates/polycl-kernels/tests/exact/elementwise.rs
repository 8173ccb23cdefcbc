use polycl_kernels::{Adam, DiceLoss, NO_TARGET, Over, Shape, adam, moments, soft_dice, soft_dice_backward};

use crate::naive::{self, doubles};
use crate::{Random, close};

#[test]
fn moments_of_any_shape() {
    let random = &mut Random::new(1);
    for (n, h, w, c) in [(1, 1, 1, 1), (2, 3, 5, 7), (3, 64, 64, 16), (2, 9, 300, 33), (1, 16, 16, 256)] {
        let shape = Shape { n, h, w, c };
        let x = random.values(shape.len());
        for over in [Over::Image, Over::Batches(1)] {
            close("moments", &moments(&x, shape, over), &naive::moments(&doubles(&x), shape, over));
        }
    }
}

/// Values of 10⁴ ± 1: a sum of squares in float32 would keep no digit of the variance.
#[test]
fn a_large_mean_costs_no_digits() {
    let shape = Shape { n: 2, h: 61, w: 67, c: 3 };
    let x: Vec<f32> = Random::new(2).values(shape.len()).iter().map(|x| x + 1e4).collect();
    for over in [Over::Image, Over::Batches(1)] {
        let (actual, expected) = (moments(&x, shape, over), naive::moments(&doubles(&x), shape, over));
        for (actual, expected) in actual.chunks(6).zip(expected.chunks(6)) {
            close("means", &actual[..3], &expected[..3]);
            close("variances", &actual[3..], &expected[3..]);
        }
    }
}

/// A constant channel has no variance; round-off must not make it less than that.
#[test]
fn a_constant_has_no_variance() {
    for value in [0.1f32, 12_345.678, -98_765.43] {
        let shape = Shape { n: 1, h: 64, w: 64, c: 1 };
        let moments = moments(&vec![value; shape.len()], shape, Over::Image);
        assert!(moments[1] >= 0.0 && moments[1] <= 1e-9 * value * value, "{moments:?}");
    }
}

fn dice(logits: &[f64], target: &[f64], weights: &[f64], loss: DiceLoss) -> f64 {
    let (images, pixels) = (weights.len(), logits.len() / weights.len());
    let p = |x: f64| 1.0 / (1.0 + (-x).exp());
    let log = |(&l, &t): (&f64, &f64)| l.max(0.0) - l * t + (-l.abs()).exp().ln_1p();
    let (mut logs, mut parts) = (0.0, Vec::new());
    for ((l, t), weight) in logits.chunks(pixels).zip(target.chunks(pixels)).zip(weights) {
        let known = || l.iter().zip(t).filter(|(_, t)| **t >= 0.0);
        let overlap: f64 = known().map(|(&l, t)| p(l) * t).sum();
        parts.push([overlap, known().map(|(&l, t)| p(l) + t).sum::<f64>()]);
        logs += weight * known().map(log).sum::<f64>();
    }
    let known = target.iter().filter(|t| **t >= 0.0).count().max(1);
    let of = |overlap: f64, total: f64| 1.0 - (2.0 * overlap + 1.0) / (total + 1.0);
    let dice = match loss.over {
        Over::Image => parts.iter().zip(weights).map(|(part, weight)| weight * of(part[0], part[1])).sum(),
        Over::Batches(_) => {
            let all = |i: usize| parts.iter().zip(weights).map(|(part, weight)| weight * part[i]).sum();
            images as f64 * of(all(0), all(1))
        }
    };
    dice / images as f64 + f64::from(loss.entropy) * logs / known as f64
}

#[test]
fn soft_dice_and_cross_entropy() {
    let random = &mut Random::new(3);
    for (images, pixels) in [(1, 1), (2, 7), (3, 1000)] {
        for (over, entropy) in [Over::Image, Over::Batches(1)].into_iter().flat_map(|o| [(o, 0.0), (o, 1.0)])
        {
            let loss = DiceLoss { over, entropy };
            let logits: Vec<f32> = random.values(images * pixels).iter().map(|x| 6.0 * x).collect();
            let truth = |&x: &f32| if x < -0.9 { NO_TARGET } else { f32::from(u8::from(x > 0.4)) };
            let target: Vec<f32> = random.values(images * pixels).iter().map(truth).collect();
            let weights: Vec<f32> = [1.0, 0.25, 1.5].into_iter().take(images).collect();
            let (dl, dt, dw) = (doubles(&logits), doubles(&target), doubles(&weights));
            let expected = dice(&dl, &dt, &dw, loss);
            close("loss", &[soft_dice(&logits, &target, &weights, loss)], &[expected]);
            let slope = |i: usize| {
                let moved = |by: f64| {
                    let mut moved = dl.clone();
                    moved[i] += by;
                    dice(&moved, &dt, &dw, loss)
                };
                3.0 * (moved(1e-5) - moved(-1e-5)) / 2e-5
            };
            let actual = soft_dice_backward(&logits, &target, &weights, loss, 3.0);
            let expected: Vec<f64> = (0..logits.len()).map(slope).collect();
            close("gradient", &actual, &expected);
        }
    }
}

#[test]
fn a_saturated_logit_stays_finite() {
    let (logits, target) = ([200.0, -200.0, 0.0], [0.0, 1.0, 1.0]);
    for over in [Over::Image, Over::Batches(1)] {
        let loss = DiceLoss { over, entropy: 1.0 };
        assert!(soft_dice(&logits, &target, &[1.0], loss).is_finite());
        assert!(soft_dice_backward(&logits, &target, &[1.0], loss, 1.0).iter().all(|g| g.is_finite()));
    }
}

#[test]
fn adam_over_three_steps() {
    let random = &mut Random::new(4);
    let count = 40_001;
    let mut values = random.values(count);
    let (mut first, mut second) = (vec![0.0; count], vec![0.0; count]);
    let (mut v, mut m, mut s) = (doubles(&values), vec![0.0; count], vec![0.0; count]);
    for step in 1..=3 {
        let gradient = random.values(count);
        let [bias1, bias2] = [0.9f64, 0.999].map(|beta| 1.0 - beta.powi(step));
        let update = Adam {
            scale: 0.5,
            rate: (1e-3 / bias1) as f32,
            root_bias: bias2.sqrt() as f32,
            beta: [0.9, 0.999],
            epsilon: 1e-8,
        };
        adam(&mut values, &gradient, &mut first, &mut second, update);
        for i in 0..count {
            let g = 0.5 * f64::from(gradient[i]);
            m[i] = 0.9 * m[i] + 0.1 * g;
            s[i] = 0.999 * s[i] + 0.001 * g * g;
            v[i] -= 1e-3 / bias1 * m[i] / ((s[i] / bias2).sqrt() + 1e-8);
        }
        close("values", &values, &v);
        close("first moments", &first, &m);
        close("second moments", &second, &s);
    }
}
