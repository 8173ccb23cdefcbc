//! Means over cases and how sure they are.
//!
//! B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13: cases are drawn
//! with replacement, and the percentiles of the resampled means bound the interval.

use polycl_base::rng::{Purpose, rng};
use rand::RngExt;
use rayon::prelude::*;

pub const RESAMPLES: usize = 10_000;
/// The interval holds this share of the resampled means.
pub const LEVEL: f64 = 0.95;

/// Of fewer cases there is no interval: it would be little more than their least and their largest value.
pub const FEWEST: usize = 5;

/// The mean of what is defined; `None` where nothing is.
pub fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0u32);
    for value in values.into_iter().flatten() {
        sum += value;
        n += 1;
    }
    (n > 0).then(|| sum / f64::from(n))
}

/// Which of `n` things each resample holds: `n` of them, drawn with replacement. Things of another
/// kind are drawn from another stream, and so independently.
pub fn draws(n: usize, seed: u64, stream: u64) -> Vec<u32> {
    let mut drawn = vec![0; n * RESAMPLES];
    drawn.par_chunks_mut(n).enumerate().for_each(|(resample, drawn)| {
        let mut rng = rng(seed, Purpose::Bootstrap, [resample as u64, stream]);
        drawn.fill_with(|| rng.random_range(0..n as u32));
    });
    drawn
}

/// For every resample, which cases it holds. All labels and metrics share the draws, so that a
/// mean over labels is resampled by whole cases too.
pub struct Resamples {
    drawn: Vec<u32>,
    cases: usize,
}

impl Resamples {
    pub fn new(cases: usize, seed: u64) -> Self {
        let cases = cases.max(1);
        Self { drawn: draws(cases, seed, 0), cases }
    }

    /// The mean of one value per case in every resample; undefined where it drew no defined value.
    pub fn means(&self, values: &[Option<f64>]) -> Vec<Option<f64>> {
        let drawn = self.drawn.par_chunks(self.cases);
        drawn.map(|drawn| mean(drawn.iter().map(|&case| values[case as usize]))).collect()
    }
}

/// The central interval of the defined means, with linear interpolation between order statistics
/// (NumPy's default percentile).
pub fn interval(means: &[Option<f64>]) -> Option<[f64; 2]> {
    let mut sorted: Vec<f64> = means.iter().copied().flatten().collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let quantile = |q: f64| {
        let at = q * last as f64;
        let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        low + (high - low) * at.fract()
    };
    let tail = (1.0 - LEVEL) / 2.0;
    Some([quantile(tail), quantile(1.0 - tail)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_holds_the_middle() {
        let means: Vec<_> = (0..=1000).map(|m| Some(f64::from(m))).chain([None]).collect();
        let [low, high] = interval(&means).unwrap();
        assert!((low - 25.0).abs() < 1e-9 && (high - 975.0).abs() < 1e-9, "{low} {high}");
        assert_eq!(interval(&[None]), None);
    }

    #[test]
    fn width_follows_the_standard_error() {
        // Values 0 and 1 in equal parts: the standard error of the mean is 0.5 / sqrt(100).
        let values: Vec<_> = (0..100).map(|i| Some(f64::from(i % 2))).collect();
        let resamples = Resamples::new(100, 7);
        let [low, high] = interval(&resamples.means(&values)).unwrap();
        assert!((low - (0.5 - 1.96 * 0.05)).abs() < 0.011, "{low}");
        assert!((high - (0.5 + 1.96 * 0.05)).abs() < 0.011, "{high}");
        assert_eq!(resamples.drawn, Resamples::new(100, 7).drawn);
        assert_ne!(resamples.drawn, Resamples::new(100, 8).drawn);
    }
}
