use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use polycl_nn::predict::{Options, Prediction, Predictor};
use polycl_nn::train::{RunCard, Seen};
use polycl_volume::dataset::pairs::{self, Pair};
use polycl_volume::{nifti, output};
use serde_json::json;

use crate::cli::Outcome;
use crate::talk;

/// Segment scans with a fine-tuned network
///
/// Writes DIR/CASE.nii.gz in the grid of each scan, DIR/labels.json with the names of the values,
/// and DIR/polycl.json, which tells `evaluate` which of these scans the network was trained on.
#[derive(clap::Args)]
pub struct Args {
    /// Run that `polycl finetune` wrote
    run: PathBuf,
    /// Scans to segment, or folders of them
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Folder for the masks
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Average with the prediction of the mirrored scan
    #[arg(long)]
    flip: bool,
    /// Keep only the largest connected component of each organ
    #[arg(long)]
    largest: bool,
    /// Also write DIR/probabilities/CASE_ORGAN.nii.gz
    #[arg(long)]
    probabilities: bool,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let predictor = Predictor::load(&args.run, args.device)?;
    if args.flip && !predictor.can_flip() {
        talk::note("note: --flip does nothing here: an organ's mirror image is not among those segmented");
    }
    let scans = pairs::unlabelled(&args.images)?;
    let (mut seen, mut failed) = (Trained::default(), 0);
    for Pair { case, image, .. } in &scans {
        match segment(args, &predictor, case, image) {
            Ok(sha256) => seen.note(&predictor.card, case, &sha256),
            Err(error) => {
                failed += 1;
                talk::error(&error);
            }
        }
    }
    if failed < scans.len() {
        write_json(&args.out.join("labels.json"), &names(&predictor.card))?;
        write_json(&args.out.join("polycl.json"), &seen.card(&args.run))?;
    }
    talk::note(format!(
        "{} of {} scans segmented: {}",
        scans.len() - failed,
        scans.len(),
        args.out.display()
    ));
    ensure!(failed < scans.len(), "no scan could be segmented");
    Ok(if failed == 0 { Outcome::Done } else { Outcome::SomeFailed })
}

/// Segments one scan and returns its hash.
fn segment(args: &Args, predictor: &Predictor, case: &str, path: &Path) -> anyhow::Result<String> {
    let (image, sha256) = nifti::read_image_hashed(path)?;
    let bar = talk::progress(0, case);
    let options = Options { flip: args.flip, largest: args.largest, probabilities: args.probabilities };
    let Prediction { mask, probabilities } = predictor.segment(&image, options, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    nifti::write_mask(&args.out.join(format!("{case}.nii.gz")), &mask)?;
    for (organ, map) in predictor.card.organs.iter().zip(&probabilities) {
        let name = organ.name.replace(|c: char| !c.is_alphanumeric(), "_");
        nifti::write_image(&args.out.join("probabilities").join(format!("{case}_{name}.nii.gz")), map)?;
    }
    Ok(sha256)
}

fn names(card: &RunCard) -> serde_json::Value {
    let names = card.organs.iter().map(|organ| (organ.value.to_string(), json!(organ.name)));
    serde_json::Value::Object(names.collect())
}

/// Which of the segmented scans took part in the training, known by the hash of their files.
#[derive(Default)]
struct Trained {
    labels: Vec<String>,
    voxels: Vec<String>,
}

impl Trained {
    fn note(&mut self, card: &RunCard, case: &str, sha256: &str) {
        let among = |seen: &[Seen]| seen.iter().any(|seen| seen.sha256 == sha256);
        if among(&card.training_cases) || among(&card.validation_cases) {
            talk::note(format!("warning: {case} trained this network; its score will be no evidence"));
            self.labels.push(case.to_owned());
        } else if among(&card.pretraining_cases) {
            talk::note(format!("note: {case} was among the unlabelled scans of the pre-training"));
            self.voxels.push(case.to_owned());
        }
    }

    fn card(&self, run: &Path) -> serde_json::Value {
        json!({
            "run": run,
            "polycl": env!("CARGO_PKG_VERSION"),
            "trained_on": self.labels,
            "pretrained_on": self.voxels,
        })
    }
}

fn write_json(path: &Path, value: &serde_json::Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(output::atomically(path, |file| writeln!(file, "{text}"))?)
}
