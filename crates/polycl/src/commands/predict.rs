use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use indicatif::ProgressBar;
use polycl_nn::predict::{Options, Prediction, Predictor};
use polycl_nn::refine::Refiner;
use polycl_nn::sam::Model;
use polycl_nn::train::{RunCard, Seen};
use polycl_volume::components::largest_component;
use polycl_volume::dataset::names::Names;
use polycl_volume::dataset::pairs::{self, Pair};
use polycl_volume::{Error, Kind, nifti, output};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::refine::How;
use super::sam::{Network, check_decisions, note_decisions, write_decisions};
use crate::cli::Outcome;
use crate::talk;

/// Segment scans with a fine-tuned network
///
/// Writes DIR/CASE.nii.gz in the grid of each scan, DIR/labels.json with the names of the values,
/// and DIR/polycl.json, which tells `evaluate` which of these scans the network was trained on. With
/// --refine, DIR/refine.csv says what was decided about every part of every slice.
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
    /// Also write DIR/probabilities/CASE_ORGAN.nii.gz, as they are before any refinement
    #[arg(long)]
    probabilities: bool,
    /// Refine the masks with a Segment Anything network, as `polycl refine` does: litemedsam, medsam, ...
    #[arg(long, value_name = "NAME", help_heading = "Refinement")]
    refine: Option<Model>,
    /// Weights of that network, if not those that `polycl fetch` has brought
    #[arg(long, value_name = "FILE", requires = "refine", help_heading = "Refinement")]
    weights: Option<PathBuf>,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
    #[command(flatten, next_help_heading = "Refinement")]
    how: How,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let refiner = args.refiner()?;
    let predictor = Predictor::load(&args.run, args.device)?;
    if args.flip && !predictor.can_flip() {
        talk::note("note: --flip does nothing here: the network was trained without mirrored slices");
    }
    let scans = pairs::unlabelled(&args.images)?;
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io(&args.out, "make the folder", &e))?;
    refuse_overwriting(&args.out, &scans)?;
    if refiner.is_some() {
        check_decisions(&args.out)?;
    }
    let refined_by = refiner.as_ref().map(|refiner| args.how.describe(refiner));
    let mut card = Card::of(&args.out, &args.run, &predictor, refined_by)?;
    let mut failed = 0;
    for Pair { case, image, .. } in &scans {
        let bar = talk::progress(0, case);
        let networks = (&predictor, refiner.as_ref());
        let done = segment(args, networks, case, image, &mut card, &bar);
        bar.finish_and_clear();
        if let Err(error) = done {
            failed += 1;
            talk::error(&error);
        }
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

impl Args {
    fn refiner(&self) -> anyhow::Result<Option<Refiner>> {
        self.how.check()?;
        let Some(model) = self.refine else {
            return self.how.given().map_or(Ok(None), |flag| bail!("{flag} needs --refine <NAME>"));
        };
        let network = Network { model: Some(model), weights: self.weights.clone() };
        let (model, sam) = network.open(self.device)?;
        Ok(Some(Refiner::new(model, sam, self.device, self.how.cache.clone())))
    }
}

/// A mask must never take the place of a scan.
fn refuse_overwriting(out: &Path, scans: &[Pair]) -> anyhow::Result<()> {
    for Pair { case, image, .. } in scans {
        let target = out.join(format!("{case}.nii.gz"));
        let same =
            target.canonicalize().is_ok_and(|target| image.canonicalize().is_ok_and(|image| image == target));
        if same {
            let expected = "another folder than that of the scans";
            return Err(
                Error::new(target, Kind::Request, expected, "a scan that its mask would replace").into()
            );
        }
    }
    Ok(())
}

/// Segments one scan. The card comes before the mask, so that no mask is ever without it.
fn segment(
    args: &Args,
    (predictor, refiner): (&Predictor, Option<&Refiner>),
    case: &str,
    path: &Path,
    card: &mut Card,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let image = nifti::read_image(path)?;
    bar.suspend(|| card.add(&predictor.card, case, &image.fingerprint()));
    card.write(&args.out, &predictor.card)?;
    let options = Options { flip: args.flip, largest: args.largest, probabilities: args.probabilities };
    let mut step = |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let Prediction { mut mask, probabilities } = predictor.segment(&image, options, &mut step)?;
    if let Some(refiner) = refiner {
        bar.set_message(format!("{case}, refinement"));
        let organs: Names =
            predictor.card.organs.iter().map(|organ| (organ.value, organ.name.clone())).collect();
        let refined = refiner.refine(&image, &mask, &organs, args.how.options(), &mut step)?;
        write_decisions(&args.out, case, &organs, &refined.decisions)?;
        bar.suspend(|| note_decisions(case, &refined.decisions));
        mask = refined.mask;
        if args.largest {
            organs.keys().for_each(|&label| largest_component(&mut mask, label));
        }
    }
    nifti::write_mask(&args.out.join(format!("{case}.nii.gz")), &mask)?;
    for (organ, map) in predictor.card.organs.iter().zip(&probabilities) {
        let name = organ.name.replace(['/', '\\', '\0'], "_");
        nifti::write_image(&args.out.join("probabilities").join(format!("{case}_{name}.nii.gz")), map)?;
    }
    Ok(())
}

fn names(card: &RunCard) -> serde_json::Value {
    let names = card.organs.iter().map(|organ| (organ.value.to_string(), json!(organ.name)));
    serde_json::Value::Object(names.collect())
}

/// `polycl.json`: which network segmented the scans of a folder, and which of them it had seen.
#[derive(Serialize, Deserialize)]
struct Card {
    polycl: String,
    run: PathBuf,
    /// [`Predictor::weights`]: masks of two networks do not mix in a folder.
    weights: String,
    /// How the masks were refined, if they were; this must not differ in a folder either.
    #[serde(default)]
    refined_by: Option<String>,
    /// Cases whose masks in the folder are this network's, for `import` and `evaluate` to know them
    /// by; none are listed, and all are meant, where an earlier version began the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cases: Option<BTreeSet<String>>,
    /// Cases whose masks trained the network.
    trained_on: BTreeSet<String>,
    /// Cases whose masks chose its best checkpoint.
    validated_on: BTreeSet<String>,
    /// Cases that its encoder was pre-trained on, without masks.
    pretrained_on: BTreeSet<String>,
}

impl Card {
    /// The folder's card from earlier calls, or a new one.
    fn of(out: &Path, run: &Path, predictor: &Predictor, refined_by: Option<String>) -> anyhow::Result<Self> {
        let path = out.join("polycl.json");
        let new = Self {
            polycl: env!("CARGO_PKG_VERSION").to_owned(),
            run: run.to_path_buf(),
            weights: predictor.weights.clone(),
            refined_by,
            cases: Some(BTreeSet::new()),
            trained_on: BTreeSet::new(),
            validated_on: BTreeSet::new(),
            pretrained_on: BTreeSet::new(),
        };
        if !path.exists() {
            return Ok(new);
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, "read it", &e))?;
        let found: Option<Self> = serde_json::from_str(&text).ok();
        let same = |card: &Self| card.weights == new.weights && card.refined_by == new.refined_by;
        found.filter(same).ok_or_else(|| {
            let expected = format!("masks of the run {}, refined in the same way", run.display());
            Error::new(path, Kind::Request, expected, "masks of another run or refinement")
                .hint("choose another --out")
                .into()
        })
    }

    fn add(&mut self, network: &RunCard, case: &str, fingerprint: &str) {
        if let Some(cases) = &mut self.cases {
            cases.insert(case.to_owned());
        }
        let among = |seen: &[Seen]| seen.iter().any(|seen| seen.fingerprint == fingerprint);
        let groups = [
            (&mut self.trained_on, &network.training_cases, "trained this network"),
            (&mut self.validated_on, &network.validation_cases, "chose this network's best checkpoint"),
            (
                &mut self.pretrained_on,
                &network.pretraining_cases,
                "was in the pre-training, without its mask",
            ),
        ];
        for (group, seen, what) in groups {
            group.remove(case);
            if among(seen) {
                group.insert(case.to_owned());
                talk::note(format!("warning: {case} {what}; its score is no evidence"));
            }
        }
        let same_patient = |seen: &Seen| seen.case == case && seen.fingerprint != fingerprint;
        if network.training_cases.iter().any(same_patient) {
            talk::note(format!(
                "note: another scan of the name {case} trained this network; is it the same patient?"
            ));
        }
    }

    fn write(&self, out: &Path, network: &RunCard) -> anyhow::Result<()> {
        write_json(&out.join("labels.json"), &names(network))?;
        write_json(&out.join("polycl.json"), self)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(output::atomically(path, |file| writeln!(file, "{text}"))?)
}
