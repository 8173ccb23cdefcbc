use std::path::PathBuf;

use anyhow::bail;
use polycl_app::demo::{Data, Request, run as demo};

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Go the whole road on phantom patients, or on a real scan, in a few minutes
///
/// Writes a cohort of phantom CT scans, names the first and last slice of the liver in each, pre-trains an
/// encoder, draws a handful of slices, one a scan or all in one patient, fine-tunes networks on them, segments
/// patients of the same hospital and of another one, and leaves a report to open in a browser. Every step
/// but the drawing is a command of its own, printed as it runs.
///
/// With --data lidc-sample the same on the scan that `polycl fetch lidc-sample` brings, as far as one
/// patient goes whose masks no person drew: what comes out is looked at, not scored.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for everything the demo writes
    #[arg(long, value_name = "DIR", default_value = "polycl-demo")]
    out: PathBuf,
    /// What to run on
    #[arg(long, value_enum, default_value = "phantoms")]
    data: DataArg,
    /// Seed of the patients and of the training
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,
    /// Fewer patients and steps: a check that all works, in under a minute; scores mean nothing
    #[arg(long)]
    quick: bool,
}

/// What to run the demo on
#[derive(Clone, Copy, clap::ValueEnum)]
enum DataArg {
    /// Patients drawn by a program
    Phantoms,
    /// The CT scan of a real patient with masks by another network; `polycl fetch` downloads it
    LidcSample,
}

/// Runs the demo, each step by `run_line`, which takes words without the leading `polycl`.
pub fn run(args: Args, run_line: fn(Vec<String>) -> anyhow::Result<Ended>) -> anyhow::Result<Ended> {
    let data = match args.data {
        DataArg::Phantoms => Data::Phantoms,
        DataArg::LidcSample => Data::LidcSample,
    };
    let request = Request { out: args.out, data, seed: args.seed, quick: args.quick };
    let mut step = |words: Vec<String>| match run_line(words)? {
        Ended::Done => Ok(()),
        Ended::SomeFailed => bail!("a step of the demo left cases out"),
        Ended::Stopped => bail!("the demo was stopped"),
    };
    let outcome = demo(&request, &mut step, &Terminal::new("demo"))?;
    talk::note(format!("done in {:.0} s; open the report in a browser:", outcome.seconds));
    talk::data(format_args!("{}\n", outcome.report.display()));
    Ok(Ended::Done)
}
