//! A study's report: one HTML file, the same in Markdown, every score as CSV.

use std::collections::BTreeSet;

use anyhow::Context;
use polycl_nn::train::read_log;
use polycl_volume::{Input, nifti};
use sha2::{Digest, Sha256};

use super::chart::{self, Curve};
use super::draw::Draw;
use super::findings::{Contrast, Estimate, Findings, LEVEL, p_value, sentence};
use super::plan::{Arm, Finish, Plan};
use super::scores::{self, Cell, MEASURES, Row, Table};
use super::worker::{Trained, program};
use crate::picture;
use crate::report::Report;

/// Writes report.html, report.md and scores.csv into the study's folder; `text` is its configuration, `settled`
/// the primary method when it began.
pub fn write(plan: &Plan, text: &str, settled: Option<&str>) -> anyhow::Result<()> {
    let rows = scores::read_all(plan)?;
    scores::write(plan, &rows, &plan.out.join("scores.csv"))?;
    let table = scores::table(plan, &rows);
    let findings = Findings::new(plan, &table);
    let report = Writer { plan, rows: &rows, table: &table, findings: &findings, settled }.report(text)?;
    report.write(&plan.out.join("report.html"))?;
    report.write_markdown(&plan.out.join("report.md"))
}

struct Writer<'a> {
    plan: &'a Plan,
    rows: &'a [Row],
    table: &'a Table,
    findings: &'a Findings,
    settled: Option<&'a str>,
}

