//! Findings in words.

use super::Contrast;
use crate::study::config::Budget;
use crate::study::plan::StudyPlan;
use crate::study::scores::Cell;

impl StudyPlan {
    /// The name of a cell: "PolyCL-M, refined".
    pub fn title(&self, cell: &Cell) -> String {
        format!("{}{}", self.arms[cell.arm].title, cell.finish.suffix())
    }

    /// The unit of budgets, for axes and heads.
    pub fn effort(&self) -> &'static str {
        let in_slices = |budget: &Budget| matches!(budget, Budget::Slices(_));
        match self.config.budgets.iter().filter(|budget| in_slices(budget)).count() {
            0 => "labelled patients",
            all if all == self.config.budgets.len() => "drawn slices",
            _ => "budget",
        }
    }
}

/// A contrast as a sentence.
pub fn sentence(plan: &StudyPlan, contrast: &Contrast) -> String {
    let Contrast { cell, other, found, p } = contrast;
    let [low, high] = found.interval;
    let place = format!("{}, {}", plan.test_names[cell.test], plan.config.budgets[cell.budget].in_words());
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
