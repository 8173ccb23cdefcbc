use std::path::PathBuf;

use anyhow::{bail, ensure};
use polycl_app::SamWeights;
use polycl_app::predict::{Outcome as Segmented, Request, run as predict};
use polycl_base::told;
use polycl_nn::predict::Components;
use polycl_nn::sam::Model;

use super::shared::{FormatArg, RefinementArgs, TrustArgs};
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Segment scans with a fine-tuned network
///
/// Writes DIR/CASE.nii.gz in the grid of each scan, DIR/labels.json with the names of the values,
/// and DIR/polycl.json, which tells `evaluate` which of these scans the network was trained on. With
/// --refine, DIR/refine.csv says what was decided about every part of every slice. A scan that cannot be
/// segmented does not stop the others. Ctrl-C ends after the scan at hand, a second one at once.
#[derive(clap::Args)]
pub struct Args {
    /// Run that `polycl finetune` wrote
    run: PathBuf,
    /// Scans to segment, or folders of them, or of DICOM slices
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Folder for the masks
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Average with the prediction of the mirrored scan
    #[arg(long)]
    flip: bool,
    /// Keep only the largest connected component of each organ; without it as many as the organ has in the
    /// masks that trained the network, 1 or 2 where these tell
    #[arg(long)]
    largest: bool,
    /// Keep all connected components
    #[arg(long, conflicts_with = "largest")]
    all_components: bool,
    /// Also write DIR/probabilities/CASE_ORGAN.nii.gz, as they are before any refinement
    #[arg(long)]
    probabilities: bool,
    /// Go on with a folder: leave the masks that are there, of the same weights and options and of scans
    /// that have not changed since, and make the others
    #[arg(long = "continue")]
    go_on: bool,
    /// Refine the masks with a Segment Anything network, as `polycl refine` does: litemedsam, medsam, ...
    #[arg(long, value_name = "NAME", help_heading = "Refinement")]
    refine: Option<Model>,
    /// Weights of that network, if not those that `polycl fetch` has brought
    #[arg(long, value_name = "FILE", requires = "refine", help_heading = "Refinement")]
    weights: Option<PathBuf>,
    /// Format of the masks
    #[arg(long, value_enum, default_value = "nifti")]
    format: FormatArg,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten, next_help_heading = "Refinement")]
    how: RefinementArgs,
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
        let components = self.components();
        let given = self.how.given();
        let how = self.how.refinement();
        how.check()?;
        let refinement = match (self.refine, given) {
            (Some(model), _) => Some((SamWeights { model: Some(model), file: self.weights }, how)),
            (None, Some(flag)) => bail!("{flag} needs --refine <NAME>"),
            (None, None) => None,
        };
        Ok(Request {
            run: self.run,
            scans: self.images,
            out: self.out,
            flip: self.flip,
            components,
            probabilities: self.probabilities,
            go_on: self.go_on,
            refinement,
            whole_scans: true,
            format: self.format.into(),
            device: self.device,
            trust: self.trust.trust,
        })
    }
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = args.request()?;
    let terminal = Terminal::new("predict");
    let outcome = predict(&request, &terminal)?;
    drop(terminal);
    let told = tell(&request, &outcome);
    ensure!(outcome.failed.len() < outcome.of, "no scan could be segmented");
    Ok(told)
}

/// How it ended: what failed and why, and what was left when somebody asked to stop.
fn tell(request: &Request, Segmented { of, failed, left }: &Segmented) -> Ended {
    let (out, done) = (request.out.display(), of - failed.len() - left.len());
    talk::note(format!("{done} of {of} scans segmented: {out}"));
    if !failed.is_empty() && failed.len() < *of {
        talk::note("not segmented, and tried again with --continue:");
        failed.iter().for_each(|failure| talk::note(format!("  {}: {}", failure.case, told(&failure.error))));
    }
    if !left.is_empty() {
        talk::note(format!("stopped before {}\nhint: go on with --continue", left.join(", ")));
        return Ended::Stopped;
    }
    if failed.is_empty() { Ended::Done } else { Ended::SomeFailed }
}
