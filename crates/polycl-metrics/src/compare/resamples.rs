//! The certainty of a mean over patients and seeds.
//!
//! A. B. Owen, "The pigeonhole bootstrap" (Annals of Applied Statistics, 2007): patients and seeds
//! are crossed, so each are drawn with replacement by themselves, and a resample is where the drawn
//! ones meet. Drawing single values would take every run of a patient for another patient, and
//! intervals would come out far too narrow. Drawn like this they err to the other side: what is
//! noise of single values counts three times in the variance, what patients and seeds differ by
//! once. Few things drawn make any bootstrap too narrow again, by `sqrt(1 - 1/n)` for `n` of them.

use rayon::prelude::*;

use super::Scores;
use crate::bootstrap::{self, draws, mean};

/// Draws of patients and seeds. All methods and metrics share them, so that what is hard for all
/// methods cancels where two are compared.
pub struct Resamples {
    patients: usize,
    seeds: usize,
    /// One resample after another.
    drawn_patients: Vec<u32>,
    drawn_seeds: Vec<u32>,
}

impl Resamples {
    /// # Panics
    /// Where there are no seeds or no patients.
    pub fn new(seeds: usize, patients: usize, seed: u64) -> Self {
        let (drawn_patients, drawn_seeds) = (draws(patients, seed, 0), draws(seeds, seed, 1));
        Self { patients, seeds, drawn_patients, drawn_seeds }
    }

    /// [`Scores::mean`] in every resample; undefined where it drew no defined value.
    ///
    /// # Panics
    /// Where the scores are of other numbers of seeds and patients.
    pub fn means(&self, scores: &Scores) -> Vec<Option<f64>> {
        assert_eq!(
            [scores.seeds(), scores.patients()],
            [self.seeds, self.patients],
            "scores are of the seeds and patients that are drawn"
        );
        let drawn = self.drawn_patients.par_chunks(self.patients);
        let drawn = drawn.zip(self.drawn_seeds.par_chunks(self.seeds));
        let over_seeds = |patient: u32, seeds: &[u32]| {
            mean(seeds.iter().map(|&s| scores.at(s as usize, patient as usize)))
        };
        drawn.map(|(patients, seeds)| mean(patients.iter().map(|&p| over_seeds(p, seeds)))).collect()
    }

    /// The 95% interval of [`Scores::mean`]; `None` where nothing is defined.
    pub fn interval(&self, scores: &Scores) -> Option<[f64; 2]> {
        bootstrap::interval(&self.means(scores))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn additive(seeds: usize, patients: usize, value: impl Fn(usize, usize) -> f64) -> Scores {
        let cells = (0..seeds).flat_map(|s| (0..patients).map(move |p| (s, p)));
        Scores::new(patients, cells.map(|(s, p)| Some(value(s, p))).collect())
    }

    /// Variances of means add up where effects of patients and seeds do: here 0.25
    /// over 100 patients and 0.16 over 24 seeds.
    #[test]
    fn width_follows_the_standard_error() {
        let scores = additive(24, 100, |s, p| (p % 2) as f64 + 0.8 * (s % 2) as f64);
        let error = (0.25f64 / 100.0 + 0.16 / 24.0).sqrt();
        let [low, high] = Resamples::new(24, 100, 7).interval(&scores).unwrap();
        assert!((low - (0.9 - 1.96 * error)).abs() < 0.015, "{low}");
        assert!((high - (0.9 + 1.96 * error)).abs() < 0.015, "{high}");
    }

    #[test]
    fn one_seed_is_the_bootstrap_over_cases() {
        let values: Vec<_> = (0..16).map(|p| (p % 5 != 0).then_some(f64::from(p))).collect();
        let plain = bootstrap::Resamples::new(16, 3).means(&values);
        assert_eq!(Resamples::new(1, 16, 3).means(&Scores::new(16, values)), plain);
    }

    #[test]
    fn one_patient_varies_by_seed_alone() {
        let scores = additive(10, 1, |s, _| (s % 2) as f64);
        let [low, high] = Resamples::new(10, 1, 7).interval(&scores).unwrap();
        // Binomial: ten draws of which half are 1.
        assert!((low - 0.2).abs() < 1e-9 && (high - 0.8).abs() < 1e-9, "{low} {high}");
    }

    /// A patient with one defined seed of five weighs as much as one with all of them.
    #[test]
    fn undefined_values_do_not_shift_the_weights() {
        let mut values = [Some(1.0), None].repeat(5);
        values[1] = Some(0.0);
        let means = Resamples::new(5, 2, 7).means(&Scores::new(2, values));
        let count = |mean| means.iter().filter(|&&found| found == mean).count() as f64 / means.len() as f64;
        let missing = 0.8f64.powi(5);
        let close = |found: f64, expected: f64| (found - expected).abs() < 0.02;
        assert!(close(count(Some(0.5)), 0.5 * (1.0 - missing)), "{}", count(Some(0.5)));
        assert!(close(count(Some(1.0)), 0.25 + 0.5 * missing), "{}", count(Some(1.0)));
        assert!(close(count(Some(0.0)), 0.25 * (1.0 - missing)), "{}", count(Some(0.0)));
        assert!(close(count(None), 0.25 * missing), "{}", count(None));
    }

    #[test]
    fn degenerate_scores() {
        let resamples = Resamples::new(3, 4, 7);
        assert_eq!(resamples.interval(&Scores::new(4, vec![None; 12])), None);
        assert_eq!(resamples.interval(&Scores::new(4, vec![Some(0.5); 12])), Some([0.5, 0.5]));
        assert_eq!(Resamples::new(1, 1, 7).interval(&Scores::new(1, vec![Some(0.5)])), Some([0.5, 0.5]));
    }

    #[test]
    fn draws_follow_the_seed_alone() {
        let scores = additive(5, 16, |s, p| (s * p) as f64);
        let means = |seed| Resamples::new(5, 16, seed).means(&scores);
        assert_eq!(means(1), means(1));
        assert_ne!(means(1), means(2));
    }
}
