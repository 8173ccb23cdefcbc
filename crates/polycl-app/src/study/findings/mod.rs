//! The findings of a study, and how sure they are.

mod words;

use std::collections::BTreeMap;

use polycl_metrics::compare::{Comparison, Ranking, Resamples, compare, holm, ranking};

use super::plan::{Finish, StudyPlan};
use super::scores::{Cell, Table};
pub use words::{p_value, sentence};

/// A difference is believed below this, after Holm's correction, where its interval leaves 0 out, too.
pub const LEVEL: f64 = 0.05;
/// Seed of resamples and permutations.
const SEED: u64 = 0;

/// A mean over patients and seeds.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    pub mean: Option<f64>,
    pub interval: Option<[f64; 2]>,
}

/// Two cells, patient by patient.
pub struct Contrast {
    pub cell: Cell,
    pub other: Cell,
    pub found: Comparison,
    /// Corrected by Holm over all contrasts of the list.
    pub p: f64,
}

impl Contrast {
    /// True where the evidence tells the two apart.
    pub fn separates(&self) -> bool {
        let [low, high] = self.found.interval;
        self.p < LEVEL && (low > 0.0 || high < 0.0)
    }
}

pub struct Findings {
    /// One for each measure.
    pub estimates: BTreeMap<Cell, [Estimate; 2]>,
    /// Dice of every other method against [`StudyPlan::reference`], of the same masks, budget and test.
    pub against_scratch: Vec<Contrast>,
    /// Dice of the primary method, where it pre-trains, against all others that do.
    pub against_others: Vec<Contrast>,
    /// Dice of networks that learnt from other masks against the same method on masks drawn by hand.
    pub against_hand: Vec<Contrast>,
    /// Dice of refined masks against the same masks as they were.
    pub refined: Vec<Contrast>,
    /// Rankings of the arms of one test, refinement and budget, by Dice.
    pub rankings: BTreeMap<Cell, Ranking>,
}

impl Findings {
    pub fn new(plan: &StudyPlan, table: &Table) -> Self {
        let seeds = plan.config.seeds.len();
        // The same draws for all cells of a test.
        let resamples: BTreeMap<usize, Resamples> = (0..plan.test_names.len())
            .filter_map(|test| {
                let (_, [dice, _]) = table.iter().find(|(cell, _)| cell.test == test)?;
                Some((test, Resamples::new(seeds, dice.patients(), SEED)))
            })
            .collect();
        let estimate = |cell: &Cell, measure: usize| {
            let scores = &table[cell][measure];
            Estimate { mean: scores.mean(), interval: resamples[&cell.test].interval(scores) }
        };
        let contrasts = |pairs: Vec<(Cell, Cell)>| -> Vec<Contrast> {
            let found = pairs.into_iter().filter_map(|(cell, other)| {
                let [a, b] = [&cell, &other].map(|cell| table.get(cell));
                let found = compare(&resamples[&cell.test], &a?[0], &b?[0], SEED)?;
                Some((cell, other, found))
            });
            let found: Vec<_> = found.collect();
            let p = holm(&found.iter().map(|(.., found)| found.p).collect::<Vec<_>>());
            found
                .into_iter()
                .zip(p)
                .map(|((cell, other, found), p)| Contrast { cell, other, found, p })
                .collect()
        };
        let same_masks = |a: usize, b: usize| plan.arms[a].labels == plan.arms[b].labels;
        let name = |arm: usize| plan.arms[arm].method.name.as_str();
        let reference = plan.reference().map(name);
        let is_reference = |arm: usize| Some(name(arm)) == reference;
        let pretrained = |arm: usize| plan.arms[arm].method.pretraining.is_some();
        let pairs = |wanted: &dyn Fn(usize, usize) -> bool| -> Vec<(Cell, Cell)> {
            let others =
                |cell: &Cell| (0..plan.arms.len()).map(|arm| Cell { arm, ..*cell }).collect::<Vec<_>>();
            let compared = table.keys().filter(|cell| cell.finish != Finish::Oracle);
            let all = compared.flat_map(|cell| others(cell).into_iter().map(|other| (*cell, other)));
            all.filter(|(cell, other)| wanted(cell.arm, other.arm) && !plan.same_trainings(cell, other))
                .collect()
        };
        let primary = plan.primary();
        let is_primary = |arm: usize| Some(arm) == primary;
        let refined = table.keys().filter(|cell| cell.finish == Finish::Refined);
        let refined = refined.map(|&cell| (cell, Cell { finish: Finish::Plain, ..cell })).collect();
        Self {
            estimates: table
                .keys()
                .map(|cell| (*cell, [0, 1].map(|measure| estimate(cell, measure))))
                .collect(),
            against_scratch: contrasts(pairs(&|arm, other| {
                !is_reference(arm) && is_reference(other) && same_masks(arm, other)
            })),
            against_others: contrasts(pairs(&|arm, other| {
                is_primary(arm) && pretrained(arm) && pretrained(other) && same_masks(arm, other)
            })),
            against_hand: contrasts(pairs(&|arm, other| {
                name(arm) == name(other)
                    && plan.arms[arm].labels.is_some()
                    && plan.arms[other].labels.is_none()
            })),
            refined: contrasts(refined),
            rankings: rankings(table, &resamples),
        }
    }
}

/// The rankings of all that was done alike, under the cell of the first arm.
fn rankings(table: &Table, resamples: &BTreeMap<usize, Resamples>) -> BTreeMap<Cell, Ranking> {
    let mut groups: BTreeMap<Cell, Vec<Cell>> = BTreeMap::new();
    for cell in table.keys().filter(|cell| cell.finish != Finish::Oracle) {
        groups.entry(Cell { arm: 0, ..*cell }).or_default().push(*cell);
    }
    let rank = |(group, cells): (Cell, Vec<Cell>)| {
        let scores: Vec<_> = cells.iter().map(|cell| &table[cell][0]).collect();
        Some((group, ranking(&resamples[&group.test], &scores, true)?))
    };
    groups.into_iter().filter_map(rank).collect()
}

impl StudyPlan {
    /// True where two cells come from the very same trainings: an arm's own, or those of arms that differ in how they
    /// draw slices alone, where the budget is of patients.
    fn same_trainings(&self, a: &Cell, b: &Cell) -> bool {
        let dirs = |cell: &Cell| {
            let at = (cell.arm, cell.budget);
            self.finetunings
                .iter()
                .filter(move |training| (training.arm, training.budget) == at)
                .map(|training| &training.dir)
        };
        dirs(a).eq(dirs(b))
    }
}
