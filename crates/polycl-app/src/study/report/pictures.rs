//! "Best, median and worst scans".

use anyhow::Context;
use polycl_image::{Input, nifti};

use super::Writer;
use crate::figures::picture;
use crate::figures::report::Report;
use crate::study::plan::Finish;
use crate::study::scores::ScoreRow;

impl Writer<'_> {
    /// The best, the median and the worst patient of the primary method at the smallest budget, beside scratch.
    pub(super) fn pictures(&self, report: &mut Report) -> anyhow::Result<()> {
        let plan = self.plan;
        let arms: Vec<usize> = plan.reference().into_iter().chain(plan.primary()).collect();
        let Some(&last) = arms.last() else { return Ok(()) };
        report.heading(&format!("Best, median and worst scans of {}", plan.arms[last].title));
        report.paragraph(&format!(
            "By Dice at a budget of {}, seed {}: truth in blue, prediction in orange, in the slice with most of {}.",
            plan.config.budgets[0].in_words(),
            plan.config.seeds[0],
            plan.config.organs[0],
        ));
        for (test, name) in plan.test_names.iter().enumerate() {
            for (place, case) in self.extremes(test, last) {
                for &arm in &arms {
                    let Some(row) = self.row_of(test, arm, &case) else { continue };
                    let (title, dice) = (&plan.arms[arm].title, row.values[0]);
                    let caption = format!("{name}, {place}: {case}, {title}, Dice {dice:.3}");
                    if let Some(address) = self.overlay(row)? {
                        report.picture(&address, &caption);
                    }
                }
            }
        }
        Ok(())
    }

    /// A row of the first seed, smallest budget, first organ, unrefined.
    fn row_of(&self, test: usize, arm: usize, case: &str) -> Option<&ScoreRow> {
        self.first_rows(test, arm).find(|row| row.case == case)
    }

    fn first_rows(&self, test: usize, arm: usize) -> impl Iterator<Item = &ScoreRow> {
        let plan = self.plan;
        let (seed, organ) = (plan.config.seeds[0], &plan.config.organs[0]);
        self.rows.iter().filter(move |row| {
            let finetuning = &plan.finetunings[row.finetuning];
            let first = finetuning.arm == arm && finetuning.budget == 0 && finetuning.seed == seed;
            first && plan.tests[row.test].name == test && row.finish == Finish::Plain && row.organ == *organ
        })
    }

    fn extremes(&self, test: usize, arm: usize) -> Vec<(&'static str, String)> {
        let mut rows: Vec<(f64, &str)> =
            self.first_rows(test, arm).map(|row| (row.values[0], row.case.as_str())).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let Some(last) = rows.len().checked_sub(1) else { return Vec::new() };
        let places = [("best", 0), ("median", last / 2), ("worst", last)];
        places.map(|(place, at)| (place, rows[at].1.to_owned())).to_vec()
    }

    fn overlay(&self, row: &ScoreRow) -> anyhow::Result<Option<String>> {
        let plan = self.plan;
        let test = &plan.tests[row.test];
        let masks = plan.result(&plan.finetunings[row.finetuning], test, Finish::Plain).join("masks");
        let dataset = plan.dataset(test.dataset);
        let scan =
            dataset.index.scans.iter().find(|scan| scan.case == row.case).context("a case that is there")?;
        let file = format!("{}.nii.gz", row.case);
        let image = Input::at(&scan.image)?.image()?;
        let truth = nifti::read_mask(&test.dir.join("labels").join(&file))?;
        let prediction = nifti::read_mask(&masks.join(&file))?;
        picture::overlay(&image, &truth, &prediction, plan.numbers()[row.organ.as_str()])
    }
}
