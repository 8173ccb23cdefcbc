//! "Validation" and "Compute spent".

use std::collections::BTreeSet;

use polycl_nn::train::read_log;

use super::Writer;
use crate::figures::report::Report;
use crate::study::plan::Arm;
use crate::study::scores;
use crate::study::trained::Trained;

impl Writer<'_> {
    /// The word of validation, for whoever wants to choose by it.
    pub(super) fn validation(&self, report: &mut Report) -> anyhow::Result<()> {
        let plan = self.plan;
        let mut rows = Vec::new();
        for (arm, Arm { title, .. }) in plan.arms.iter().enumerate().filter(|(arm, _)| plan.complete(*arm)) {
            let mut row = vec![title.clone()];
            for budget in 0..plan.config.budgets.len() {
                let mut scores = Vec::new();
                for finetuning in plan.finetunings.iter().filter(|n| (n.arm, n.budget) == (arm, budget)) {
                    let log = read_log(&finetuning.dir.join("run"))?;
                    scores.extend(log.iter().filter_map(|record| record.score).reduce(f64::max));
                }
                row.push(
                    scores::mean(scores.into_iter()).map_or("–".to_owned(), |mean| format!("{mean:.3}")),
                );
            }
            rows.push(row);
        }
        if rows.iter().flat_map(|row| &row[1..]).all(|cell| cell == "–") {
            return Ok(());
        }
        report.heading("Validation");
        let budgets = plan.config.budgets.iter().map(ToString::to_string);
        let head: Vec<String> =
            std::iter::once("best validation Dice, by labelled patients".to_owned()).chain(budgets).collect();
        report.table(&head.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
        report.paragraph(
            "Of the patients of a budget who validate, at the network's resolution. Choose methods and settings by this, or on \
             other patients; the tests above are for what was chosen before.",
        );
        Ok(())
    }

    pub(super) fn spent(&self, report: &mut Report) -> anyhow::Result<()> {
        report.heading("Compute spent");
        let plan = self.plan;
        let mean = |seconds: &[f64]| match seconds.len() {
            0 => "–".to_owned(),
            count => format!("{:.0} s", seconds.iter().sum::<f64>() / count as f64),
        };
        let mut rows = Vec::new();
        for (arm, Arm { title, .. }) in plan.arms.iter().enumerate().filter(|(arm, _)| plan.complete(*arm)) {
            let finetunings = || plan.finetunings.iter().filter(|finetuning| finetuning.arm == arm);
            let encoders: BTreeSet<usize> =
                finetunings().filter_map(|finetuning| finetuning.pretraining).collect();
            let encoders = encoders
                .into_iter()
                .map(|encoder| Trained::read(&plan.pretrainings[encoder].dir).map(|done| done.seconds));
            let pre: Vec<f64> = encoders.collect::<anyhow::Result<_>>()?;
            let fine: Vec<f64> = finetunings()
                .map(|n| Trained::read(&n.dir).map(|done| done.seconds))
                .collect::<anyhow::Result<_>>()?;
            let (pre_trainings, fine_tunings) = (pre.len().to_string(), fine.len().to_string());
            rows.push(vec![title.clone(), pre_trainings, mean(&pre), fine_tunings, mean(&fine)]);
        }
        report.table(&["method", "pre-trainings", "each took", "fine-tunings", "each took"], &rows);
        let dirs = plan.pretrainings.iter().map(|e| &e.dir).chain(plan.finetunings.iter().map(|n| &n.dir));
        // Methods that only draw otherwise share those of a budget in patients.
        let dirs: BTreeSet<_> = dirs.collect();
        let all: Vec<f64> =
            dirs.into_iter().filter_map(|dir| Trained::read(dir).ok().map(|done| done.seconds)).collect();
        report.paragraph(&format!(
            "{} trainings, {:.1} hours of them one after the other; predictions and their scores not counted. Every \
             pre-training saw {} slices, {} in each step.",
            all.len(),
            all.iter().sum::<f64>() / 3600.0,
            plan.config.images,
            plan.config.images_per_step,
        ));
        Ok(())
    }
}
