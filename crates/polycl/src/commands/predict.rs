use std::path::PathBuf;

use anyhow::{bail, ensure};
use polycl_app::SamWeights;
use polycl_app::predict::{Outcome as Segmented, Request, merge, run as predict};
use polycl_base::counted;
use polycl_nn::predict::Components;
use polycl_nn::sam::Model;
use polycl_nn::smooth::SMOOTH;

use super::shared::{FormatArg, RefinementArgs, ShardArgs, TrustArgs, tell_merged, tell_shard};
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Segment scans with a fine-tuned network
///
/// Writes DIR/CASE.nii.gz on the grid of each scan, and DIR/labels.json with the names of the labels. The record
/// DIR/polycl.json tells `polycl evaluate` which of these scans trained the network. With --refine, DIR/refine.csv
/// lists the decision on every part of every slice.
///
/// A scan that cannot be segmented is skipped and listed, and the exit code is 1. Ctrl-C ends after the current
/// scan, a second Ctrl-C at once.
#[derive(clap::Args)]
#[command(
    override_usage = "polycl predict [OPTIONS] --out <DIR> <RUN> <IMAGES>...\n       polycl predict --merge <DIR>"
)]
#[command(after_help = "Example:\n  polycl predict liver scans --out predictions")]
pub struct Args {
    /// Run that `polycl finetune` wrote
    #[arg(required_unless_present = "merge")]
    run: Option<PathBuf>,
    /// Scans to segment: files, folders of files, or folders of DICOM slices
    #[arg(required_unless_present = "merge")]
    images: Vec<PathBuf>,
    /// Folder for the masks
    #[arg(long, value_name = "DIR", required_unless_present = "merge")]
    out: Option<PathBuf>,
    /// Find organs only in slices that a table names
    ///
    /// Columns are scan, organ, first_slice, last_slice, as of `polycl import --ranges`. An organ or a scan without a
    /// row is segmented as without the table.
    #[arg(long, value_name = "CSV")]
    ranges: Option<PathBuf>,
    /// Average with the mirrored scan; takes twice as long
    #[arg(long, hide_short_help = true)]
    flip: bool,
    /// Keep only the largest connected component of each organ
    ///
    /// By default an organ keeps as many components as it has in the masks that trained the network: 1 or 2. It
    /// keeps all where those masks do not agree on a number.
    #[arg(long)]
    largest: bool,
    /// Keep all connected components
    #[arg(long, hide_short_help = true, conflicts_with = "largest")]
    all_components: bool,
    /// Smooth probabilities along the body by a Gaussian of this standard deviation; 0 does not
    ///
    /// A network sees one slice at a time, and an organ goes on in the next one.
    #[arg(long, hide_short_help = true, value_name = "MM", default_value_t = SMOOTH)]
    smooth: f64,
    /// Also write probabilities to DIR/probabilities
    ///
    /// Files are named CASE_ORGAN.nii.gz, and hold probabilities as they are smoothed, before any refinement.
    #[arg(long)]
    probabilities: bool,
    /// Resume: segment only the scans without a mask
    ///
    /// A finished mask is kept where weights, options and scan are unchanged.
    #[arg(long = "continue")]
    go_on: bool,
    /// Refine the masks with a network such as litemedsam
    ///
    /// See `polycl refine` for the networks.
    #[arg(long, value_name = "NAME", help_heading = "Refinement")]
    refine: Option<Model>,
    /// Weights of that network [default: those from `polycl fetch`]
    #[arg(long, value_name = "FILE", requires = "refine", help_heading = "Refinement")]
    weights: Option<PathBuf>,
    /// Format of the masks
    #[arg(long, value_enum, default_value = "nifti")]
    format: FormatArg,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten, next_help_heading = "Refinement")]
    how: RefinementArgs,
    #[command(flatten)]
    shard: ShardArgs,
    /// Unite the masks of all shards in DIR
    #[arg(long, value_name = "DIR", help_heading = "Clusters", exclusive = true)]
    merge: Option<PathBuf>,
}

impl Args {
    fn components(&self) -> Components {
        match (self.largest, self.all_components) {
            (true, _) => Components::Largest,
            (_, true) => Components::All,
            _ => Components::Trained,
        }
    }

    fn request(self) -> anyhow::Result<Request> {
        let (components, shard) = (self.components(), self.shard.shard()?);
        let given = self.how.given();
        let how = self.how.refinement();
        how.check()?;
        let refinement = match (self.refine, given) {
            (Some(model), _) => Some((SamWeights { model: Some(model), file: self.weights }, how)),
            (None, Some(flag)) => bail!("{flag} needs --refine <NAME>"),
            (None, None) => None,
        };
        Ok(Request {
            run: self.run.unwrap_or_default(),
            scans: self.images,
            out: self.out.unwrap_or_default(),
            ranges: self.ranges,
            smooth: self.smooth,
            flip: self.flip,
            components,
            probabilities: self.probabilities,
            go_on: self.go_on,
            refinement,
            whole_scans: true,
            format: self.format.into(),
            device: self.device,
            trust: self.trust.trust,
            shard,
        })
    }
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    if let Some(out) = &args.merge {
        let merged = merge(out)?;
        talk::note(format!("{}: {}", counted(merged.masks, "mask"), out.display()));
        let told = tell_merged(&merged.failed);
        ensure!(merged.masks > 0 || merged.failed.is_empty(), "no scan could be segmented");
        return Ok(told);
    }
    let request = args.request()?;
    let terminal = Terminal::new("predict");
    let outcome = predict(&request, &terminal)?;
    drop(terminal);
    // The error of a lone scan is told as every command's.
    if let (1, [failure], None) = (outcome.of, &*outcome.failed, request.shard) {
        return Err(failure.error.clone().into());
    }
    let told = tell(&request, &outcome);
    ensure!(outcome.failed.len() < outcome.of || request.shard.is_some(), "no scan could be segmented");
    Ok(told)
}

/// Tells the end: what failed and why, and what was left when somebody asked to stop.
fn tell(request: &Request, Segmented { of, kept, failed, left }: &Segmented) -> Ended {
    let (out, done) = (request.out.display(), of - kept - failed.len() - left.len());
    let kept = if *kept > 0 { format!(", {kept} were there already") } else { String::new() };
    talk::note(format!("{done} of {} segmented{kept}: {out}", counted(*of, "scan")));
    let failed: Vec<_> = failed.iter().map(|failure| (failure.case.clone(), failure.error.clone())).collect();
    let ended = talk::failures(&failed);
    if !failed.is_empty() && failed.len() < *of {
        talk::note("hint: run the command again with --continue to try these again");
    }
    if !left.is_empty() {
        talk::note(format!("stopped before {}\nhint: resume with --continue", left.join(", ")));
        return Ended::Stopped;
    }
    if let Some(shard) = request.shard {
        tell_shard(shard, "predict", &request.out);
    } else if failed.is_empty() {
        talk::next(format_args!("evaluate --reference MASKS --prediction {out} --out SCORES"));
    }
    ended
}
