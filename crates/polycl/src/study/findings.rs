//! What the scores say, and how sure that is.

use std::collections::BTreeMap;

use polycl_volume::compare::{Comparison, Ranking, Resamples, compare, holm, ranking};

use super::config::{Budget, percent};
use super::plan::Plan;
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
    /// Dice of every other arm against the arms that begin from scratch, of the same masks, budget and test.
    pub against_scratch: Vec<Contrast>,
    /// Dice of the primary method against all others that pre-train.
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
        let scratch = |arm: usize| plan.arms[arm].method.pretraining.is_none();
        let pairs = |wanted: &dyn Fn(usize, usize) -> bool| -> Vec<(Cell, Cell)> {
            let others =
                |cell: &Cell| (0..plan.arms.len()).map(|arm| Cell { arm, ..*cell }).collect::<Vec<_>>();
            let all = table.keys().flat_map(|cell| others(cell).into_iter().map(|other| (*cell, other)));
            all.filter(|(cell, other)| cell.arm != other.arm && wanted(cell.arm, other.arm)).collect()
        };
        let primary = plan.primary();
        let is_primary = |arm: usize| Some(arm) == primary;
        let refined = table.keys().filter(|cell| cell.refined);
        let refined = refined.map(|&cell| (cell, Cell { refined: false, ..cell })).collect();
        Self {
            estimates: table
                .keys()
                .map(|cell| (*cell, [0, 1].map(|measure| estimate(cell, measure))))
                .collect(),
            against_scratch: contrasts(pairs(&|arm, other| {
                !scratch(arm) && scratch(other) && same_masks(arm, other)
            })),
            against_others: contrasts(pairs(&|arm, other| {
                is_primary(arm) && !scratch(other) && same_masks(arm, other)
            })),
            against_hand: contrasts(pairs(&|arm, other| {
                let same = plan.arms[arm].method.name == plan.arms[other].method.name;
                same && plan.arms[arm].labels.is_some() && plan.arms[other].labels.is_none()
            })),
            refined: contrasts(refined),
            rankings: rankings(table, &resamples),
        }
    }
}

/// The rankings of all that was done alike, under the cell of the first arm.
fn rankings(table: &Table, resamples: &BTreeMap<usize, Resamples>) -> BTreeMap<Cell, Ranking> {
    let mut groups: BTreeMap<Cell, Vec<Cell>> = BTreeMap::new();
    for cell in table.keys() {
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
        let methods: Vec<_> = self.arms.iter().map(|arm| arm.method.clone()).collect();
        let name = self.config.primary(&methods)?;
        self.arms.iter().position(|arm| arm.method.name == name && arm.labels.is_none())
    }

    /// Of a cell: "PolyCL-M at a budget of 1, same hospital".
    pub fn title(&self, cell: &Cell) -> String {
        let refined = if cell.refined { ", refined" } else { "" };
        format!("{}{refined}", self.arms[cell.arm].title)
    }

    /// "1 labelled patient", "10 % of the labelled patients", "all labelled patients".
    pub fn budget_in_words(&self, budget: usize) -> String {
        match self.config.budgets[budget] {
            Budget::Patients(1) => "1 labelled patient".to_owned(),
            Budget::Patients(count) => format!("{count} labelled patients"),
            Budget::Fraction(part) => format!("{} of the labelled patients", percent(part)),
            Budget::All(_) => "all labelled patients".to_owned(),
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
