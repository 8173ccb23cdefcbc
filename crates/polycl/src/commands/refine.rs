use std::path::PathBuf;

use polycl_app::refine::{Outcome as Refined, Request, run as refine};
use polycl_nn::device::Device;

use super::shared::{FormatArg, NetworkArgs, RefinementArgs, ScanArgs};
use crate::ended::Ended;
use crate::terminal::Terminal;
use crate::{talk, words};

/// Sharpen a coarse mask with a Segment Anything network
///
/// In every axial slice, the box around each connected part of each label prompts the network. A gate decides
/// whether the network's mask replaces the coarse one. Parts smaller than 50 mm² or 9 pixels stay unchanged.
///
/// Two files are written beside the refined mask: refine.csv with all decisions, and CASE.labels.json with the names
/// of the labels.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl refine scan.nii.gz --mask coarse.nii.gz --out refined.nii.gz")]
pub struct Args {
    #[command(flatten)]
    scan: ScanArgs,
    /// Coarse mask of the scan
    #[arg(long, value_name = "FILE")]
    mask: PathBuf,
    /// Refined mask to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    how: RefinementArgs,
    /// Picture to write: the slices that changed most
    ///
    /// The coarse mask is orange, the refined one green, the truth blue.
    #[arg(long, value_name = "PNG")]
    picture: Option<PathBuf>,
    /// True mask, for the picture
    #[arg(long, value_name = "FILE", requires = "picture")]
    truth: Option<PathBuf>,
    /// Names of labels: 1=liver,2=spleen, or a file
    ///
    /// Names choose the intensity window. By default they are read from the files beside the mask.
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Format of the mask
    #[arg(long, value_enum, default_value = "nifti")]
    format: FormatArg,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
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
    let Some(Refined { decided, model, mask, table, without_picture }) = refined else {
        talk::note("stopped before the end: no mask is written");
        return Ok(Ended::Stopped);
    };
    if without_picture {
        talk::note("nothing was changed, so there is no picture");
    }
    words::decisions(&decided);
    talk::note(format_args!("refined by {model}: {}", mask.display()));
    talk::note(format_args!("decision on each part: {}", table.display()));
    if let Some(picture) = request.picture.filter(|_| !without_picture) {
        talk::note(format_args!("picture: {}", picture.display()));
    }
    Ok(Ended::Done)
}
