use std::path::PathBuf;

use polycl_app::finetune::{Request, run as finetune};
use polycl_nn::net::Net;
use polycl_nn::train::finetune::{AVERAGE, ENCODER_RATE, FOREGROUND, FinetuneConfig, RATE, STEPS, WARMUP};
use polycl_nn::train::{Augment, LabelWeight};
use serde::Serialize;

use super::training::{self, RunArgs, TrainingFlags, tell, written};
use crate::ended::Ended;
use crate::terminal::Terminal;

/// Train a segmentation network on few or many masks
///
/// Training starts from a pre-trained encoder (--encoder) or from scratch. One organ is a sigmoid; several are a
/// softmax with background. Regions of an nnU-Net data set that overlap are a sigmoid each.
///
/// By default all labelled patients train, and the running mean of the weights is the result. With --validate,
/// one in five labelled patients is kept for validation, which chooses the best checkpoint; with fewer than four
/// patients, none is. Only masks drawn by hand in every slice validate. Splits are by patient, never by slice.
///
/// A mask drawn in some slices trains with those slices, and with slices known not to show the organ. See
/// --drawn and --ranges of `polycl import`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  polycl finetune dataset --encoder encoder --organ liver --cases 5 --out liver"
)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Train without augmentation of the slices
    #[arg(long, hide_short_help = true, conflicts_with_all = ["rotate", "scale", "shift", "intensity", "gamma", "noise", "blur", "low_resolution", "flip"])]
    no_augment: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(clap::Args, Serialize)]
struct Settings {
    /// Run of `polycl pretrain` to start from [default: scratch]
    #[arg(long, value_name = "RUN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder: Option<PathBuf>,
    /// Budget of labelled patients [default: all]
    ///
    /// Budgets are nested: the 5 patients are a subset of the 10. Patients labelled by hand come first.
    #[arg(long, value_name = "N", conflicts_with = "fraction")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cases: Option<u32>,
    /// Budget as a fraction of the labelled patients
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    /// Keep one in five labelled patients for validation
    ///
    /// Validation chooses the best checkpoint.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    validate: bool,
    /// Self-train: also learn from undrawn slices within ranges
    ///
    /// A first network learns from the drawn slices. It then draws on scans without masks and on undrawn slices,
    /// within the ranges of the organs (see --ranges of `polycl import`). A second network learns from both. By
    /// default, self-training is on where such scans exist, unless the settings name the patients that train. It
    /// makes short trainings worse.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    self_train: Option<bool>,
    /// Organ to segment; repeat for several [default: all]
    #[arg(long = "organ", value_name = "NAME")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    organs: Vec<String>,
    /// Let masks validate, too, that a network proposed and a person reviewed in `polycl serve`
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    accept_reviewed: bool,
    /// Use only scans of this domain
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Architecture of the encoder, without --encoder
    #[arg(long, value_parser = ["unet", "resnet18"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<String>,
    /// Loss function
    ///
    /// `batch-dice+ce` is Dice over the whole batch, plus cross-entropy. `dice+ce` takes Dice slice by slice. `dice` is
    /// Dice alone, as in the paper.
    #[arg(long, hide_short_help = true, value_parser = ["batch-dice+ce", "dice+ce", "dice"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// Fraction of every batch that shows an organ; 0 takes slices as they come
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    foreground: Option<f64>,
    /// Dropout probability in the U-Net
    #[arg(long, hide_short_help = true, value_name = "P")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    /// Weight of slices that no person has drawn
    ///
    /// `confidence` weighs a propagated slice by its confidence: slices that nobody looked at count nothing, and
    /// predicted slices count in full. `equal` counts all slices alike. `drawn` leaves undrawn slices out.
    #[arg(long, hide_short_help = true, value_name = "WEIGHT", value_parser = ["confidence", "equal", "drawn"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    label_weight: Option<String>,
    /// Number of epochs in which the encoder stays frozen
    #[arg(long, hide_short_help = true, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze: Option<u32>,
    /// Learning rate of the encoder, as a fraction of the decoder's
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder_rate: Option<f64>,
    /// Number of epochs without improvement after which training stops; 0 never stops early
    ///
    /// Improvement is a better validation score or, without validation, a lower training loss.
    #[arg(long, hide_short_help = true, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    patience: Option<u32>,
    #[command(flatten, next_help_heading = "Augmentation")]
    augment: AugmentFlags,
    #[command(flatten, next_help_heading = "Schedule")]
    training: TrainingFlags,
}

/// The command with the defaults of its settings.
pub fn with_defaults(command: clap::Command) -> clap::Command {
    let FinetuneConfig { loss, dropout, freeze, patience, augment, .. } = FinetuneConfig::default();
    let Augment { rotate, scale, shift, intensity, gamma, noise, blur, low_resolution, flip } = augment;
    let own = [
        ("steps", training::grouped(STEPS)),
        ("rate", format!("{RATE:e}")),
        ("warmup", WARMUP.to_string()),
        ("average", AVERAGE.to_string()),
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
    /// Largest rotation of a slice, in degrees
    #[arg(long, hide_short_help = true, value_name = "DEGREES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate: Option<f32>,
    /// Largest relative change of size
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    /// Largest shift, as a fraction of the side
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<f32>,
    /// Largest relative change of contrast and brightness
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    intensity: Option<f32>,
    /// Largest gamma curve: values go through the exponent e^F or e^-F
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    gamma: Option<f32>,
    /// Largest standard deviation of noise, as a fraction of the slice's range
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f32>,
    /// Largest blur of one slice in five, as a standard deviation in pixels
    #[arg(long, hide_short_help = true, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    blur: Option<f32>,
    /// Largest fraction of the resolution that one slice in five loses
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    low_resolution: Option<f32>,
    /// Flip slices left to right, where the mirror image of every organ is segmented, too
    #[arg(long, hide_short_help = true, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flip: Option<bool>,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let mut request = Request::new(&args.run.settings(&args.settings)?)?;
    if args.no_augment {
        request = request.plain();
    }
    let outcome = finetune(&request, &Terminal::new("fine-tuning"))?;
    let next = format!("predict {} SCANS --out PREDICTED", request.out.display());
    Ok(tell(&request.out, &outcome, &next))
}
