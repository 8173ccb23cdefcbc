//! Studies: methods × budgets × seeds × tests, and what the scores say.

mod chart;
mod config;
mod draw;
mod event;
mod execute;
mod findings;
mod folder;
mod job;
mod join;
mod layout;
mod oracle;
mod plan;
mod processes;
mod report;
mod runner;
mod scores;
mod standing;
mod task;
mod tasks;
mod trained;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use polycl_base::Watch;
use polycl_base::claim::{self, Claims};
use polycl_nn::device::Device;
use serde::{Deserialize, Serialize};

use crate::refinement::SamWeights;
pub use config::Config;
pub use event::{Count, Event, Failed, JobEnd, Planned};
use folder::Beginning;
use job::Job;
use join::Only;
use plan::StudyPlan;
pub use processes::LocalProcesses;
pub use runner::{Runner, Ticket};
pub use standing::{Mean, MethodStanding, Standing};
pub use task::Task;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The comparison to make, in TOML; docs/study.md has an example.
    pub config: PathBuf,
    /// Folder for runs and report.
    pub out: PathBuf,
    /// Jobs at a time; as many as there are cores without it.
    pub jobs: Option<usize>,
    /// Cores that all of it may use.
    pub cores: usize,
    pub part: Part,
    /// Also claims each lock by files, where locks of the system do not reach from computer to computer.
    #[serde(default)]
    pub claims: bool,
    /// The time after which work that shows no sign of life is anybody's, of [`Part::Task`] and [`Part::Joined`].
    #[serde(default = "patience")]
    pub patience: Duration,
    /// The file of `polycl`, which is run for each step, and whose hash the report tells.
    pub program: PathBuf,
}

fn patience() -> Duration {
    claim::PATIENCE
}

/// The part of a study that a process does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// All, as the only process at work on it.
    #[default]
    Whole,
    /// None: checks everything, and tells what would run.
    Check,
    /// None: writes the jobs as tasks, a line of JSON each.
    Plan(PathBuf),
    /// One task by its id.
    Task(String),
    /// All that is free, beside other processes, until the whole is done; one of them writes the report.
    Joined,
    /// The report of what is done.
    Report,
}

impl Request {
    fn jobs(&self) -> usize {
        match self.part {
            Part::Task(_) => 1,
            _ => self.jobs.unwrap_or(self.cores).max(1),
        }
    }

    /// True if other processes may do the rest.
    fn is_one_of_many(&self) -> bool {
        matches!(self.part, Part::Task(_) | Part::Joined)
    }

