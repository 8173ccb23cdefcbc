use std::path::PathBuf;

use polycl_app::suggest::{Request, run as suggest};
use polycl_nn::device::Device;

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Suggest the slices to draw first
///
/// The first slice is the most typical one that shows an organ. Further slices cover what the first ones leave
/// uncovered. Every scan is used once before any is used twice.
///
/// A table goes to stdout: scan, slice, height in the organ, number of slices most like this one, and reason.
/// Slices count from 0 in file order, as in --ranges of `polycl import`. Height is 0 in the lowest slice of the
/// organ and 100 in the highest. The first rows of a long table are the rows of a short one.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl suggest dataset --organ liver --count 10 --out suggested")]
pub struct Args {
    /// Data set that `polycl import` wrote
    dataset: PathBuf,
    /// Organ to draw; repeat for several [default: all]
    #[arg(long = "organ", value_name = "NAME")]
    organs: Vec<String>,
    /// Number of slices to suggest
    #[arg(long, value_name = "N")]
    count: usize,
    /// Run whose encoder compares slices [default: compare pixels]
    #[arg(long, value_name = "RUN")]
    encoder: Option<PathBuf>,
    /// Also suggest slices of scans in which slices are drawn by hand already
    ///
    /// By default those drawn slices count as chosen, and their scans are used only where no other scan is left.
    #[arg(long)]
    again: bool,
    /// Folder for suggested.csv, suggested.png and report.html
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
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
