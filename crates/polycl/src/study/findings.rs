//! What the scores say, and how sure that is.

use std::collections::BTreeMap;

use polycl_volume::compare::{Comparison, Ranking, Resamples, compare, holm, ranking};

use super::config::{Budget, SCRATCH, percent};
use super::plan::{Arm, Finish, Plan};
use super::scores::{Cell, Table};

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
    /// Whether the evidence tells the two apart.
    pub fn separates(&self) -> bool {
        let [low, high] = self.found.interval;
        self.p < LEVEL && (low > 0.0 || high < 0.0)
    }
}

pub struct Findings {
    /// Of each measure.
    pub estimates: BTreeMap<Cell, [Estimate; 2]>,
    /// Dice of every other method against [`Plan::reference`], of the same masks, budget and test.
    pub against_scratch: Vec<Contrast>,
    /// Dice of the primary method, where it pre-trains, against all others that do.
    pub against_others: Vec<Contrast>,
    /// Dice of networks that learnt from other masks against the same method on masks drawn by hand.
    pub against_hand: Vec<Contrast>,
    /// Dice of refined masks against the same masks as they were.
    pub refined: Vec<Contrast>,
    /// Of the arms of one test, refinement and budget, by Dice.
    pub rankings: BTreeMap<Cell, Ranking>,
}

impl Findings {
    pub fn new(plan: &Plan, table: &Table) -> Self {
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

impl Plan {
    /// The arm that was settled on beforehand.
    pub fn primary(&self) -> Option<usize> {
        match &self.config.primary {
            Some(name) => self.arms.iter().position(|arm| arm.method.name == *name),
            None => self.arms.iter().position(|arm| arm.method.pretraining.is_some()),
        }
    }

    /// The arm that others are held against: the method named scratch, else the first without pre-training.
    pub fn reference(&self) -> Option<usize> {
        let plain = |arm: &Arm| arm.method.pretraining.is_none();
        let named = self.arms.iter().position(|arm| plain(arm) && arm.method.name == SCRATCH);
        named.or_else(|| self.arms.iter().position(plain))
    }

    /// Whether two cells come from the very same trainings: an arm's own, or those of arms that differ in how they
    /// draw slices alone, where the budget is of patients.
    fn same_trainings(&self, a: &Cell, b: &Cell) -> bool {
        let dirs = |cell: &Cell| {
            let at = (cell.arm, cell.budget);
            self.networks.iter().filter(move |network| (network.arm, network.budget) == at).map(|n| &n.dir)
        };
        dirs(a).eq(dirs(b))
    }

    /// Of a cell: "PolyCL-M, refined".
    pub fn title(&self, cell: &Cell) -> String {
        format!("{}{}", self.arms[cell.arm].title, cell.finish.suffix())
    }

    /// What budgets are of.
    pub fn effort(&self) -> &'static str {
        let in_slices = |budget: &Budget| matches!(budget, Budget::Slices(_));
        match self.config.budgets.iter().filter(|budget| in_slices(budget)).count() {
            0 => "labelled patients",
            all if all == self.config.budgets.len() => "drawn slices",
            _ => "budget",
        }
    }

    /// "1 labelled patient", "10 % of the labelled patients", "all labelled patients".
    pub fn budget_in_words(&self, budget: usize) -> String {
        match self.config.budgets[budget] {
            Budget::Patients(1) => "1 labelled patient".to_owned(),
            Budget::Patients(count) => format!("{count} labelled patients"),
            Budget::Fraction(part) => format!("{} of the labelled patients", percent(part)),
            Budget::All(_) => "all labelled patients".to_owned(),
            Budget::Slices(1) => "1 drawn slice".to_owned(),
            Budget::Slices(count) => format!("{count} drawn slices"),
        }
    }
}

/// A contrast as a sentence.
pub fn sentence(plan: &Plan, contrast: &Contrast) -> String {
    let Contrast { cell, other, found, p } = contrast;
    let [low, high] = found.interval;
    let place = format!("{}, {}", plan.test_names[cell.test], plan.budget_in_words(cell.budget));
    let numbers = format!(
        "{:+.3} Dice (95% interval {low:+.3} to {high:+.3}; p = {}, corrected; better on {} and worse on {} of {} patients)",
        found.difference,
        p_value(*p),
        found.better,
        found.worse,
        found.patients,
    );
    let (name, baseline) = (plan.title(cell), plan.title(other));
    match (contrast.separates(), found.difference > 0.0) {
        (true, true) => format!("{place}: {name} is ahead of {baseline}, {numbers}."),
        (true, false) => format!("{place}: {name} is behind {baseline}, {numbers}."),
        (false, _) => format!("{place}: the evidence does not separate {name} from {baseline}, {numbers}."),
    }
}

pub fn p_value(p: f64) -> String {
    if p < 0.001 { "below 0.001".to_owned() } else { format!("{p:.3}") }
}
