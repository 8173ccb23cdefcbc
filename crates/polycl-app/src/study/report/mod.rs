//! A study's report: one HTML file, the same in Markdown, every score as CSV.

mod by_budget;
mod by_draw;
mod comparisons;
mod found;
mod method;
mod pictures;
mod trainings;

use std::path::{Path, PathBuf};

use super::findings::Findings;
use super::job;
use super::plan::{Finish, StudyPlan};
use super::scores::{self, Cell, ScoreRow, Table};
use super::task;
use crate::figures::report::Report;

/// The report, if it is not older than the last job.
pub fn fresh(plan: &StudyPlan) -> Option<PathBuf> {
    let when = |file: &Path| file.metadata().ok()?.modified().ok();
    // The last file to be written.
    let written = when(&plan.out.join("report.md"))?;
    let jobs = job::in_order(plan).into_iter();
    let all = jobs.map(|job| when(&task::done(job.folder(plan)))).collect::<Option<Vec<_>>>()?;
    all.into_iter().all(|done| done <= written).then(|| plan.out.join("report.html"))
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
