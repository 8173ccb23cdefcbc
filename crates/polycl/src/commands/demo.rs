use std::path::PathBuf;

use anyhow::bail;
use polycl_app::demo::{Data, QUICKLY, Request, run as demo};

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Run the whole workflow on phantom patients, in a few minutes
///
/// Writes phantom CT scans, names the first and last slice of the liver in each, and pre-trains an encoder.
/// Draws a handful of slices, one per scan or all in one patient, and fine-tunes networks on them. Segments
/// patients of the same hospital and of another one. Writes a report to open in a browser. Every step but
/// the drawing is a command of its own, printed as it runs.
///
/// With --data lidc-sample, the steps run on the real scan that `polycl fetch lidc-sample` downloads. That
/// sample has one patient, with masks that a network made: results show agreement, not accuracy.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl demo --quick")]
pub struct Args {
    /// Folder for everything that the demo writes
    #[arg(long, value_name = "DIR", default_value = "polycl-demo")]
    out: PathBuf,
    /// Data to run on
    #[arg(long, value_enum, default_value = "phantoms")]
    data: DataArg,
    /// Seed of the patients and of the training
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,
    /// Run with fewer patients and steps, in under a minute; scores mean nothing
    #[arg(long)]
    quick: bool,
}

/// The data of a demo.
#[derive(Clone, Copy, clap::ValueEnum)]
enum DataArg {
    /// Phantom patients, drawn by a program
    Phantoms,
    /// CT scan of a real patient, with masks that a network made; `polycl fetch` downloads it
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
        Ended::SomeFailed => bail!("a step of the demo skipped cases; they are listed above"),
        Ended::Stopped => bail!("the demo was stopped"),
        Ended::Held | Ended::NeedsUnmet => bail!("a step of the demo was not done"),
    };
    talk::guide();
    let outcome = demo(&request, &mut step, &Terminal::new("demo"))?;
    talk::note("");
    outcome.findings.iter().for_each(talk::note);
    if request.quick {
        talk::note(QUICKLY);
    }
    talk::note(format!("done in {:.0} s; open the report in a browser:", outcome.seconds));
    talk::data(format_args!("{}\n", outcome.report.display()));
    Ok(Ended::Done)
}
