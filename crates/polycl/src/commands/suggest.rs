use std::path::PathBuf;

use polycl_app::suggest::{Request, run as suggest};
use polycl_nn::device::Device;

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Suggest which slices to draw first
///
/// Chooses the most typical slice that shows an organ, then those that cover what is left, of every scan
/// once before any twice. Writes a table to stdout: scan, slice (from 0, in file order, as --ranges of
/// import counts), height in the organ from the lowest slice (0) to the highest (100), slices that are
/// most like this one, and why. The first rows of a long table are those of a short one.
#[derive(clap::Args)]
pub struct Args {
    /// Data set that `polycl import` wrote
    dataset: PathBuf,
    /// What is to be drawn; repeat it for several, leave it out for all
    #[arg(long = "organ", value_name = "NAME")]
    organs: Vec<String>,
    /// Slices to suggest
    #[arg(long, value_name = "N")]
    count: usize,
    /// Run whose encoder tells slices apart; their pixels without it
    #[arg(long, value_name = "RUN")]
    encoder: Option<PathBuf>,
    /// Also suggest slices of scans of which some slice is drawn by hand; without it those slices count as
    /// chosen before, unless no other scan is left
    #[arg(long)]
    again: bool,
    /// Folder for suggested.csv, suggested.png and report.html
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let Args { dataset, organs, count, encoder, again, out, device } = args;
    let request = Request { dataset, organs, count, encoder, again, out, device };
    let outcome = suggest(&request, &Terminal::new("suggest"))?;
    if let Some(report) = outcome.report {
        talk::note(format!("see {}", report.display()));
    }
    Ok(Ended::Done)
}
