//! "Scores by budget" of each test, and "Across tests".

use super::Writer;
use crate::figures::report::Report;
use crate::study::chart::{self, Curve};
use crate::study::findings::Estimate;
use crate::study::plan::{Arm, Finish};
use crate::study::scores::{self, Cell, MEASURES};

impl Writer<'_> {
    /// For each test and measure a picture and a table.
    pub(super) fn by_budget(&self, report: &mut Report) -> anyhow::Result<()> {
        let budgets: Vec<String> = self.plan.config.budgets.iter().map(ToString::to_string).collect();
        for (test, name) in self.plan.test_names.iter().enumerate() {
            for (finish, shown) in [
                (Finish::Plain, &[Finish::Plain, Finish::Oracle][..]),
                (Finish::Refined, &[Finish::Refined][..]),
            ] {
                if self.cells(test, finish).next().is_none() {
                    continue;
                }
                let title = format!("{name}{}", finish.suffix());
                report.heading(&format!("Scores by budget: {title}"));
                for (measure, unit) in MEASURES.iter().enumerate() {
                    let arms = 0..self.plan.arms.len();
                    let curve = |arm: usize| self.curve(test, finish, arm, measure);
                    let curves: Vec<Curve> = arms.map(curve).filter(|c| !c.points.is_empty()).collect();
                    if curves.is_empty() {
                        continue;
                    }
                    report.svg(&chart::svg(&title, [self.plan.effort(), unit], &budgets, &curves)?);
                }
                for (measure, unit) in MEASURES.iter().enumerate() {
                    let head = format!("{unit} by {}", self.plan.effort());
                    let head: Vec<&str> =
                        std::iter::once(head.as_str()).chain(budgets.iter().map(String::as_str)).collect();
                    let shown = shown.iter().filter(|&&finish| self.cells(test, finish).next().is_some());
                    let rows = shown.flat_map(|&finish| {
                        (0..self.plan.arms.len()).map(move |arm| self.row(test, finish, arm, measure))
                    });
                    report.table(&head, &rows.collect::<Vec<_>>());
                }
            }
        }
        report.paragraph(
            "Means over patients and seeds, in 3D and in mm, with 95% bootstrap intervals. An organ that is missed, or found where \
             there is none, scores Dice 0 and the image's diagonal; one that is rightly not found 1 and 0 mm. Dots in the pictures \
             are the means of single seeds.",
        );
        if self.plan.config.oracle {
            report.paragraph(
                "Oracle: the same masks, with an organ's voxels before its first and after its last true slice set to zero. They tell \
                 what is lost there, and take no part in comparisons and rankings.",
            );
        }
        report.paragraph(match self.plan.config.seeds.len() {
            1 => "With one seed, intervals tell how the means would vary with other patients, and nothing of other seeds.",
            _ => "Intervals are over patients and seeds. A seed decides who is labelled, too; with as few seeds as here, that part of the \
                  variation is drawn from few examples and comes out too small.",
        });
        if self.plan.config.folds.is_some() {
            report.paragraph(
                "The patients of one fold were segmented by the same networks, which intervals and p treat as if they were \
                 independent: both are too small by an unknown amount.",
            );
        }
        Ok(())
    }

    fn curve(&self, test: usize, finish: Finish, arm: usize, measure: usize) -> Curve {
        let cells = || self.cells(test, finish).filter(|cell| cell.arm == arm);
        let points = cells().filter_map(|cell| {
            let Estimate { mean, interval } = self.findings.estimates[cell][measure];
            Some((cell.budget, mean?, interval))
        });
        let seeds = cells().flat_map(|cell| {
            let means = scores::by_seed(&self.table[cell][measure]);
            means.into_iter().flatten().map(|mean| (cell.budget, mean))
        });
        // One seed is the mean.
        let seeds = seeds.filter(|_| self.plan.config.seeds.len() > 1).collect();
        Curve { points: points.collect(), seeds, name: self.plan.arms[arm].title.clone() }
    }

    fn row(&self, test: usize, finish: Finish, arm: usize, measure: usize) -> Vec<String> {
        let digits = if measure == 0 { 3 } else { 1 };
        let cell = |budget: usize| {
            let estimate = self.findings.estimates.get(&Cell { test, finish, budget, arm })?[measure];
            let (mean, interval) = (estimate.mean?, estimate.interval);
            let interval =
                interval.map_or(String::new(), |[low, high]| format!(" ({low:.digits$}–{high:.digits$})"));
            Some(format!("{mean:.digits$}{interval}"))
        };
        let cells =
            (0..self.plan.config.budgets.len()).map(|budget| cell(budget).unwrap_or_else(|| "–".to_owned()));
        let title = format!("{}{}", self.plan.arms[arm].title, finish.suffix());
        std::iter::once(title).chain(cells).collect()
    }

    /// Dice on all tests beside each other.
    pub(super) fn side_by_side(&self, report: &mut Report) {
        let plan = self.plan;
        if plan.test_names.len() < 2 {
            return;
        }
        report.heading("Across tests");
        let columns =
            || (0..plan.config.budgets.len()).flat_map(|b| (0..plan.test_names.len()).map(move |t| (b, t)));
        let names = columns().map(|(b, t)| format!("{}: {}", plan.config.budgets[b], plan.test_names[t]));
        let head: Vec<String> = std::iter::once("Dice by budget and test".to_owned()).chain(names).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for finish in Finish::ALL {
            let score = |arm: usize, (budget, test): (usize, usize)| {
                let estimate = self.findings.estimates.get(&Cell { test, finish, budget, arm });
                estimate.and_then(|estimate| estimate[0].mean).map(|mean| format!("{mean:.3}"))
            };
            for (arm, Arm { title, .. }) in plan.arms.iter().enumerate() {
                let scores: Vec<_> = columns().map(|column| score(arm, column)).collect();
                if scores.iter().any(Option::is_some) {
                    let title = format!("{title}{}", finish.suffix());
                    let scores = scores.into_iter().map(|score| score.unwrap_or_else(|| "–".to_owned()));
                    rows.push(std::iter::once(title).chain(scores).collect());
                }
            }
        }
        report.table(&head, &rows);
    }
}
