use std::path::PathBuf;

use polycl_app::refine::{Outcome as Refined, Request, run as refine};
use polycl_nn::device::Device;

use super::shared::{FormatArg, NetworkArgs, RefinementArgs, ScanArgs};
use crate::ended::Ended;
use crate::terminal::Terminal;
use crate::{talk, words};

/// Sharpen a coarse mask with a Segment Anything network
///
/// The box around every connected part of every label in every axial slice prompts the network; a gate
/// decides whether its mask replaces the coarse one. Parts smaller than 50 mm² or 9 pixels stay as they
/// are. What was decided stands in refine.csv beside the refined mask, and the names of its labels in
/// CASE.labels.json.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    scan: ScanArgs,
    /// Its coarse mask
    #[arg(long, value_name = "FILE")]
    mask: PathBuf,
    /// Refined mask to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    how: RefinementArgs,
    /// Picture of the slices in which most was changed: coarse orange, refined green, truth blue
    #[arg(long, value_name = "PNG")]
    picture: Option<PathBuf>,
    /// True mask, for the picture
    #[arg(long, value_name = "FILE", requires = "picture")]
    truth: Option<PathBuf>,
    /// Names of labels, which choose the intensity window: a file, or 1=liver,2=spleen; else those
    /// beside the mask
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Format of the mask
    #[arg(long, value_enum, default_value = "nifti")]
    format: FormatArg,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = Request {
        scan: args.scan.scan(),
        mask: args.mask,
        out: args.out,
        weights: args.network.weights(),
        how: args.how.refinement(),
        picture: args.picture,
        truth: args.truth,
        names: args.names,
        format: args.format.into(),
        device: args.device,
    };
    let terminal = Terminal::new("refine");
    let refined = refine(&request, &terminal)?;
    drop(terminal);
    let Some(Refined { decided, model, mask, without_picture }) = refined else {
        talk::note("stopped before the end: no mask is written");
        return Ok(Ended::Stopped);
    };
    if without_picture {
        talk::note("nothing was changed, so there is no picture");
    }
    words::decisions(&decided);
    talk::note(format_args!("refined by {model}: {}", mask.display()));
    Ok(Ended::Done)
}
