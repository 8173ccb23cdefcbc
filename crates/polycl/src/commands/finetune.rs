use std::path::PathBuf;

use polycl_nn::train::LabelWeight;
use polycl_nn::train::finetune::{FinetuneConfig, Plan, finetune};
use polycl_volume::dataset::{Dataset, Origin};
use serde::Serialize;

use super::training::{RunArgs, TrainingFlags, Watch, resolve};
use crate::cli::Outcome;
use crate::talk;

/// Train a segmentation network on the masks of a few patients
///
/// Begins from a pre-trained encoder or from scratch. One organ is a sigmoid; several are a
/// softmax with background. Patients, never slices, are split: about one in five of those labelled
/// by hand chooses the best checkpoint, none under four. Masks that were propagated or predicted
/// only train.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Do not augment slices at all
    #[arg(long, conflicts_with_all = ["rotate", "scale", "shift", "intensity", "flip"])]
    no_augment: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(clap::Args, Serialize)]
struct Settings {
    /// Pre-trained run whose encoder to begin with; from scratch without it
    #[arg(long, value_name = "RUN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder: Option<PathBuf>,
    /// Labelled patients to use, validation included; the 5 are among the 10, and those labelled by
    /// hand come first
    #[arg(long, value_name = "N", conflicts_with = "fraction")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cases: Option<u32>,
    /// Fraction of the labelled patients to use
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    /// What to segment; repeat it for several, leave it out for all
    #[arg(long = "organ", value_name = "NAME")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    organs: Vec<String>,
    /// Only scans of this domain
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// The encoder, where no pre-trained run says it [default: unet]
    #[arg(long, value_parser = ["unet", "resnet18"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<String>,
    /// The loss; the paper's is dice alone [default: dice+ce]
    #[arg(long, value_parser = ["dice", "dice+ce"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// What decides how much a slice counts that no person has drawn: the confidence of its
    /// propagation (nothing where nobody has looked; predictions count in full), nothing (equal), or
    /// it does not count at all (drawn) [default: confidence]
    #[arg(long, value_parser = ["confidence", "equal", "drawn"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    label_weight: Option<String>,
    /// Epochs for which the encoder stays frozen [default: 0]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze: Option<u32>,
    /// Learning rate of the encoder as a part of the decoder's [default: 1]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder_rate: Option<f64>,
    /// Epochs without a better validation score after which to stop; 0 never [default: 0]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    patience: Option<u32>,
    #[command(flatten)]
    augment: AugmentFlags,
    #[command(flatten)]
    training: TrainingFlags,
}

/// Flags that become the `[augment]` table of the settings.
#[derive(clap::Args, Serialize)]
struct AugmentFlags {
    /// Largest rotation of a slice in degrees [default: 10]
    #[arg(long, value_name = "DEGREES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate: Option<f32>,
    /// Largest relative change of size [default: 0.1]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    /// Largest shift as a fraction of the side [default: 0.05]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<f32>,
    /// Largest relative change of contrast and brightness [default: 0.1]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    intensity: Option<f32>,
    /// Flip slices left to right, where every organ has its mirror image [default: true]
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flip: Option<bool>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut config: FinetuneConfig = resolve(&args.run, &args.settings)?;
    if args.no_augment {
        config.augment = polycl_nn::train::Augment::none();
    }
    let dataset = Dataset::open(&args.run.dataset)?;
    let mut watch = Watch::new(&args.run.out, "fine-tuning", config.training.epochs);
    let how = args.run.how()?;
    let state = finetune(&dataset, &config, &args.run.out, how, &mut announce, &mut |p| watch.see(p))?;
    Ok(watch.finish(&state))
}

fn announce(plan: &Plan) {
    let Plan { organs, training_patients, validation_patients, slices, flip, partial, .. } = plan;
    let organs = organs.join(", ");
    talk::note(format!(
        "{organs}: {slices} slices of {training_patients} patients, {validation_patients} more validate"
    ));
    if let Some(weight) = plan.label_weight {
        let origins = Origin::counts(plan.origins.iter().copied());
        let counts = match weight {
            LabelWeight::Confidence if !plan.alike => "slices count by their confidence",
            LabelWeight::Confidence | LabelWeight::Equal => "all slices count alike",
            LabelWeight::Drawn => "only drawn slices count",
        };
        let left_out = plan.left_out;
        talk::note(format!(
            "note: masks of the training scans: {origins}; {counts}, {left_out} are left out"
        ));
    }
    if *partial > 0 {
        talk::note(format!(
            "note: {partial} scans with masks do not draw all of these organs and take no part"
        ));
    }
    if *validation_patients == 0 {
        talk::note(
            "note: too few patients labelled by hand to validate; the last epoch is the result, and --patience has nothing to go by",
        );
    }
    if !flip {
        talk::note(
            "note: no left-right flips (an organ's mirror image is not among those segmented, or off)",
        );
    }
}
