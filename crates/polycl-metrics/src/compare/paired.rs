//! A method against a baseline, patient by patient.
//!
//! The test flips signs: were the two alike, each patient's difference could as well be its
//! opposite (R. A. Fisher, "The Design of Experiments", 1935, section 21). Random patterns count
//! what was observed among them, lest p be 0: B. Phipson, G. K. Smyth, "Permutation p-values should
//! never be zero" (2010).

use polycl_base::rng::{Purpose, rng};
use rand::RngExt;
use rayon::prelude::*;

use super::{Resamples, Scores};

/// Up to so many patients every pattern of signs is looked at.
const EXACT: usize = 16;
/// For more, so many random ones are.
const PATTERNS: u64 = 100_000;

/// The gain of a method over a baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The mean over patients of the mean difference over seeds.
    pub difference: f64,
    /// 95%, over resampled patients and seeds.
    pub interval: [f64; 2],
    /// Patients whose mean difference is above zero. For distances, of which less is better, these
    /// are the ones that got worse.
    pub better: usize,
    /// Patients whose mean difference is below zero.
    pub worse: usize,
    /// Patients who have a difference, be it zero.
    pub patients: usize,
    /// Two-sided, of the mean difference over these patients as they are: the seeds are averaged,
    /// not tested. With few patients it cannot be small: five give 1/16 at the least, and one gives 1.
    pub p: f64,
}

/// Compares `method` with `baseline` where both are defined, which pairs their runs of equal seed.
/// `None` where that is nowhere.
///
/// # Panics
/// Where the numbers of seeds and patients differ.
pub fn compare(resamples: &Resamples, method: &Scores, baseline: &Scores, seed: u64) -> Option<Comparison> {
    let differences = method.minus(baseline);
    let interval = resamples.interval(&differences)?;
    let by_patient: Vec<f64> = differences.by_patient().into_iter().flatten().collect();
    Some(Comparison {
        difference: differences.mean()?,
        interval,
        better: by_patient.iter().filter(|&&difference| difference > 0.0).count(),
        worse: by_patient.iter().filter(|&&difference| difference < 0.0).count(),
        patients: by_patient.len(),
        p: flip_test(&by_patient, seed),
    })
}

