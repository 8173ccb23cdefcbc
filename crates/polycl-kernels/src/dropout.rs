/// Inverted dropout whose mask is a function of seed and position: it is computed again wherever it
/// is needed, and never stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Probability that a value becomes 0; the others are divided by 1 − probability.
    pub probability: f32,
    pub seed: u64,
}

impl Dropout {
    /// The factor of the value at `index`.
    pub fn factor(self, index: u64) -> f32 {
        let mut factor = 0.0;
        // SAFETY: there is room for one value.
        unsafe { self.factors(index, 1, &raw mut factor) };
        factor
    }

    /// The factors from `first` on.
    ///
    /// # Safety
    /// `count` values can be written at `to`.
    #[inline(always)]
    pub(crate) unsafe fn factors(self, first: u64, count: usize, to: *mut f32) {
        let keep = 1.0 / (1.0 - self.probability);
        // Of 2³² equally likely numbers, this many are below the threshold.
        let threshold = (f64::from(self.probability) * 4_294_967_296.0) as u32;
        // Words of 32 bits fill vectors; the upper one changes at most once on the way.
        let (low, high) = (first as u32, (first >> 32) as u32);
        let before = count.min((1 << 32) - low as usize);
        for (range, high) in [(0..before, high), (before..count, high.wrapping_add(1))] {
            for i in range {
                let dropped = mix(low.wrapping_add(i as u32), high, self.seed) < threshold;
                // SAFETY: the caller's.
                unsafe { *to.add(i) = if dropped { 0.0 } else { keep } };
            }
        }
    }
}

/// A counter-based generator in the manner of Philox's bijections (Salmon et al. 2011), with the
/// multipliers of Wellons' low-bias 32-bit hash; the seed enters between its rounds as well, so
/// that two seeds do not visit one sequence in another order.
#[inline(always)]
fn mix(index: u32, high: u32, seed: u64) -> u32 {
    let (first, second) = (seed as u32, (seed >> 32) as u32);
    let mut x = index ^ first;
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_add(second).wrapping_add(high.wrapping_mul(0x9e37_79b9));
    x = x.wrapping_mul(0x846c_a68b);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x ^ (x >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(dropout: Dropout, indices: impl Iterator<Item = u64>) -> Vec<bool> {
        indices.map(|i| dropout.factor(i) != 0.0).collect()
    }

    fn agreement(a: &[bool], b: &[bool]) -> f64 {
        a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
    }

    #[test]
    fn the_right_share_is_kept_and_scaled() {
        for probability in [0.1, 0.25, 0.5] {
            let dropout = Dropout { probability, seed: 7 };
            let kept = kept(dropout, 0..1_000_000);
            let share = kept.iter().filter(|&&kept| kept).count() as f64 / 1e6;
            assert!((share - (1.0 - f64::from(probability))).abs() < 0.002, "{share}");
            let mean = (0..1_000_000).map(|i| f64::from(dropout.factor(i))).sum::<f64>() / 1e6;
            assert!((mean - 1.0).abs() < 0.005, "{mean}");
        }
        assert_eq!(Dropout { probability: 0.0, seed: 1 }.factor(3), 1.0);
    }

    /// Independent masks of probability ½ agree in half of their places.
    #[test]
    fn neighbours_rows_and_seeds_are_independent() {
        let half = |seed| Dropout { probability: 0.5, seed };
        let mask = kept(half(1), 0..500_000);
        for shift in [1, 2, 15, 16, 17, 256, 4096, 65_536, 1 << 20, 1 << 32] {
            let other = kept(half(1), (0..500_000).map(|i| i + shift));
            assert!((agreement(&mask, &other) - 0.5).abs() < 0.004, "shift {shift}");
        }
        for seed in [0, 2, 3, 1 << 16, 1 << 31, 1 << 32, 1 << 63, u64::MAX] {
            let other = kept(half(seed), 0..500_000);
            assert!((agreement(&mask, &other) - 0.5).abs() < 0.004, "seed {seed}");
        }
    }
}
