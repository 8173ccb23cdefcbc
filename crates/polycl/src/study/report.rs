//! A study's report: one HTML file, the same in Markdown, every score as CSV.

use std::path::Path;

use anyhow::Context;
use polycl_volume::nifti;
use serde_json::Value;

use super::chart::{self, Curve};
use super::findings::{Contrast, Estimate, Findings, LEVEL, p_value, sentence};
use super::plan::Plan;
use super::scores::{self, Cell, MEASURES, Row, Table};
use super::worker::result;
use crate::picture;
use crate::report::Report;

/// Writes report.html, report.md and scores.csv into the study's folder; `text` is its configuration.
pub fn write(plan: &Plan, text: &str) -> anyhow::Result<()> {
    let rows = scores::read_all(plan)?;
    scores::write(plan, &rows, &plan.out.join("scores.csv"))?;
    let table = scores::table(plan, &rows);
    let findings = Findings::new(plan, &table);
    let report = Writer { plan, rows: &rows, table: &table, findings: &findings }.report(text)?;
    report.write(&plan.out.join("report.html"))?;
    report.write_markdown(&plan.out.join("report.md"))
}

struct Writer<'a> {
    plan: &'a Plan,
    rows: &'a [Row],
    table: &'a Table,
    findings: &'a Findings,
}

