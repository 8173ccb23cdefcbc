//! "How it was done".

use polycl_base::counted;
use sha2::{Digest, Sha256};

use super::Writer;
use crate::figures::report::Report;
use crate::study::draw::Draw;
use crate::study::folder::Beginning;
use crate::study::plan::Arm;

impl Writer<'_> {
    pub(super) fn method(&self, report: &mut Report) -> anyhow::Result<()> {
        let plan = self.plan;
        let program = std::fs::read(self.program)?;
        let program: String =
            Sha256::digest(&program).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        report.paragraph(&format!(
            "polycl {}, the program's hash {program}. Patients are split, never slices. The patients of a budget in patients are the \
             same for all methods. Budgets are nested: the patients of a smaller one are a subset of those of a larger one. No network is tested on a patient whom it \
             or its encoder has seen. Masks that a machine drew are never truth.",
            env!("CARGO_PKG_VERSION"),
        ));
        let smooth = Beginning::read(&plan.out)?.smooth;
        if smooth > 0.0 {
            report.paragraph(&format!(
                "Probabilities are smoothed along the body by a Gaussian of {smooth} mm standard deviation before masks are decided."
            ));
        }
        let reviewed = plan.reviewed();
        if reviewed > 0 {
            report.paragraph(&format!(
                "In {} a person reviewed what a machine had proposed. They count as drawn by hand here, so that scores are agreement in part, not accuracy.",
                counted(reviewed, "scan"),
            ));
        }
        self.draws(report);
        let told = |arm: &&Arm| arm.method.pretraining.as_ref().is_some_and(|p| p.organ.is_some());
        let told: Vec<&str> = plan.arms.iter().filter(told).map(|arm| arm.title.as_str()).collect();
        if !told.is_empty() {
            report.paragraph(&format!(
                "In pre-training, {} were told of each slice whether it shows the organ, by its first and last slice \
                 in each of up to {} scans. These are also scans of patients who are not in the budget. The other methods know nothing of these scans but their voxels.",
                told.join("; "),
                plan.training().index.scans.len(),
            ));
        }
        let rows: Vec<Vec<String>> = plan
            .datasets
            .iter()
            .map(|(path, dataset)| {
                let index = &dataset.index;
                let (scans, patients) = (index.scans.len().to_string(), index.patients().len().to_string());
                let hash = index.fingerprint().chars().take(16).collect();
                vec![
                    path.display().to_string(),
                    scans,
                    patients,
                    format!("{0} × {0}", index.preprocess.size),
                    hash,
                ]
            })
            .collect();
        report.table(&["data set", "scans", "patients", "slices", "hash"], &rows);
        Ok(())
    }

    /// The ways in which methods draw the slices of a budget in slices.
    fn draws(&self, report: &mut Report) {
        let plan = self.plan;
        if plan.config.most_slices().is_none() {
            return;
        }
        let ways = [
            (Draw::Spread, "One slice of every patient in turn"),
            (
                Draw::Whole,
                "Patient after patient the slices of a scan that show an organ, of the last one some, evenly spaced",
            ),
            (
                Draw::Suggested,
                "As `polycl suggest` chooses, from a random half of the scans where there are enough",
            ),
        ];
        let of = |(draw, words): (Draw, &str)| {
            let arms = plan.arms.iter().filter(|arm| arm.method.draw == draw);
            let titles: Vec<&str> = arms.map(|arm| arm.title.as_str()).collect();
            (!titles.is_empty()).then(|| format!("{words}: {}. ", titles.join("; ")))
        };
        let ways: String = ways.into_iter().filter_map(of).collect();
        report.paragraph(&format!(
            "Which slices are drawn depends on the seed. {ways}The first and the last slice of an organ count as known in a scan \
             with drawn slices, and the slices outside train as empty ones. A budget does not count them."
        ));
    }
}
