//! The scores of a study's networks.

mod export;
mod table;

use anyhow::{Context, ensure};
use polycl_metrics::SummaryFile;

use super::plan::{Finish, SCORES, StudyPlan};
pub use export::write;
pub use table::{Cell, Table, by_seed, mean, table};

/// The measures of a study, as the report calls them.
pub const MEASURES: [&str; 2] = ["Dice", "HD95 (mm)"];

/// One case of one network, as `evaluate` has scored it.
pub struct ScoreRow {
    pub finetuning: usize,
    pub finish: Finish,
    /// Index in [`StudyPlan::tests`].
    pub test: usize,
    pub case: String,
    pub patient: String,
    pub organ: String,
    /// In the order of [`MEASURES`].
    pub values: [f64; 2],
}

/// The rows of one network on one test.
pub fn read(plan: &StudyPlan, number: usize, test: usize, finish: Finish) -> anyhow::Result<Vec<ScoreRow>> {
    let finetuning = &plan.finetunings[number];
    let tested = &plan.tests[test];
    let folder = plan.result(finetuning, tested, finish).join(SCORES);
    let summary = SummaryFile::read(&folder)?;
    let index = &plan.dataset(tested.dataset).index;
    // `predict` knows scans by their voxels, and `evaluate` tells whom the network had seen.
    let seen = Vec::from_iter(summary.seen());
    ensure!(
        seen.is_empty(),
        "{}: expected patients whom no network has seen, found {seen:?}",
        folder.display()
    );
    let numbers = plan.numbers();
    let mut rows = Vec::new();
    for case in &summary.metric_per_case {
        let name = polycl_image::files::case_name(&case.reference_file);
        let name = name.context("a reference of no format we read")?;
        let scan = index.scans.iter().find(|scan| scan.case == name).context("a case of another data set")?;
        for organ in &plan.config.organs {
            let scores = case.metrics.get(&numbers[organ.as_str()]);
            let scores = scores.with_context(|| format!("{}: no scores of {organ}", folder.display()))?;
            rows.push(ScoreRow {
                finetuning: number,
                finish,
                test,
                case: name.clone(),
                patient: scan.patient.clone(),
                organ: organ.clone(),
                // Nothing is there, and nothing was found: as right as can be, where a false alarm is the worst.
                values: [scores.dice.unwrap_or(1.0), scores.hd95.unwrap_or(0.0)],
            });
        }
    }
    Ok(rows)
}

/// All rows there are, in the order of the plan.
pub fn read_all(plan: &StudyPlan) -> anyhow::Result<Vec<ScoreRow>> {
    let mut rows = Vec::new();
    let complete: Vec<bool> = (0..plan.arms.len()).map(|arm| plan.complete(arm)).collect();
    let finetunings = plan.finetunings.iter().enumerate().filter(|(_, finetuning)| complete[finetuning.arm]);
    for (number, finetuning) in finetunings {
        for &test in &finetuning.tests {
            for finish in plan.finishes(finetuning) {
                rows.extend(read(plan, number, test, finish)?);
            }
        }
    }
    Ok(rows)
}
