//! Studies: methods × budgets × seeds × tests, and what the scores say.

mod chart;
mod config;
mod draw;
mod event;
mod execute;
mod findings;
mod folder;
mod job;
mod layout;
mod oracle;
mod plan;
mod processes;
mod report;
mod runner;
mod scores;
mod standing;
mod task;
mod trained;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use polycl_base::Watch;
use polycl_nn::device::Device;
use serde::{Deserialize, Serialize};

use crate::refinement::SamWeights;
pub use config::Config;
pub use event::{Count, Event, Failed, JobEnd, Planned};
use folder::Beginning;
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
    /// Only checks everything and tells what would run.
    pub dry_run: bool,
    /// The file of `polycl`, which is run for each step, and whose hash the report tells.
    pub program: PathBuf,
}

impl Request {
    fn jobs(&self) -> usize {
        self.jobs.unwrap_or(self.cores).max(1)
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
}

/// Runs all of a study that is not there yet by processes of this machine, and reports. `watch` hears every [`Event`].
///
/// # Errors
/// As [`run_on`].
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let threads = (request.cores / request.jobs()).max(1);
    run_on(request, &mut LocalProcesses::new(&request.program, threads), watch)
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
    if request.dry_run {
        return Ok(Outcome { planned, failed: Vec::new(), end: End::Planned });
    }
    let _alone = folder::alone(out)?;
    let beginning = beginning.noted(&plan)?;
    let failed = train(&plan, jobs, runner, watch)?;
    let end = if watch.stop() {
        End::Stopped
    } else {
        watch.partial(&Event::Over { failed: failed.clone() });
        report(&plan, &text, (&beginning, &request.program))?
    };
    Ok(Outcome { planned, failed, end })
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

/// Trains and tests; returns what failed.
fn train(
    plan: &Arc<StudyPlan>,
    jobs: usize,
    runner: &mut dyn Runner,
    watch: &dyn Watch,
) -> anyhow::Result<Vec<Failed>> {
    let work = job::in_order(plan).into_iter().map(|job| job.work(plan)).sum();
    watch.partial(&Event::Opened { work, standing: standing::SoFar::default().standing(plan) });
    for test in &plan.tests {
        layout::lay_out(plan, test)?;
    }
    Ok(execute::execute(plan, jobs, runner, watch))
}

fn report(plan: &StudyPlan, text: &str, (beginning, program): (&Beginning, &Path)) -> anyhow::Result<End> {
    if (0..plan.arms.len()).all(|arm| !plan.complete(arm)) {
        return Ok(End::NothingToReport);
    }
    report::write(plan, text, beginning.primary.as_deref(), program)?;
    Ok(End::Reported(plan.out.join("report.html")))
}