impl Writer<'_> {
    fn report(&self, text: &str) -> anyhow::Result<Report> {
        let plan = self.plan;
        let mut report = Report::new(plan.config.title.as_deref().unwrap_or("PolyCL study"));
        self.found(&mut report);
        self.by_budget(&mut report)?;
        self.against_scratch(&mut report);
        self.rankings(&mut report);
        self.pictures(&mut report)?;
        self.spent(&mut report)?;
        report.heading("How it was done");
        self.method(&mut report);
        report.code(text);
        Ok(report)
    }

    /// What was settled on beforehand, in sentences, then the rest in a few.
    fn found(&self, report: &mut Report) {
        let Findings { against_scratch, against_others, refined, .. } = self.findings;
        report.heading("What was found");
        let primary = self.plan.primary();
        let settled = |contrast: &&Contrast| Some(contrast.cell.arm) == primary && !contrast.cell.refined;
        for contrast in against_scratch.iter().filter(settled) {
            report.paragraph(&sentence(self.plan, contrast));
        }
        let told = |contrast: &&Contrast| !settled(contrast) && contrast.separates();
        for contrast in against_scratch.iter().filter(told) {
            report.paragraph(&sentence(self.plan, contrast));
        }
        self.summed_up(report, against_scratch, "comparisons with training from scratch");
        for contrast in against_others.iter().filter(|contrast| contrast.separates()) {
            report.paragraph(&sentence(self.plan, contrast));
        }
        self.summed_up(report, against_others, "comparisons of the primary method with other pre-trainings");
        for contrast in refined.iter().filter(|contrast| contrast.separates()) {
            report.paragraph(&sentence(self.plan, contrast));
        }
        self.summed_up(report, refined, "comparisons of refined masks with unrefined ones");
    }

    fn summed_up(&self, report: &mut Report, contrasts: &[Contrast], what: &str) {
        if contrasts.is_empty() {
            return;
        }
        let count = |wanted: &dyn Fn(&Contrast) -> bool| contrasts.iter().filter(|c| wanted(c)).count();
        let ahead = count(&|c| c.separates() && c.found.difference > 0.0);
        let behind = count(&|c| c.separates() && c.found.difference < 0.0);
        report.paragraph(&format!(
            "Of all {} {what}, {ahead} are ahead, {behind} are behind, and {} are not separated by the evidence.",
            contrasts.len(),
            contrasts.len() - ahead - behind,
        ));
    }

    fn cells(&self, test: usize, refined: bool) -> impl Iterator<Item = &Cell> {
        self.table.keys().filter(move |cell| cell.test == test && cell.refined == refined)
    }

    /// For each test and measure a picture and a table.
    fn by_budget(&self, report: &mut Report) -> anyhow::Result<()> {
        let budgets: Vec<String> = self.plan.config.budgets.iter().map(ToString::to_string).collect();
        for (test, name) in self.plan.test_names.iter().enumerate() {
            for refined in [false, true] {
                if self.cells(test, refined).next().is_none() {
                    continue;
                }
                let title = format!("{name}{}", if refined { ", refined" } else { "" });
                report.heading(&format!("Scores by budget: {title}"));
                for (measure, (_, unit, _)) in MEASURES.iter().enumerate() {
                    let arms = 0..self.plan.arms.len();
                    let curve = |arm: usize| self.curve(test, refined, arm, measure);
                    let curves: Vec<Curve> = arms.map(curve).filter(|c| !c.points.is_empty()).collect();
                    report.svg(&chart::svg(&title, unit, &budgets, &curves)?);
                }
                for (measure, (_, unit, _)) in MEASURES.iter().enumerate() {
                    let head = format!("{unit} by labelled patients");
                    let head: Vec<&str> =
                        std::iter::once(head.as_str()).chain(budgets.iter().map(String::as_str)).collect();
                    let row = |arm: usize| self.row(test, refined, arm, measure);
                    let rows: Vec<Vec<String>> = (0..self.plan.arms.len()).map(row).collect();
                    report.table(&head, &rows);
                }
            }
        }
        report.paragraph(
            "Means over patients and seeds, in 3D and in mm, with 95% intervals over both; a missed organ scores Dice 0 and \
             the image's diagonal. Intervals tell how the means would vary with other patients and seeds.",
        );
        Ok(())
    }

    fn curve(&self, test: usize, refined: bool, arm: usize, measure: usize) -> Curve {
        let points = self.cells(test, refined).filter(|cell| cell.arm == arm).filter_map(|cell| {
            let Estimate { mean, interval } = self.findings.estimates[cell][measure];
            Some((cell.budget, mean?, interval))
        });
        Curve { points: points.collect(), name: self.plan.arms[arm].title.clone() }
    }

    fn row(&self, test: usize, refined: bool, arm: usize, measure: usize) -> Vec<String> {
        let digits = if measure == 0 { 3 } else { 1 };
        let cell = |budget: usize| {
            let estimate = self.findings.estimates.get(&Cell { test, refined, budget, arm })?[measure];
            let (mean, interval) = (estimate.mean?, estimate.interval);
            let interval =
                interval.map_or(String::new(), |[low, high]| format!(" ({low:.digits$}–{high:.digits$})"));
            Some(format!("{mean:.digits$}{interval}"))
        };
        let cells =
            (0..self.plan.config.budgets.len()).map(|budget| cell(budget).unwrap_or_else(|| "–".to_owned()));
        std::iter::once(self.plan.arms[arm].title.clone()).chain(cells).collect()
    }

    fn against_scratch(&self, report: &mut Report) {
        let lists = [
            ("Against training from scratch", &self.findings.against_scratch),
            ("The primary method against other pre-trainings", &self.findings.against_others),
            ("Refined masks against the same unrefined", &self.findings.refined),
        ];
        for (title, contrasts) in lists.into_iter().filter(|(_, contrasts)| !contrasts.is_empty()) {
            report.heading(title);
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
             corrected by Holm over all rows of a table; it speaks of these trained networks on other patients. The interval is \
             bootstrapped over patients and seeds. Two methods count as separated where p is below {LEVEL} and the interval \
             leaves 0 out."
        ));
    }

    fn rankings(&self, report: &mut Report) {
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
            "Patients and seeds are drawn anew 10,000 times and the methods ranked each time; Kendall's tau is the mean agreement \
             of those rankings with the one on all patients (1: always the same).",
        );
    }

    /// The best, the median and the worst patient of the primary method at the smallest budget, beside scratch.
    fn pictures(&self, report: &mut Report) -> anyhow::Result<()> {
        let plan = self.plan;
        let scratch = plan.arms.iter().position(|arm| arm.method.pretraining.is_none());
        let arms: Vec<usize> = scratch.into_iter().chain(plan.primary()).collect();
        let Some(&last) = arms.last() else { return Ok(()) };
        report.heading(&format!("Best, median and worst patients of {}", plan.arms[last].title));
        report.paragraph(&format!(
            "By Dice at a budget of {}, seed {}: truth in blue, prediction in orange, in the slice with most of {}.",
            plan.budget_in_words(0),
            plan.config.seeds[0],
            plan.config.organs[0],
        ));
        for (test, name) in plan.test_names.iter().enumerate() {
            for (place, case) in self.extremes(test, last) {
                for &arm in &arms {
                    let Some(row) = self.row_of(test, arm, &case) else { continue };
                    let dice = row.values[0].map_or("undefined".to_owned(), |dice| format!("{dice:.3}"));
                    let caption = format!("{name}, {place}: {case}, {}, Dice {dice}", plan.arms[arm].title);
                    if let Some(address) = self.overlay(row)? {
                        report.picture(&address, &caption);
                    }
                }
            }
        }
        Ok(())
    }

    /// A row of the first seed, smallest budget, first organ, unrefined.
    fn row_of(&self, test: usize, arm: usize, case: &str) -> Option<&Row> {
        self.first_rows(test, arm).find(|row| row.case == case)
    }

    fn first_rows(&self, test: usize, arm: usize) -> impl Iterator<Item = &Row> {
        let plan = self.plan;
        let (seed, organ) = (plan.config.seeds[0], &plan.config.organs[0]);
        self.rows.iter().filter(move |row| {
            let network = &plan.networks[row.network];
            let first = network.arm == arm && network.budget == 0 && network.seed == seed;
            first && plan.tests[row.test].name == test && !row.refined && row.organ == *organ
        })
    }

    fn extremes(&self, test: usize, arm: usize) -> Vec<(&'static str, String)> {
        let mut rows: Vec<(f64, &str)> =
            self.first_rows(test, arm).filter_map(|row| Some((row.values[0]?, row.case.as_str()))).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let Some(last) = rows.len().checked_sub(1) else { return Vec::new() };
        let places = [("best", 0), ("median", last / 2), ("worst", last)];
        places.map(|(place, at)| (place, rows[at].1.to_owned())).to_vec()
    }

    fn overlay(&self, row: &Row) -> anyhow::Result<Option<String>> {
        let plan = self.plan;
        let test = &plan.tests[row.test];
        let masks = result(&plan.networks[row.network], test, false).join("masks");
        let (_, dataset) = &plan.datasets[test.dataset];
        let scan =
            dataset.index.scans.iter().find(|scan| scan.case == row.case).context("a case that is there")?;
        let file = format!("{}.nii.gz", row.case);
        let image = nifti::read_image(&scan.image.path)?;
        let truth = nifti::read_mask(&test.dir.join("labels").join(&file))?;
        let prediction = nifti::read_mask(&masks.join(&file))?;
        let label = plan.datasets[0].1.index.label(&row.organ).context("an organ with a number")?;
        picture::overlay(&image, &truth, &prediction, label)
    }

    fn spent(&self, report: &mut Report) -> anyhow::Result<()> {
        report.heading("Compute spent");
        let plan = self.plan;
        let mut rows = Vec::new();
        let (mut whole, mut all) = (0.0, 0);
        for (number, arm) in plan.arms.iter().enumerate() {
            let networks: Vec<_> = plan.networks.iter().filter(|network| network.arm == number).collect();
            let mut encoders: Vec<usize> = networks.iter().filter_map(|network| network.encoder).collect();
            encoders.sort_unstable();
            encoders.dedup();
            let pre = encoders.iter().map(|&encoder| seconds(&plan.encoders[encoder].dir));
            let pre: Vec<f64> = pre.collect::<anyhow::Result<_>>()?;
            let fine: Vec<f64> =
                networks.iter().map(|network| seconds(&network.dir)).collect::<anyhow::Result<_>>()?;
            let mean = |seconds: &[f64]| match seconds.len() {
                0 => "–".to_owned(),
                count => format!("{:.0} s", seconds.iter().sum::<f64>() / count as f64),
            };
            // Arms that differ in their masks alone share encoders.
            let shared = arm.labels.is_some();
            whole += fine.iter().sum::<f64>() + if shared { 0.0 } else { pre.iter().sum() };
            all += fine.len() + if shared { 0 } else { pre.len() };
            rows.push(vec![
                arm.title.clone(),
                pre.len().to_string(),
                mean(&pre),
                fine.len().to_string(),
                mean(&fine),
            ]);
        }
        report.table(&["method", "pre-trainings", "each took", "fine-tunings", "each took"], &rows);
        report.paragraph(&format!(
            "{all} trainings, {:.1} hours of them one after the other; predictions and their scores not counted. Every \
             pre-training saw {} slices, {} in each step.",
            whole / 3600.0,
            plan.config.images,
            plan.config.images_per_step,
        ));
        Ok(())
    }

    fn method(&self, report: &mut Report) {
        let plan = self.plan;
        report.paragraph(&format!(
            "polycl {}. Patients are split, never slices; the patients of a budget are the same for all methods, and those of a \
             smaller budget are among those of a larger one. No encoder has seen a patient it is tested on. Masks that a \
             machine drew are never truth.",
            env!("CARGO_PKG_VERSION"),
        ));
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
    }
}

/// Seconds that a training took.
fn seconds(dir: &Path) -> anyhow::Result<f64> {
    let path = dir.join("trained.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let done: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(done["seconds"].as_f64().unwrap_or(0.0))
}
