//! Which labelled patients train a model and which validate it. Splits are by patient, so that
//! two scans of one patient are never on both sides.

use std::collections::BTreeSet;

use polycl_base::rng::{Purpose, rng};
use polycl_base::{Error, Kind, Result, Subject};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// The labelled patients that may be used, by number or part, those for validation included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    Cases(usize),
    /// A fraction in (0, 1], rounded to whole patients, at least one.
    Fraction(f64),
    All,
}

/// Patients by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    pub train: Vec<String>,
    #[serde(default)]
    pub validation: Vec<String>,
}

/// The smallest budget of which a patient is spared for validation.
const WITH_VALIDATION: usize = 4;
/// One in so many patients validates.
const ONE_IN: usize = 5;

/// Takes the first patients of an order that depends on `seed` and the patients alone. All of them
/// train; under `validate` the fourth and every fifth after it are spared for validation. A patient's
/// place decides its part, so both parts nest: what 5 patients train (validate) on is among what 10
/// train (validate) on.
///
/// Those who are labelled `by_hand` come first; those whom only a `machine` labelled come after
/// them, whoever they are, and always train: what a machine drew tells nothing of how good a model
/// is. Their presence changes nothing for the others.
///
/// # Errors
/// [`Kind::Request`] for no patients, more than there are, or no fraction.
pub fn budget(
    by_hand: &[String],
    machine: &[String],
    want: Budget,
    seed: u64,
    validate: bool,
) -> Result<Split> {
    let by_hand = BTreeSet::from_iter(by_hand);
    let machine = BTreeSet::from_iter(machine).difference(&by_hand).copied().collect();
    let trusted = by_hand.len();
    let shuffled = |patients: BTreeSet<_>, part| {
        let mut order: Vec<&String> = patients.into_iter().collect();
        order.shuffle(&mut rng(seed, Purpose::Split, [part, 0]));
        order
    };
    let order = [shuffled(by_hand, 0), shuffled(machine, 1)].concat();
    let count = count(order.len(), want)?;
    let validates = |place: usize| validate && place < trusted && place % ONE_IN == WITH_VALIDATION - 1;
    let part = |validation: bool| {
        let places = (0..count).filter(|&place| validates(place) == validation);
        places.map(|place| order[place].clone()).collect()
    };
    Ok(Split { train: part(false), validation: part(true) })
}

fn count(patients: usize, want: Budget) -> Result<usize> {
    let refused = |expected: String, found: String| {
        let error = Error::new(Subject::Work("labelled patients"), Kind::Request, expected, found);
        error.hint(
            "run `polycl inspect DATASET` to see who is labelled; notes in its index.json may say why several scans count as one patient",
        )
    };
    match want {
        _ if patients == 0 => Err(refused("at least one".into(), "no patient".into())),
        Budget::All => Ok(patients),
        Budget::Cases(n) if (1..=patients).contains(&n) => Ok(n),
        Budget::Cases(n) => Err(refused(format!("1 to {patients} labelled patients"), n.to_string())),
        Budget::Fraction(f) if f > 0.0 && f <= 1.0 => Ok(((patients as f64 * f).round() as usize).max(1)),
        Budget::Fraction(f) => Err(refused("a fraction above 0 and up to 1".into(), f.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patients(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("patient {i:03}")).collect()
    }

    fn set(part: &[String]) -> BTreeSet<&String> {
        part.iter().collect()
    }

    proptest! {
        #[test]
        fn budgets_nest_and_parts_are_disjoint(n in 1_usize..80, few in 1_usize..80, more in 1_usize..80, seed: u64) {
            let (few, more) = (few.min(more).min(n), few.max(more).min(n));
            let all = patients(n);
            let [small, large] = [few, more].map(|k| budget(&all, &[], Budget::Cases(k), seed, true).unwrap());
            prop_assert!(set(&small.train).is_subset(&set(&large.train)));
            prop_assert!(set(&small.validation).is_subset(&set(&large.validation)));
            for (split, k) in [(&small, few), (&large, more)] {
                prop_assert!(set(&split.train).is_disjoint(&set(&split.validation)));
                prop_assert_eq!(set(&split.train).len() + set(&split.validation).len(), k);
                prop_assert_eq!(split.validation.len(), (k + 1) / 5);
                let trained = budget(&all, &[], Budget::Cases(k), seed, false).unwrap();
                prop_assert!(trained.validation.is_empty());
                prop_assert_eq!(set(&trained.train), set(&split.train).union(&set(&split.validation)).copied().collect());
            }
        }

        #[test]
        fn the_order_in_which_patients_are_listed_does_not_matter(n in 1_usize..40, seed: u64) {
            let straight = patients(n);
            let mut twice: Vec<String> = straight.iter().rev().chain(&straight).cloned().collect();
            twice.rotate_left(n / 2);
            let [a, b] = [straight, twice].map(|all| budget(&all, &[], Budget::All, seed, true).unwrap());
            prop_assert_eq!(a, b);
        }
    }

    proptest! {
        #[test]
        fn who_is_labelled_by_a_machine_trains_after_all_others(
            hand in 0_usize..30, machine in 1_usize..30, few in 1_usize..60, seed: u64
        ) {
            let all = patients(hand + machine);
            let few = few.min(all.len());
            // Who is labelled by both is labelled by hand.
            let (by_hand, by_machine) = (&all[..hand], &all[hand / 2..]);
            let split = budget(by_hand, by_machine, Budget::Cases(few), seed, true).unwrap();
            prop_assert_eq!(split.train.len() + split.validation.len(), few);
            prop_assert!(split.validation.iter().all(|patient| by_hand.contains(patient)));
            if hand > 0 {
                let alone = budget(by_hand, &[], Budget::Cases(few.min(hand)), seed, true).unwrap();
                prop_assert_eq!(&split.validation, &alone.validation);
                prop_assert_eq!(&split.train[..alone.train.len()], &alone.train[..]);
            }
        }
    }

    #[test]
    fn seeds_differ_and_few_patients_have_no_validation() {
        let asked = |want, seed| budget(&patients(20), &[], want, seed, true).unwrap();
        let of = |n, seed| asked(Budget::Cases(n), seed);
        assert_ne!(of(5, 1).train, of(5, 2).train);
        assert!(of(3, 1).validation.is_empty());
        assert_eq!(of(4, 1).validation.len(), 1);
        assert_eq!(asked(Budget::Fraction(0.25), 1), of(5, 1));
        assert_eq!(asked(Budget::Fraction(0.001), 1), of(1, 1));
    }

    #[test]
    fn impossible_requests_are_refused() {
        let refused = |n, want| budget(&patients(n), &[], want, 0, false).unwrap_err().kind == Kind::Request;
        assert!(refused(0, Budget::All));
        assert!(refused(7, Budget::Cases(0)));
        assert!(refused(7, Budget::Cases(8)));
        assert!(refused(7, Budget::Fraction(0.0)));
        assert!(refused(7, Budget::Fraction(1.5)));
        assert!(refused(7, Budget::Fraction(f64::NAN)));
    }
}
