use crate::bootstrap::mean;

/// Scores of one method: one value for each seed of training and each patient; `None` where nothing
/// could be scored, as truth and prediction are both empty. A method that misses what is there has
/// a score all the same, the worst: were it left out, missing would pay. Patients are the same, in
/// the same order, for all methods, and so are seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    patients: usize,
    /// Patients vary faster than seeds.
    values: Vec<Option<f64>>,
}

impl Scores {
    /// # Panics
    /// Where the values are not those of whole seeds, at least one of at least one patient, and for
    /// NaN and infinities, which no mean or rank survives.
    pub fn new(patients: usize, values: Vec<Option<f64>>) -> Self {
        let whole = patients > 0 && !values.is_empty() && values.len().is_multiple_of(patients);
        assert!(whole, "{} values are not those of whole seeds of {patients} patients", values.len());
        assert!(values.iter().flatten().all(|value| value.is_finite()), "every score is finite");
        Self { patients, values }
    }

    pub fn patients(&self) -> usize {
        self.patients
    }

    pub fn seeds(&self) -> usize {
        self.values.len() / self.patients
    }

    pub fn at(&self, seed: usize, patient: usize) -> Option<f64> {
        self.values[seed * self.patients + patient]
    }

    /// The mean over seeds of what is defined, for each patient.
    pub fn by_patient(&self) -> Vec<Option<f64>> {
        let over_seeds = |patient| mean((0..self.seeds()).map(|seed| self.at(seed, patient)));
        (0..self.patients).map(over_seeds).collect()
    }

    /// The mean over patients of their means over seeds: patients weigh alike, however many seeds
    /// are defined. `None` where nothing is.
    pub fn mean(&self) -> Option<f64> {
        mean(self.by_patient())
    }

    /// The scores of this method less those of `other`, where both are defined.
    pub(super) fn minus(&self, other: &Self) -> Self {
        assert_eq!(
            [self.seeds(), self.patients],
            [other.seeds(), other.patients],
            "methods share seeds and patients"
        );
        let both = self.values.iter().zip(&other.values);
        Self { patients: self.patients, values: both.map(|(a, b)| Some((*a)? - (*b)?)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_weigh_alike() {
        let scores = Scores::new(3, vec![Some(1.0), Some(0.2), None, Some(0.8), None, None]);
        assert_eq!((scores.seeds(), scores.patients()), (2, 3));
        assert_eq!((scores.at(0, 1), scores.at(1, 0), scores.at(1, 1)), (Some(0.2), Some(0.8), None));
        assert_eq!(scores.by_patient(), [Some(0.9), Some(0.2), None]);
        // Over all values it were 2 / 3.
        assert!((scores.mean().unwrap() - 0.55).abs() < 1e-12);
        assert_eq!(Scores::new(2, vec![None; 4]).mean(), None);
    }

    #[test]
    fn differences_need_both() {
        let method = Scores::new(2, vec![Some(1.0), Some(0.5), Some(0.25), None]);
        let baseline = Scores::new(2, vec![Some(0.5), None, Some(0.5), Some(0.5)]);
        assert_eq!(method.minus(&baseline), Scores::new(2, vec![Some(0.5), None, Some(-0.25), None]));
    }

    #[test]
    #[should_panic(expected = "whole seeds")]
    fn half_a_seed() {
        Scores::new(2, vec![Some(1.0); 3]);
    }

    #[test]
    #[should_panic(expected = "finite")]
    fn not_a_number() {
        Scores::new(1, vec![Some(f64::NAN)]);
    }
}
