use polycl_nn::train::pretrain::{Plan, PretrainConfig, pretrain};
use polycl_volume::dataset::Dataset;
use serde::Serialize;

use super::training::{RunArgs, TrainingFlags, Watch, resolve};
use crate::cli::Outcome;
use crate::talk;

/// Pre-train an encoder on scans without masks
///
/// Draws triplets of slices: an anchor, a positive that should look alike to the network, a
/// negative that should not. The strategy says how the two are chosen: `scan` from the same scan
/// and another one; `organ` by whether the organ is in the slice; `mixed` by both.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    settings: Settings,
}

#[derive(clap::Args, Serialize)]
struct Settings {
    /// How positives and negatives are chosen
    #[arg(long, value_parser = ["scan", "organ", "mixed"], required_unless_present_any = ["config", "resume"])]
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
    /// The encoder [default: unet]
    #[arg(long, value_parser = ["unet", "resnet18"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<String>,
    /// The contrastive loss [default: cosine]
    #[arg(long, value_parser = ["cosine", "euclidean"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// Temperature of the cosine loss [default: 0.1]
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// Draw triplets once for all epochs, as the published code does
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fixed_triplets: bool,
    #[command(flatten)]
    training: TrainingFlags,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let config: PretrainConfig = resolve(&args.run, &args.settings)?;
    let dataset = Dataset::open(&args.run.dataset)?;
    let mut watch = Watch::new(&args.run.out, "pre-training", config.training.epochs);
    let state =
        pretrain(&dataset, &config, &args.run.out, args.run.resume, &mut announce, &mut |p| watch.see(p))?;
    watch.finish(&state);
    Ok(Outcome::Done)
}

fn announce(plan: &Plan) {
    let Plan { scans, triplets, skipped, unknown } = plan;
    let mut text = format!("{triplets} triplets an epoch from {scans} scans");
    if *skipped > 0 {
        text += &format!("; {skipped} slices have no valid partner and are no anchors");
    }
    if *unknown > 0 {
        text += &format!("; of {unknown} slices nobody has said whether they show the organ");
    }
    talk::note(text);
}
