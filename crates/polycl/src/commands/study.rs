use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use polycl_app::study::{self, End, Part, Request};
use polycl_base::counted;

use crate::ended::Ended;
use crate::live::Live;
use crate::talk;

/// Compare ways of training on your data, with statistics
///
/// CONFIG names a data set, methods, budgets, seeds and test patients. A budget is a number of labelled patients or of
/// drawn slices. Test patients come from other data sets, or from folds of the same one.
///
/// Methods: scratch, simclr, moco, byol, positional, mae, scan, organ and mixed. scan-all, organ-all and mixed-all use
/// all negatives of a batch.
///
/// The whole plan is checked before anything runs. If the study is stopped or killed, run it again to resume. A CONFIG
/// that asks for more runs only the new trainings. The results are report.html, report.md and scores.csv.
///
/// On a cluster, run the same command with --join in any number of jobs, or give --plan to its workflow engine. Exit codes
/// of --task: 0 done, 75 at work elsewhere, 76 a task before it is not done.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl study study.toml --out study")]
pub struct Args {
    /// Plan of the study in TOML; docs/study.md has an example
    config: PathBuf,
    /// Folder for runs and report
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of trainings that run at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Check the plan and list the trainings, without running them
    #[arg(long)]
    dry_run: bool,
    /// Write the trainings as tasks, one line of JSON each, without running them
    #[arg(long, value_name = "FILE", help_heading = "Clusters", conflicts_with_all = ["dry_run", "task", "join", "report_only"])]
    plan: Option<PathBuf>,
    /// Run one task of --plan
    #[arg(long, value_name = "ID", help_heading = "Clusters", conflicts_with_all = ["dry_run", "join", "report_only", "jobs"])]
    task: Option<String>,
    /// Run what no other process runs, until all is done
    #[arg(long, help_heading = "Clusters", conflicts_with_all = ["dry_run", "report_only"])]
    join: bool,
    /// Write the report of what is done
    #[arg(long, help_heading = "Clusters", conflicts_with = "dry_run")]
    report_only: bool,
    /// Also lock runs by files, for file systems whose locks end at a node
    #[arg(long, help_heading = "Clusters")]
    claims: bool,
    /// Take over the work of a process without a sign of life for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..), help_heading = "Clusters")]
    patience: u32,
}

impl Args {
    fn part(&self) -> Part {
        match self {
            Self { plan: Some(file), .. } => Part::Plan(file.clone()),
            Self { task: Some(id), .. } => Part::Task(id.clone()),
            Self { join: true, .. } => Part::Joined,
            Self { report_only: true, .. } => Part::Report,
            Self { dry_run: true, .. } => Part::Check,
            _ => Part::Whole,
        }
    }
}

/// This program, as it runs: on Linux also where its file has been replaced since, so that versions never
/// mix in a study.
fn program() -> anyhow::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        Ok(running.to_owned())
    } else {
        std::env::current_exe().context("where this program is")
    }
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = Request {
        part: args.part(),
        claims: args.claims,
        patience: Duration::from_secs(args.patience.into()),
        config: args.config,
        out: args.out,
        jobs: args.jobs.map(usize::from),
        cores: rayon::current_num_threads(),
        program: program()?,
    };
    let live = Live::default();
    let study = study::run(&request, &live);
    live.finish();
    if let Some(error) = live.deaf() {
        return Err(error).context("listening to signals");
    }
    let study::Outcome { failed, end, .. } = study?;
    match end {
        End::Planned | End::TaskDone => return Ok(Ended::Done),
        End::Tasks(count) => {
            talk::note(format!("{} written", counted(count, "task")));
            return Ok(Ended::Done);
        }
        End::Held => {
            talk::note("another process is at work on this task");
            return Ok(Ended::Held);
        }
        End::NeedsUnmet => {
            talk::note("a task that this one needs is not done yet");
            return Ok(Ended::NeedsUnmet);
        }
        End::Stopped => {
            talk::note("stopped; run the same command again to resume");
            return Ok(Ended::Stopped);
        }
        End::NothingToReport => {
            bail!(
                "every method has trainings that failed: there is nothing to report; run the study again to resume"
            )
        }
        End::Reported(report) => {
            talk::note("open the report in a browser:");
            talk::data(format_args!("{}\n", report.display()));
        }
    }
    if failed.is_empty() {
        return Ok(Ended::Done);
    }
    talk::note(format!(
        "{} trainings failed; their methods are not compared. Run the study again to resume",
        failed.len()
    ));
    Ok(Ended::SomeFailed)
}