/// The share of sign patterns whose mean is at least as far from zero as the observed one. Sums do
/// for means, as they are over the same patients.
fn flip_test(differences: &[f64], seed: u64) -> f64 {
    let patients = differences.len();
    // Patterns of equal means must tie, whatever their sums' last bits are.
    let rounding = 1e-12 * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let observed = differences.iter().sum::<f64>().abs() - rounding;
    let extreme = |signs: &[u64]| {
        let flipped = |patient: usize| signs[patient / 64] >> (patient % 64) & 1 == 1;
        let signed = differences.iter().enumerate().map(|(p, &d)| if flipped(p) { -d } else { d });
        signed.sum::<f64>().abs() >= observed
    };
    if patients <= EXACT {
        let patterns = 1u64 << patients;
        let count = (0..patterns).into_par_iter().filter(|&signs| extreme(&[signs])).count();
        return count as f64 / patterns as f64;
    }
    let random = |pattern| {
        let mut rng = rng(seed, Purpose::Flip, [pattern, 0]);
        (0..patients.div_ceil(64)).map(|_| rng.random()).collect::<Vec<u64>>()
    };
    let count = (0..PATTERNS).into_par_iter().filter(|&pattern| extreme(&random(pattern))).count();
    (1 + count) as f64 / (1 + PATTERNS) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_seed(values: &[f64]) -> Scores {
        Scores::new(values.len(), values.iter().copied().map(Some).collect())
    }

    fn against_zero(values: &[f64]) -> Comparison {
        let resamples = Resamples::new(1, values.len(), 7);
        compare(&resamples, &one_seed(values), &one_seed(&vec![0.0; values.len()]), 7).unwrap()
    }

    #[test]
    fn few_patients_by_hand() {
        // Of the sums ±3±2±1 those of all signs alike are the farthest from zero.
        assert_eq!(against_zero(&[3.0, 2.0, 1.0]).p, 2.0 / 8.0);
        // 3+2-1 is reached by +3+2±1 and -3-2±1.
        assert_eq!(against_zero(&[3.0, 2.0, -1.0]).p, 4.0 / 8.0);
        assert_eq!(against_zero(&[3.0]).p, 1.0);
        assert_eq!(against_zero(&[0.1, 0.2, -0.3]).p, 1.0);
        // All but the patterns whose sum is 0 tie or exceed, though in binary some fall short.
        assert_eq!(against_zero(&[0.1, 0.2, 0.3, -0.4]).p, 14.0 / 16.0);
        let found = against_zero(&[3.0, -2.0, 0.0, 1.0]);
        assert_eq!((found.better, found.worse, found.patients, found.difference), (2, 1, 4, 0.5));
    }

    /// More than 64 patients need several words of signs, and each patient a sign of its own.
    #[test]
    fn many_patients() {
        assert_eq!(against_zero(&[0.1; 70]).p, 1.0 / 100_001.0);
        let mut last = [0.0; 130];
        last[128] = 1.0;
        assert_eq!(against_zero(&last).p, 1.0);
        // The signs of two patients in different words agree in half of the patterns.
        last[0] = 1.0;
        assert!((against_zero(&last).p - 0.5).abs() < 0.01);
    }

    #[test]
    fn who_misses_loses() {
        let finds: Vec<_> = (0..8).map(|p| 0.8 + 0.01 * f64::from(p)).collect();
        let mut misses = finds.clone();
        for missed in [1, 2, 3, 5, 6, 7] {
            misses[missed] = 0.0;
        }
        let resamples = Resamples::new(1, 8, 7);
        let found = compare(&resamples, &one_seed(&misses), &one_seed(&finds), 7).unwrap();
        assert!(found.difference < -0.6 && found.interval[1] < 0.0 && found.p < 0.05, "{found:?}");
        assert_eq!((found.better, found.worse, found.patients), (0, 6, 8));
    }

    /// An effect that patients and seeds have in common leaves no trace in a paired interval.
    #[test]
    fn a_constant_gain_is_certain() {
        let baseline: Vec<_> = (0..24).map(|i| Some(f64::from(i % 7) / 8.0)).collect();
        let method = baseline.iter().map(|value| value.map(|value| value + 0.125)).collect();
        let resamples = Resamples::new(3, 8, 7);
        let found = compare(&resamples, &Scores::new(8, method), &Scores::new(8, baseline), 7).unwrap();
        assert_eq!((found.difference, found.interval, found.p), (0.125, [0.125, 0.125], 2.0 / 256.0));
    }

    #[test]
    fn degenerate_scores() {
        let resamples = Resamples::new(2, 3, 7);
        let [half, none] = [Some(0.5), None].map(|value| Scores::new(3, vec![value; 6]));
        assert_eq!(compare(&resamples, &none, &half, 7), None);
        let same = compare(&resamples, &half, &half, 7).unwrap();
        let expected =
            Comparison { difference: 0.0, interval: [0.0; 2], better: 0, worse: 0, patients: 3, p: 1.0 };
        assert_eq!(same, expected);
        let mut one = vec![None; 6];
        one[4] = Some(0.75);
        let one = compare(&resamples, &Scores::new(3, one), &half, 7).unwrap();
        let expected =
            Comparison { difference: 0.25, interval: [0.25; 2], better: 1, worse: 0, patients: 1, p: 1.0 };
        assert_eq!(one, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn the_other_way_round(values in prop::collection::vec(prop::option::weighted(0.9, 0.0f64..1.0), 60)) {
            let [a, b] = [&values[..30], &values[30..]].map(|values| Scores::new(10, values.to_vec()));
            let resamples = Resamples::new(3, 10, 7);
            let [one, other] = [(&a, &b), (&b, &a)].map(|(a, b)| compare(&resamples, a, b, 7).unwrap());
            prop_assert_eq!((one.p, one.better, one.worse), (other.p, other.worse, other.better));
            prop_assert_eq!(one.difference, -other.difference);
            for (low, high) in [(one.interval[0], -other.interval[1]), (one.interval[1], -other.interval[0])] {
                prop_assert!((low - high).abs() < 1e-12);
            }
            prop_assert!(one.p >= 2.0 / 1024.0 && one.p <= 1.0);
        }
    }
}
