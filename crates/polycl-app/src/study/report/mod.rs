//! A study's report: one HTML file, the same in Markdown, every score as CSV.

mod by_budget;
mod by_draw;
mod comparisons;
mod found;
mod method;
mod pictures;
mod trainings;

use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::output;

use super::findings::Findings;
use super::job;
use super::plan::{Finish, StudyPlan};
use super::scores::{self, Cell, ScoreRow, Table};
use super::task;
use crate::figures::report::Report;

/// The file that tells of what a report is, for processes that join in a study.
fn note(plan: &StudyPlan) -> PathBuf {
    plan.out.join(".report.json")
}

/// A hash of the configuration and of the jobs that are done.
fn contents(plan: &StudyPlan, text: &str) -> String {
    let jobs = job::in_order(plan).into_iter().filter(|&job| task::is_done(plan, job));
    let done: Vec<String> = jobs.map(|job| task::done(plan, job).to_string_lossy().into_owned()).collect();
    format!("{:08x} {}", crc32c::crc32c((done.join("\n") + text).as_bytes()), done.len())
}

/// The report, if it is of this configuration and of all jobs that are done by now.
pub fn fresh(plan: &StudyPlan, text: &str) -> Option<PathBuf> {
    let report = plan.out.join("report.html");
    let told = std::fs::read_to_string(note(plan)).ok()?;
    (report.exists() && told == contents(plan, text)).then_some(report)
}

/// Notes of what the report is that was written.
///
/// # Errors
/// [`polycl_base::Kind::Io`]
pub fn noted(plan: &StudyPlan, text: &str) -> polycl_base::Result<()> {
    output::atomically(&note(plan), |file| file.write_all(contents(plan, text).as_bytes()))
}

/// Writes report.html, report.md and scores.csv into the study's folder; `text` is its configuration, `settled`
/// the primary method when it began, `program` the file whose hash is told.
pub fn write(plan: &StudyPlan, text: &str, settled: Option<&str>, program: &Path) -> anyhow::Result<()> {
    let rows = scores::read_all(plan)?;
    scores::write(plan, &rows, &plan.out.join("scores.csv"))?;
    let table = scores::table(plan, &rows);
    let findings = Findings::new(plan, &table);
    let (rows, table, findings) = (&rows, &table, &findings);
    let report = Writer { plan, rows, table, findings, settled, program }.report(text)?;
    report.write(&plan.out.join("report.html"))?;
    report.write_markdown(&plan.out.join("report.md"))
}

struct Writer<'a> {
    plan: &'a StudyPlan,
    rows: &'a [ScoreRow],
    table: &'a Table,
    findings: &'a Findings,
    settled: Option<&'a str>,
    program: &'a Path,
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

    /// The name of the method that others are held against.
    fn reference(&self) -> &str {
        self.plan.reference().map_or("scratch", |arm| &self.plan.arms[arm].title)
    }

    fn cells(&self, test: usize, finish: Finish) -> impl Iterator<Item = &Cell> {
        self.table.keys().filter(move |cell| cell.test == test && cell.finish == finish)
    }
}
