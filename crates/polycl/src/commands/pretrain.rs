use polycl_app::pretrain::{DROPOUT, MOST_STEPS, Request, run as pretrain};
use polycl_nn::train::pretrain::{Method, Negatives, PretrainConfig, RATE};
use serde::Serialize;

use super::training::{self, RunArgs, TrainingFlags, tell, written};
use crate::ended::Ended;
use crate::terminal::Terminal;

/// Pre-train an encoder on scans without masks
///
/// PolyCL learns from triplets of slices: an anchor, a positive that the encoder should find similar, and a
/// negative that it should not. Strategy `scan` takes the positive from the anchor's scan and the negative from
/// another scan. Strategy `organ` goes by the organ's presence: the same in anchor and positive, different in
/// the negative. Strategy `mixed` requires both.
///
/// Other methods serve for comparison: simclr, moco (v2), byol, positional and mae. `positional` pairs slices
/// at similar relative heights. `mae` is a masked autoencoder; fine-tuning also takes its decoder.
///
/// Fine-tune the encoder with `polycl finetune --encoder RUN`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl pretrain dataset --strategy organ --organ liver --out encoder")]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Use the published settings: fixed triplets and a dropout of 0.25
    #[arg(long, hide_short_help = true, conflicts_with_all = ["dropout", "fixed_triplets", "negatives", "method"])]
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
        ("temperature", format!("{}; of moco: {}", config.temperature(), moco.temperature())),
        ("dropout", DROPOUT.to_string()),
        ("steps", format!("one pass over the data, at most {}", training::grouped(MOST_STEPS))),
        ("rate", format!("{RATE:e}")),
        ("warmup", "0".to_owned()),
        ("average", "0".to_owned()),
    ];
    training::with_defaults(command, &[training::defaults(), own.into()].concat())
}

#[derive(clap::Args, Serialize)]
struct Settings {
    /// Method of pre-training
    #[arg(long, value_parser = ["polycl", "simclr", "moco", "byol", "positional", "mae"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// Choice of positives and negatives, for method polycl
    #[arg(long, value_parser = ["scan", "organ", "mixed"], required_unless_present_any = ["config", "resume", "method"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<String>,
    /// Organ that slices show or not, for `organ` and `mixed`
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    organ: Option<String>,
    /// Use only scans of this domain
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Leave out this patient; repeat for several
    #[arg(long, value_name = "PATIENT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
    /// Architecture of the encoder
    #[arg(long, value_parser = ["unet", "resnet18"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<String>,
    /// Contrastive loss
    #[arg(long, hide_short_help = true, value_parser = ["cosine", "euclidean"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// Negatives of an anchor: the one of its triplet, or all in the batch that the strategy allows
    #[arg(long, hide_short_help = true, value_parser = ["one", "all"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    negatives: Option<String>,
    /// Temperature of the contrastive loss
    #[arg(long, hide_short_help = true, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// Draw triplets once for all epochs, as the published code does
    #[arg(long, hide_short_help = true)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fixed_triplets: bool,
    /// Dropout probability in the U-Net; the paper's is 0.25
    #[arg(long, hide_short_help = true, value_name = "P")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    #[command(flatten, next_help_heading = "Schedule")]
    training: TrainingFlags,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = Request::new(&args.run.settings(&args.settings)?, args.published)?;
    let outcome = pretrain(&request, &Terminal::new("pre-training"))?;
    let next = format!("finetune DATASET --encoder {} --out RUN", request.out.display());
    Ok(tell(&request.out, &outcome, &next))
}
