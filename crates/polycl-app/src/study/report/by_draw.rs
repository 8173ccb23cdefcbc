//! "By draw": the scores of each seed.

use super::Writer;
use crate::figures::report::Report;
use crate::study::plan::Finish;
use crate::study::scores::{self, Cell};

impl Writer<'_> {
    /// Dice of each seed, and so of each draw of slices.
    pub(super) fn by_draw(&self, report: &mut Report) {
        let plan = self.plan;
        if plan.config.most_slices().is_none() {
            return;
        }
        report.heading("By draw");
        for (test, name) in plan.test_names.iter().enumerate() {
            let seeds = plan.config.seeds.iter().map(|seed| format!("seed {seed}"));
            let head: Vec<String> =
                [format!("Dice, {name}"), "budget".to_owned()].into_iter().chain(seeds).collect();
            let row = |cell: &Cell| {
                let found = scores::by_seed(&self.table[cell][0]).into_iter();
                let found = found.map(|mean| mean.map_or("–".to_owned(), |mean| format!("{mean:.3}")));
                let named = [plan.title(cell), plan.config.budgets[cell.budget].to_string()];
                named.into_iter().chain(found).collect()
            };
            let rows: Vec<Vec<String>> = self.cells(test, Finish::Plain).map(row).collect();
            report.table(&head.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
        }
        report.paragraph(
            "Means over patients. A seed decides which slices are drawn, first weights and order.",
        );
    }
}
