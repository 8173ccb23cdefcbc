//! The jobs of a study as tasks for the engine of a cluster: a line of JSON each.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use polycl_base::{Error, Kind, output};
use serde::Serialize;

use super::job::{self, Job};
use super::plan::StudyPlan;
use super::task::{self, text};

/// Seconds that a slice of 64² takes to pass a network once, on one thread of a processor of 2023 (BENCHMARKS.md).
const SECONDS: f64 = 1.4e-3;
/// Megabytes of a training, and of each slice of 256² in a batch of it.
const BASE_MB: f64 = 300.0;
const SLICE_MB: f64 = 45.0;

/// A line of the plan.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    kind: &'static str,
    name: String,
    /// The command that does it, and the folder to which the paths of the study are relative.
    argv: Vec<String>,
    cwd: String,
    /// Tasks that must be done before.
    needs: Vec<String>,
    /// A file that is there once it is done.
    done: String,
    threads: usize,
    memory_mb: u64,
    /// A guess.
    seconds: u64,
}

/// The options that every task is done with.
#[derive(Clone, Copy)]
pub struct How {
    pub threads: usize,
    pub patience: Duration,
}

/// Writes the tasks; gives their number.
///
/// # Errors
/// Paths that are not UTF-8; [`Kind::Io`].
pub fn write(plan: &StudyPlan, config: &Path, how: How, to: &Path) -> anyhow::Result<usize> {
    let jobs = job::in_order(plan);
    let rows = jobs.iter().map(|&job| row(plan, config, how, job)).collect::<anyhow::Result<Vec<_>>>()?;
    output::atomically(to, |file| {
        for row in &rows {
            serde_json::to_writer(&mut *file, row)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })?;
    Ok(rows.len())
}

fn row(plan: &StudyPlan, config: &Path, how: How, job: Job) -> anyhow::Result<Row> {
    let How { threads, patience } = how;
    let id = id(plan, job);
    let (config, out) = (text(config)?, text(&plan.out)?);
    let numbers = [threads as u64, patience.as_secs()].map(|number| number.to_string());
    let [threads_of, patience] = &numbers;
    let options = ["--threads", threads_of, "--patience", patience];
    let argv = ["polycl", "study", &config, "--out", &out, "--task", &id].into_iter().chain(options);
    let size = plan.training().index.preprocess.size as f64;
    let batch = match job {
        Job::Pretraining(_) => plan.config.images_per_step,
        Job::Finetuning(number) => plan.finetunings[number].config.training.batch,
    };
    let seconds = SECONDS * (size / 64.0).powi(2) * job.work(plan) as f64 / threads as f64;
    Ok(Row {
        kind: if matches!(job, Job::Pretraining(_)) { "pretrain" } else { "finetune" },
        name: job.name(plan),
        argv: argv.map(str::to_owned).collect(),
        cwd: text(&std::env::current_dir()?)?,
        needs: job.needs(plan).map(|job| self::id(plan, job)).into_iter().collect(),
        done: text(&task::done(plan, job))?,
        threads,
        memory_mb: (BASE_MB + SLICE_MB * batch as f64 * (size / 256.0).powi(2)) as u64,
        seconds: seconds.ceil() as u64,
        id,
    })
}

/// The name of a job's folder, which holds a hash of all that decides over it, and what is to be tested.
fn id(plan: &StudyPlan, job: Job) -> String {
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let tests = name(&task::done(plan, job)).trim_start_matches("done").to_owned();
    name(job.folder(plan)) + &tests
}

/// The job of an id.
///
/// # Errors
/// [`Kind::Request`] where the study has none.
pub fn find(plan: &StudyPlan, config: &Path, wanted: &str) -> polycl_base::Result<Job> {
    let found = job::in_order(plan).into_iter().find(|&job| id(plan, job) == wanted);
    found.ok_or_else(|| {
        let found = format!("'{wanted}', which is none, or of another version of the study or its data");
        Error::new(config, Kind::Request, "the id of a task of this study", found)
            .hint("write the plan anew with --plan, and take ids from it")
    })
}
