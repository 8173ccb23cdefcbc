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
/// softmax with background. All labelled patients train, and the running mean of the weights at the end is
/// the result; with --validate one in five of them chooses the best checkpoint instead, none under four.
/// Patients, never slices, are split, and only whole masks drawn by hand validate. Of masks drawn in some
/// slices (see `polycl import --help`), those train and those that are known not to show the organ.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Do not augment slices at all
    #[arg(long, conflicts_with_all = ["rotate", "scale", "shift", "intensity", "gamma", "noise", "blur", "low_resolution", "flip"])]
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
    /// Labelled patients to use; the 5 are among the 10, and those labelled by hand come first
    #[arg(long, value_name = "N", conflicts_with = "fraction")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cases: Option<u32>,
    /// Fraction of the labelled patients to use
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    /// Keep one in five of the labelled patients out of training, to choose the best checkpoint
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    validate: bool,
    /// Also learn from scans without masks, and from slices left undrawn, where the organs' first and last slices are
    /// named: a first network draws within those ranges, and a second one learns from it, too. Short trainings lose by
    /// it [default: true where there are such scans and no split names who trains]
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    self_train: Option<bool>,
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
    /// The loss: Dice and cross-entropy, Dice being of all slices of a batch together or slice by slice; the
    /// paper's is dice alone [default: batch-dice+ce]
    #[arg(long, value_parser = ["batch-dice+ce", "dice+ce", "dice"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// The part of every batch that shows an organ; 0 takes slices as they come [default: 0.5]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    foreground: Option<f64>,
    /// Probability of dropout in the U-Net [default: 0]
    #[arg(long, value_name = "P")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
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
    /// Epochs without a better validation score, or without a lower training loss where nobody validates,
    /// after which to stop; 0 never [default: 0]
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
    /// Largest relative change of size [default: 0.15]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    /// Largest shift as a fraction of the side [default: 0.1]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<f32>,
    /// Largest relative change of contrast and brightness [default: 0.1]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    intensity: Option<f32>,
    /// Largest exponent e^F or e^-F that values go through [default: 0.3]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    gamma: Option<f32>,
    /// Largest standard deviation of noise, as a fraction of the slice's range [default: 0.03]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f32>,
    /// Largest blur of one slice in five: standard deviation in pixels [default: 0]
    #[arg(long, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    blur: Option<f32>,
    /// Largest part of the resolution that one slice in five loses [default: 0]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    low_resolution: Option<f32>,
    /// Flip slices left to right, where every organ has its mirror image [default: false]
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flip: Option<bool>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut config: FinetuneConfig = resolve(&args.run, &args.settings)?;
    if args.run.resumes() {
        // A run that says nothing of it began without.
        config.self_train.get_or_insert(false);
    }
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
    let Plan { organs, training_patients, validation_patients, slices, shown, flip, partial, .. } = plan;
    let organs = organs.join(", ");
    let validate = if *validation_patients > 0 {
        format!(", {validation_patients} more validate")
    } else {
        String::new()
    };
    talk::note(format!(
        "{organs}: {slices} slices of {training_patients} patients, {shown} show it{validate}"
    ));
    if let Some(weight) = plan.label_weight {
        let origins = Origin::counts(plan.origins.iter().copied());
        let counts = match weight {
            LabelWeight::Confidence if !plan.alike => "slices count by their confidence",
            LabelWeight::Confidence | LabelWeight::Equal => "all slices count alike",
            LabelWeight::Drawn => "only drawn slices count",
        };
        talk::note(format!("note: masks of the training scans: {origins}; {counts}"));
    }
    if let (slices @ 1.., scans) = plan.taught {
        talk::note(format!(
            "self-training: a first network draws on {slices} slices of {scans} scans, within the ranges named"
        ));
    }
    if plan.left_out > 0 {
        talk::note(format!(
            "note: {} slices are left out, of which nobody has said or drawn what they show",
            plan.left_out
        ));
    }
    if plan.bare > 0 {
        talk::note(format!("note: {} scans of which nothing is drawn take no part", plan.bare));
    }
    if slices == shown {
        talk::note("note: every slice that trains shows an organ: where it ends is not learnt");
    }
    if *partial > 0 {
        talk::note(format!(
            "note: {partial} scans with masks do not draw all of these organs and take no part"
        ));
    }
    if plan.unvalidated {
        talk::note("note: too few patients labelled by hand to validate; the last weights are the result");
    }
    if plan.unflipped && !flip {
        talk::note("note: no left-right flips: an organ's mirror image is not among those segmented");
    }
}
