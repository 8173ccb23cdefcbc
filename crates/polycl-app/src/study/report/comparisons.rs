//! "Against scratch" and the other comparisons, and "How stable the ranking is".

use super::Writer;
use crate::figures::report::Report;
use crate::study::findings::{Contrast, LEVEL, p_value};
use crate::study::scores::Cell;

impl Writer<'_> {
    pub(super) fn against_scratch(&self, report: &mut Report) {
        let lists = [
            (format!("Against {}", self.reference()), &self.findings.against_scratch),
            ("The primary method against other pre-trainings".to_owned(), &self.findings.against_others),
            ("Other masks against those drawn by hand".to_owned(), &self.findings.against_hand),
            ("Refined masks against the same unrefined".to_owned(), &self.findings.refined),
        ];
        for (title, contrasts) in lists.into_iter().filter(|(_, contrasts)| !contrasts.is_empty()) {
            report.heading(&title);
            let row = |contrast: &Contrast| {
                let Contrast { cell, other, found, p } = contrast;
                let [low, high] = found.interval;
                vec![
                    self.plan.test_names[cell.test].clone(),
                    self.plan.config.budgets[cell.budget].to_string(),
                    self.plan.title(cell),
                    self.plan.title(other),
                    format!("{:+.3}", found.difference),
                    format!("{low:+.3} to {high:+.3}"),
                    format!("{} / {}", found.better, found.worse),
                    p_value(*p),
                    if contrast.separates() { "yes" } else { "no" }.to_owned(),
                ]
            };
            let head = [
                "test",
                "budget",
                "method",
                "against",
                "Dice",
                "95% interval",
                "better / worse",
                "p",
                "separated",
            ];
            report.table(&head, &contrasts.iter().map(row).collect::<Vec<_>>());
        }
        report.paragraph(&format!(
            "Differences are taken patient by patient, seeds averaged. p is of a two-sided sign-flip permutation test over patients, \
             corrected by Holm over all rows of a table. It speaks of the networks that were trained here on other patients, not of \
             other trainings. The interval is bootstrapped over patients and seeds. Two methods count as separated where p is below {LEVEL} and the interval \
             leaves 0 out."
        ));
    }

    pub(super) fn rankings(&self, report: &mut Report) {
        report.heading("How stable the ranking is");
        let mut rows = Vec::new();
        for (group, ranking) in &self.findings.rankings {
            let cells = self.table.keys().filter(|cell| Cell { arm: 0, ..**cell } == *group);
            for (cell, rank) in cells.zip(&ranking.ranks) {
                rows.push(vec![
                    self.plan.test_names[cell.test].clone(),
                    self.plan.config.budgets[cell.budget].to_string(),
                    self.plan.title(cell),
                    format!("{:.1}", rank.mean),
                    format!("{:.0} to {:.0}", rank.interval[0], rank.interval[1]),
                    format!("{:.0} %", 100.0 * rank.first),
                    format!("{:.2}", ranking.tau),
                ]);
            }
        }
        let head = [
            "test",
            "budget",
            "method",
            "mean rank by Dice",
            "95% of resamples",
            "first in",
            "Kendall's tau",
        ];
        report.table(&head, &rows);
        report.paragraph(
            "Patients and seeds are drawn anew 10,000 times and the methods ranked each time. Kendall's tau is the mean agreement \
             of those rankings with the one on all patients (1: always the same).",
        );
    }
}
