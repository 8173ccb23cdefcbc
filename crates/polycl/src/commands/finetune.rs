use std::path::PathBuf;

use polycl_app::finetune::{Request, run as finetune};
use polycl_nn::net::Net;
use polycl_nn::train::finetune::{ENCODER_RATE, FOREGROUND, FinetuneConfig};
use polycl_nn::train::{Augment, LabelWeight};
use serde::Serialize;

use super::training::{self, RunArgs, TrainingFlags, tell, written};
use crate::ended::Ended;
use crate::terminal::Terminal;

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
    /// The encoder, where no pre-trained run says it
    #[arg(long, value_parser = ["unet", "resnet18"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<String>,
    /// The loss: Dice and cross-entropy, Dice being of all slices of a batch together or slice by slice; the paper's is
    /// dice alone
    #[arg(long, value_parser = ["batch-dice+ce", "dice+ce", "dice"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// The part of every batch that shows an organ; 0 takes slices as they come
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    foreground: Option<f64>,
    /// Probability of dropout in the U-Net
    #[arg(long, value_name = "P")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    /// What decides how much a slice counts that no person has drawn: the confidence of its propagation (nothing where
    /// nobody has looked; predictions count in full), nothing (equal), or it does not count at all (drawn)
    #[arg(long, value_parser = ["confidence", "equal", "drawn"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    label_weight: Option<String>,
    /// Epochs for which the encoder stays frozen
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze: Option<u32>,
    /// Learning rate of the encoder as a part of the decoder's
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder_rate: Option<f64>,
    /// Epochs without a better validation score, or without a lower training loss where nobody validates, after which
    /// to stop; 0 never
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    patience: Option<u32>,
    #[command(flatten)]
    augment: AugmentFlags,
    #[command(flatten)]
    training: TrainingFlags,
}

/// The command with the defaults of its settings.
pub fn with_defaults(command: clap::Command) -> clap::Command {
    let FinetuneConfig { loss, dropout, freeze, patience, augment, .. } = FinetuneConfig::default();
    let Augment { rotate, scale, shift, intensity, gamma, noise, blur, low_resolution, flip } = augment;
    let own = [
        ("net", written(Net::default())),
        ("loss", written(loss)),
        ("foreground", FOREGROUND.to_string()),
        ("dropout", dropout.to_string()),
        ("label_weight", written(LabelWeight::default())),
        ("freeze", freeze.to_string()),
        ("encoder_rate", ENCODER_RATE.to_string()),
        ("patience", patience.to_string()),
        ("rotate", rotate.to_string()),
        ("scale", scale.to_string()),
        ("shift", shift.to_string()),
        ("intensity", intensity.to_string()),
        ("gamma", gamma.to_string()),
        ("noise", noise.to_string()),
        ("blur", blur.to_string()),
        ("low_resolution", low_resolution.to_string()),
        ("flip", flip.to_string()),
    ];
    training::with_defaults(command, &[training::defaults(), own.into()].concat())
}

/// Flags that become the `[augment]` table of the settings.
#[derive(clap::Args, Serialize)]
struct AugmentFlags {
    /// Largest rotation of a slice in degrees
    #[arg(long, value_name = "DEGREES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate: Option<f32>,
    /// Largest relative change of size
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    /// Largest shift as a fraction of the side
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<f32>,
    /// Largest relative change of contrast and brightness
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    intensity: Option<f32>,
    /// Largest exponent e^F or e^-F that values go through
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    gamma: Option<f32>,
    /// Largest standard deviation of noise, as a fraction of the slice's range
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f32>,
    /// Largest blur of one slice in five: standard deviation in pixels
    #[arg(long, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    blur: Option<f32>,
    /// Largest part of the resolution that one slice in five loses
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    low_resolution: Option<f32>,
    /// Flip slices left to right, where every organ has its mirror image
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flip: Option<bool>,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let mut request = Request::new(&args.run.settings(&args.settings)?)?;
    if args.no_augment {
        request = request.plain();
    }
    let outcome = finetune(&request, &Terminal::new("fine-tuning"))?;
    Ok(tell(&request.out, &outcome))
}