impl Writer<'_> {
    fn report(&self, text: &str) -> anyhow::Result<Report> {
        let plan = self.plan;
        let mut report = Report::new(plan.config.title.as_deref().unwrap_or("PolyCL study"));
        self.found(&mut report);
        self.side_by_side(&mut report);
        self.by_budget(&mut report)?;
        self.by_draw(&mut report);
        self.against_scratch(&mut report);
        self.rankings(&mut report);
        if plan.config.pictures {
            self.pictures(&mut report)?;
        }
        self.validation(&mut report)?;
        self.spent(&mut report)?;
        report.heading("How it was done");
        self.method(&mut report)?;
        report.code(text);
        Ok(report)
    }

    /// What was settled on beforehand, in sentences, then the rest in a few.
    fn found(&self, report: &mut Report) {
        let Findings { against_scratch, against_others, against_hand, refined, .. } = self.findings;
        report.heading("What was found");
        let incomplete = (0..self.plan.arms.len()).filter(|&arm| !self.plan.complete(arm));
        for arm in incomplete {
            let title = &self.plan.arms[arm].title;
            report.paragraph(&format!("{title} is left out of everything: some of its trainings failed."));
        }
        let primary = self.plan.primary();
        let name = primary.map(|arm| self.plan.arms[arm].method.name.as_str());
        if let (Some(settled), Some(name)) = (self.settled, name)
            && settled != name
        {
            report.paragraph(&format!(
                "When this study began its primary method was {settled}; {name} was chosen later, and what is said of it was \
                 not settled on beforehand."
            ));
        }
        let settled = |contrast: &&Contrast| {
            Some(contrast.cell.arm) == primary && contrast.cell.finish == Finish::Plain
        };
        for contrast in against_scratch.iter().filter(settled) {
            report.paragraph(&sentence(self.plan, contrast));
        }
        let lists = [
            (against_scratch, format!("comparisons with {}", self.reference())),
            (against_others, "comparisons of the primary method with other pre-trainings".to_owned()),
            (against_hand, "comparisons of other masks with those drawn by hand".to_owned()),
            (refined, "comparisons of refined masks with unrefined ones".to_owned()),
        ];
        for (number, (contrasts, what)) in lists.into_iter().enumerate() {
            let said = |contrast: &Contrast| number == 0 && settled(&contrast);
            for contrast in contrasts.iter().filter(|contrast| contrast.separates() && !said(contrast)) {
                report.paragraph(&sentence(self.plan, contrast));
            }
            self.summed_up(report, contrasts, &what);
        }
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

    /// What others are held against.
    fn reference(&self) -> &str {
        self.plan.reference().map_or("scratch", |arm| &self.plan.arms[arm].title)
    }

    fn cells(&self, test: usize, finish: Finish) -> impl Iterator<Item = &Cell> {
        self.table.keys().filter(move |cell| cell.test == test && cell.finish == finish)
    }

    /// For each test and measure a picture and a table.
    fn by_budget(&self, report: &mut Report) -> anyhow::Result<()> {
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

    /// Dice of each seed, and so of each draw of slices.
    fn by_draw(&self, report: &mut Report) {
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

    fn against_scratch(&self, report: &mut Report) {
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
             corrected by Holm over all rows of a table; it speaks of the networks that were trained here on other patients, not of \
             other trainings. The interval is bootstrapped over patients and seeds. Two methods count as separated where p is below {LEVEL} and the interval \
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
        let arms: Vec<usize> = plan.reference().into_iter().chain(plan.primary()).collect();
        let Some(&last) = arms.last() else { return Ok(()) };
        report.heading(&format!("Best, median and worst scans of {}", plan.arms[last].title));
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
    fn row_of(&self, test: usize, arm: usize, case: &str) -> Option<&Row> {
        self.first_rows(test, arm).find(|row| row.case == case)
    }

    fn first_rows(&self, test: usize, arm: usize) -> impl Iterator<Item = &Row> {
        let plan = self.plan;
        let (seed, organ) = (plan.config.seeds[0], &plan.config.organs[0]);
        self.rows.iter().filter(move |row| {
            let network = &plan.networks[row.network];
            let first = network.arm == arm && network.budget == 0 && network.seed == seed;
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

    fn overlay(&self, row: &Row) -> anyhow::Result<Option<String>> {
        let plan = self.plan;
        let test = &plan.tests[row.test];
        let masks = plan.result(&plan.networks[row.network], test, Finish::Plain).join("masks");
        let (_, dataset) = &plan.datasets[test.dataset];
        let scan =
            dataset.index.scans.iter().find(|scan| scan.case == row.case).context("a case that is there")?;
        let file = format!("{}.nii.gz", row.case);
        let image = Input::at(&scan.image)?.image()?;
        let truth = nifti::read_mask(&test.dir.join("labels").join(&file))?;
        let prediction = nifti::read_mask(&masks.join(&file))?;
        picture::overlay(&image, &truth, &prediction, plan.numbers()[row.organ.as_str()])
    }

    /// Dice on all tests beside each other.
    fn side_by_side(&self, report: &mut Report) {
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

    /// What validation said, for whoever wants to choose by it.
    fn validation(&self, report: &mut Report) -> anyhow::Result<()> {
        let plan = self.plan;
        let mut rows = Vec::new();
        for (arm, Arm { title, .. }) in plan.arms.iter().enumerate().filter(|(arm, _)| plan.complete(*arm)) {
            let mut row = vec![title.clone()];
            for budget in 0..plan.config.budgets.len() {
                let mut scores = Vec::new();
                for network in plan.networks.iter().filter(|n| (n.arm, n.budget) == (arm, budget)) {
                    let log = read_log(&network.dir.join("run"))?;
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

    fn spent(&self, report: &mut Report) -> anyhow::Result<()> {
        report.heading("Compute spent");
        let plan = self.plan;
        let mean = |seconds: &[f64]| match seconds.len() {
            0 => "–".to_owned(),
            count => format!("{:.0} s", seconds.iter().sum::<f64>() / count as f64),
        };
        let mut rows = Vec::new();
        for (arm, Arm { title, .. }) in plan.arms.iter().enumerate().filter(|(arm, _)| plan.complete(*arm)) {
            let networks = || plan.networks.iter().filter(|network| network.arm == arm);
            let encoders: BTreeSet<usize> = networks().filter_map(|network| network.encoder).collect();
            let encoders = encoders
                .into_iter()
                .map(|encoder| Trained::read(&plan.encoders[encoder].dir).map(|done| done.seconds));
            let pre: Vec<f64> = encoders.collect::<anyhow::Result<_>>()?;
            let fine: Vec<f64> = networks()
                .map(|n| Trained::read(&n.dir).map(|done| done.seconds))
                .collect::<anyhow::Result<_>>()?;
            let (pre_trainings, fine_tunings) = (pre.len().to_string(), fine.len().to_string());
            rows.push(vec![title.clone(), pre_trainings, mean(&pre), fine_tunings, mean(&fine)]);
        }
        report.table(&["method", "pre-trainings", "each took", "fine-tunings", "each took"], &rows);
        let dirs = plan.encoders.iter().map(|e| &e.dir).chain(plan.networks.iter().map(|n| &n.dir));
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

    fn method(&self, report: &mut Report) -> anyhow::Result<()> {
        let plan = self.plan;
        let program = std::fs::read(program()?)?;
        let program: String =
            Sha256::digest(&program).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        report.paragraph(&format!(
            "polycl {}, the program's hash {program}. Patients are split, never slices; the patients of a budget in patients are the \
             same for all methods, and those of a smaller budget are among those of a larger one. No network is tested on a patient whom it \
             or its encoder has seen. Masks that a machine drew are never truth.",
            env!("CARGO_PKG_VERSION"),
        ));
        self.draws(report);
        let told = |arm: &&Arm| arm.method.pretraining.as_ref().is_some_and(|p| p.organ.is_some());
        let told: Vec<&str> = plan.arms.iter().filter(told).map(|arm| arm.title.as_str()).collect();
        if !told.is_empty() {
            report.paragraph(&format!(
                "In pre-training, {} were told of each slice whether it shows the organ, also of patients who are not in the budget: \
                 its first and last slice in each of up to {} scans. The other methods know nothing of these scans but their voxels.",
                told.join("; "),
                plan.datasets[0].1.index.scans.len(),
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

    /// How each method draws the slices of a budget in slices.
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
             with drawn slices, and the slices outside train as empty ones; a budget does not count them."
        ));
    }
}
