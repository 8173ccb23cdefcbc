use polycl_app::pretrain::{DROPOUT, Request, run as pretrain};
use polycl_nn::train::pretrain::{Method, Negatives, PretrainConfig};
use serde::Serialize;

use super::training::{self, RunArgs, TrainingFlags, tell, written};
use crate::ended::Ended;
use crate::terminal::Terminal;

/// Pre-train an encoder on scans without masks
///
/// PolyCL draws triplets of slices: an anchor, a positive that should look alike to the network, a
/// negative that should not. The strategy says how the two are chosen: `scan` from the same scan
/// and another one; `organ` by whether the organ is in the slice; `mixed` by both. Other methods are
/// there to compare it with: simclr, moco (v2), byol, positional (slices at a similar relative height are
/// alike) and mae (a masked autoencoder, of which fine-tuning takes the decoder, too).
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Draw triplets once and use a dropout of 0.25, as the published code does
    #[arg(long, conflicts_with_all = ["dropout", "fixed_triplets", "negatives", "method"])]
    published: bool,
    #[command(flatten)]
    settings: Settings,
}

/// The command with the defaults of its settings.
pub fn with_defaults(command: clap::Command) -> clap::Command {
    let config = PretrainConfig::default();
    let moco = PretrainConfig { method: Method::Moco, ..config.clone() };
    let own = [
        ("method", written(config.method)),
        ("net", written(config.net)),
        ("loss", written(config.loss)),
        ("negatives", written(Negatives::default())),
        ("temperature", format!("{}, of moco {}", config.temperature(), moco.temperature())),
        ("dropout", DROPOUT.to_string()),
    ];
    training::with_defaults(command, &[training::defaults(), own.into()].concat())
}

#[derive(clap::Args, Serialize)]
struct Settings {
    /// What the encoder learns by
    #[arg(long, value_parser = ["polycl", "simclr", "moco", "byol", "positional", "mae"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// How PolyCL chooses positives and negatives
    #[arg(long, value_parser = ["scan", "organ", "mixed"], required_unless_present_any = ["config", "resume", "method"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<String>,
    /// The organ whose presence sorts the slices (for `organ` and `mixed`)
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    organ: Option<String>,
    /// Only scans of this domain
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Leave out this patient; repeat it for several
    #[arg(long, value_name = "PATIENT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
    /// The encoder
    #[arg(long, value_parser = ["unet", "resnet18"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<String>,
    /// The contrastive loss
    #[arg(long, value_parser = ["cosine", "euclidean"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// Tell anchors from the one negative of their triplet, as published, or from all slices of the batch that the
    /// strategy could have drawn
    #[arg(long, value_parser = ["one", "all"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    negatives: Option<String>,
    /// Temperature
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// Draw triplets once for all epochs, as the published code does
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fixed_triplets: bool,
    /// Probability of dropout in the U-Net; the paper's is 0.25
    #[arg(long, value_name = "P")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    #[command(flatten)]
    training: TrainingFlags,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = Request::new(&args.run.settings(&args.settings)?, args.published)?;
    let outcome = pretrain(&request, &Terminal::new("pre-training"))?;
    Ok(tell(&request.out, &outcome))
}