    /// Threads of each job.
    fn threads(&self) -> usize {
        (self.cores / self.jobs()).max(1)
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub planned: Planned,
    /// Jobs that failed; their methods are not compared.
    pub failed: Vec<Failed>,
    pub end: End,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum End {
    /// All is checked, and nothing was asked for but that.
    Planned,
    /// The same request goes on with it.
    Stopped,
    /// Every method has jobs that failed.
    NothingToReport,
    /// In this file.
    Reported(PathBuf),
    /// So many tasks were written.
    Tasks(usize),
    /// The task is done.
    TaskDone,
    /// Another process is at work on the task.
    Held,
    /// A task before it is not done yet.
    NeedsUnmet,
}

/// Runs all of a study that is not there yet by processes of this machine, and reports. `watch` hears every [`Event`].
///
/// # Errors
/// As [`run_on`].
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let mut processes = LocalProcesses::new(&request.program, request.threads());
    if let Part::Whole | Part::Task(_) | Part::Joined = request.part {
        let shared = request.is_one_of_many().then_some(request.patience);
        processes.set("POLYCL_SIMD", folder::simd(&request.out, shared)?);
    }
    if request.claims || request.is_one_of_many() {
        processes.share(request.patience);
    }
    run_on(request, &mut processes, watch)
}

/// As [`run`], by whoever does the trainings.
///
/// # Errors
/// For everything that cannot be met with the data at hand, before anything is written; for a folder in which another
/// study runs. A job that fails is no error.
pub fn run_on(request: &Request, runner: &mut dyn Runner, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let Request { config: path, out, .. } = request;
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let config = Config::parse(&text, path)?;
    let refined_by = refined_by(&config)?;
    let plan = Arc::new(StudyPlan::new(config, out, refined_by)?);
    let beginning = Beginning::read(&plan.out)?;
    beginning.same_data(&plan)?;
    let jobs = request.jobs();
    let planned = planned(&plan, jobs);
    watch.partial(&Event::Planned(planned.clone()));
    let ended = |failed, end| Ok(Outcome { planned, failed, end });
    match &request.part {
        Part::Check => return ended(Vec::new(), End::Planned),
        Part::Plan(file) => {
            let config = std::path::absolute(path)?;
            let how = tasks::How { threads: request.threads(), patience: request.patience };
            let tasks = tasks::write(&plan, &config, how, file)?;
            return ended(Vec::new(), End::Tasks(tasks));
        }
        _ => {}
    }
    let is_one_of_many = request.is_one_of_many();
    let _held = if is_one_of_many { folder::shared(out)? } else { folder::alone(out)? };
    let mut claims = Claims::new(request.patience);
    if is_one_of_many || request.claims {
        claim::check(out)?;
    }
    let beginning = beginning.noted(&plan)?;
    let report = || report(&plan, &text, (&beginning, &request.program));
    match &request.part {
        Part::Task(id) => {
            let job = tasks::find(&plan, path, id)?;
            lay_out(&plan, Some(&mut claims))?;
            open(&plan, &[job], watch);
            let end = match join::only(&plan, job, &mut claims, runner, watch)? {
                Only::Done => End::TaskDone,
                Only::Held => End::Held,
                Only::NeedsUnmet => End::NeedsUnmet,
                Only::Stopped => End::Stopped,
            };
            ended(Vec::new(), end)
        }
        Part::Joined => {
            lay_out(&plan, Some(&mut claims))?;
            open(&plan, &job::in_order(&plan), watch);
            let failed = join::all(&plan, jobs, &mut claims, runner, watch)?;
            if !watch.stop() {
                watch.partial(&Event::Over { failed: failed.clone() });
            }
            let there = || report::fresh(&plan, &text).map(End::Reported);
            let report = || {
                let end = report()?;
                report::noted(&plan, &text)?;
                Ok(end)
            };
            let end = join::once(out, &mut claims, there, report, watch)?;
            ended(failed, end.unwrap_or(End::Stopped))
        }
        Part::Report => {
            let end = report()?;
            ended(Vec::new(), end)
        }
        Part::Whole | Part::Check | Part::Plan(_) => {
            open(&plan, &job::in_order(&plan), watch);
            lay_out(&plan, None)?;
            let failed = execute::execute(&plan, jobs, runner, watch);
            if watch.stop() {
                return ended(failed, End::Stopped);
            }
            watch.partial(&Event::Over { failed: failed.clone() });
            let end = report()?;
            ended(failed, end)
        }
    }
}

/// The network that refines and its weights, which must be there; empty without refinement.
fn refined_by(config: &Config) -> anyhow::Result<String> {
    let Some(refinement) = &config.refinement else { return Ok(String::new()) };
    let weights = SamWeights { model: Some(refinement.model), file: refinement.weights.clone() };
    let (model, sam) = weights.open(Device::Cpu)?;
    Ok(format!("{model} {:08x}", sam.checksum))
}

fn planned(plan: &StudyPlan, jobs: usize) -> Planned {
    let count = |dirs: Vec<&Path>| Count {
        all: dirs.len(),
        done: dirs.into_iter().filter(|dir| trained::is_done(dir)).count(),
    };
    Planned {
        methods: plan.arms.len(),
        budgets: plan.config.budgets.len(),
        seeds: plan.config.seeds.len(),
        folds: plan.config.folds,
        pretrainings: count(plan.pretrainings.iter().map(|training| &*training.dir).collect()),
        finetunings: count(plan.finetunings.iter().map(|training| &*training.dir).collect()),
        jobs,
    }
}

/// Tells of all the work that there is.
fn open(plan: &StudyPlan, jobs: &[Job], watch: &dyn Watch) {
    let work = jobs.iter().map(|job| job.work(plan)).sum();
    watch.partial(&Event::Opened { work, standing: standing::SoFar::default().standing(plan) });
}

/// Lays all tests out, with claims one process of many at a time.
fn lay_out(plan: &StudyPlan, claims: Option<&mut Claims>) -> anyhow::Result<()> {
    if plan.tests.iter().all(|test| test.dir.exists()) {
        return Ok(());
    }
    let _claim = claims.map(|claims| claims.in_turn(&plan.out, "tests")).transpose()?;
    for test in &plan.tests {
        // One that was paused meanwhile finds that another was faster.
        layout::lay_out(plan, test).or_else(|e| test.dir.exists().then_some(()).ok_or(e))?;
    }
    Ok(())
}

fn report(plan: &StudyPlan, text: &str, (beginning, program): (&Beginning, &Path)) -> anyhow::Result<End> {
    if (0..plan.arms.len()).all(|arm| !plan.complete(arm)) {
        return Ok(End::NothingToReport);
    }
    report::write(plan, text, beginning.primary.as_deref(), program)?;
    Ok(End::Reported(plan.out.join("report.html")))
}
