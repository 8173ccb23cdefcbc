//! The scores of every method at every budget on every test, patient by patient.

use std::collections::BTreeMap;

use polycl_metrics::compare::Scores;

use super::ScoreRow;
use crate::study::plan::{Finetuning, Finish, StudyPlan};

/// One cell of the study: a method with its masks, at a budget, on a test, and what was done to what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Index in [`StudyPlan::test_names`].
    pub test: usize,
    pub finish: Finish,
    pub budget: usize,
    pub arm: usize,
}

/// The scores of every cell, for each measure: patients in the order of their names, a patient's scans and
/// organs averaged.
pub type Table = BTreeMap<Cell, [Scores; 2]>;

/// The scores of one cell's patients, by place of the seed and of the patient.
type Found = BTreeMap<(usize, usize), Vec<[f64; 2]>>;

pub fn table(plan: &StudyPlan, rows: &[ScoreRow]) -> Table {
    // Patients of each test; a cell has the same whichever method it is of.
    let mut patients: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for row in rows {
        patients.entry(plan.tests[row.test].name).or_default().push(&row.patient);
    }
    for names in patients.values_mut() {
        names.sort_unstable();
        names.dedup();
    }
    let mut values: BTreeMap<Cell, Found> = BTreeMap::new();
    for row in rows {
        let Finetuning { arm, budget, seed, .. } = plan.finetunings[row.finetuning];
        let test = plan.tests[row.test].name;
        let cell = Cell { test, finish: row.finish, budget, arm };
        let seed = plan.config.seeds.iter().position(|&known| known == seed).unwrap_or(0);
        let patient = patients[&test].binary_search(&row.patient.as_str()).unwrap_or(0);
        values.entry(cell).or_default().entry((seed, patient)).or_default().push(row.values);
    }
    let seeds = plan.config.seeds.len();
    let scores = |cell: &Cell, found: &Found, measure: usize| {
        let count = patients[&cell.test].len();
        let at =
            |i: usize| mean(found.get(&(i / count, i % count)).into_iter().flatten().map(|v| v[measure]));
        Scores::new(count, (0..seeds * count).map(at).collect())
    };
    values.iter().map(|(cell, found)| (*cell, [0, 1].map(|measure| scores(cell, found, measure)))).collect()
}

/// The mean over patients of each seed.
pub fn by_seed(scores: &Scores) -> Vec<Option<f64>> {
    let patients = |seed| (0..scores.patients()).filter_map(move |patient| scores.at(seed, patient));
    (0..scores.seeds()).map(|seed| mean(patients(seed))).collect()
}

/// Nothing of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
