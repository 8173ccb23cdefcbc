use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use polycl_app::study::{self, End, Request};

use crate::ended::Ended;
use crate::live::Live;
use crate::talk;

/// Find out which way of training helps on your data: methods, label budgets and seeds, with statistics
///
/// CONFIG names a data set, methods (scratch, simclr, moco, byol, positional, mae, scan, organ, mixed and,
/// with all negatives of a batch, scan-all, organ-all, mixed-all), budgets of labelled patients or of drawn
/// slices, seeds, and whom to test on: other data sets, or parts of the same one in turn. Everything is checked before
/// anything runs. A study that was stopped or killed goes on where it was, and one whose CONFIG asks for more runs
/// what is new. Leaves report.html, report.md and scores.csv.
#[derive(clap::Args)]
pub struct Args {
    /// What to compare, in TOML; docs/study.md has an example
    config: PathBuf,
    /// Folder for runs and report
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Trainings at a time; as many as there are cores without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only check everything and tell what would run
    #[arg(long)]
    dry_run: bool,
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
        config: args.config,
        out: args.out,
        jobs: args.jobs.map(usize::from),
        cores: rayon::current_num_threads(),
        dry_run: args.dry_run,
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
        End::Planned => return Ok(Ended::Done),
        End::Stopped => {
            talk::note("stopped; the same command goes on with it");
            return Ok(Ended::Stopped);
        }
        End::NothingToReport => {
            bail!("every method has trainings that failed, so there is nothing to report")
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
        "{} trainings failed; their methods are not compared. Run the study again",
        failed.len()
    ));
    Ok(Ended::SomeFailed)
}
