use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use polycl_app::study::{self, End, Request};

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
