use polycl_nn::train::pretrain::{Method, Plan, PretrainConfig, pretrain};
use polycl_volume::dataset::Dataset;
use serde::Serialize;

use super::training::{RunArgs, TrainingFlags, Watch, resolve};
use crate::cli::Outcome;
use crate::talk;

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

#[derive(clap::Args, Serialize)]
struct Settings {
    /// What the encoder learns by [default: polycl]
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
    /// The encoder [default: unet]
    #[arg(long, value_parser = ["unet", "resnet18"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<String>,
    /// The contrastive loss [default: cosine]
    #[arg(long, value_parser = ["cosine", "euclidean"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// Tell anchors from the one negative of their triplet, as published, or from all slices of the batch
    /// that the strategy could have drawn [default: one]
    #[arg(long, value_parser = ["one", "all"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    negatives: Option<String>,
    /// Temperature [default: 0.1, of moco 0.2]
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// Draw triplets once for all epochs, as the published code does
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fixed_triplets: bool,
    /// Probability of dropout in the U-Net; the paper's is 0.25 [default: 0]
    #[arg(long, value_name = "P")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    #[command(flatten)]
    training: TrainingFlags,
}

/// The most steps of an epoch where nobody says how many.
const MOST_STEPS: usize = 1_000;

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut config: PretrainConfig = resolve(&args.run, &args.settings)?;
    if args.published {
        // Whatever a file says: the paper's dropout is what a run has that names none.
        (config.dropout, config.fixed_triplets) = (None, true);
    }
    let dataset = Dataset::open(&args.run.dataset)?;
    if !args.published && !args.run.resumes() {
        config.dropout.get_or_insert(0.0);
        // Two hundred scans are pre-trained on in less than an hour.
        let slices: usize = dataset.index.scans.iter().map(|scan| scan.slices).sum();
        if config.training.steps.is_none() && slices / config.training.batch.max(1) > MOST_STEPS {
            config.training.steps = Some(MOST_STEPS);
            talk::note(format!(
                "note: an epoch is {MOST_STEPS} steps, other slices in each; --steps for more of the {slices} at once"
            ));
        }
    }
    let mut watch = Watch::new(&args.run.out, "pre-training", config.training.epochs);
    let how = args.run.how()?;
    let state = pretrain(&dataset, &config, &args.run.out, how, &mut announce, &mut |p| watch.see(p))?;
    Ok(watch.finish(&state))
}

fn announce(plan: &Plan) {
    let Plan { method, scans, items, skipped, unknown } = plan;
    let what = if *method == Method::Polycl { "triplets" } else { "slices" };
    let mut text = format!("{items} {what} from {scans} scans");
    if *skipped > 0 {
        text += &format!("; {skipped} slices have no valid partner and are no anchors");
    }
    if *unknown > 0 {
        text += &format!("; of {unknown} slices nobody has said whether they show the organ");
    }
    talk::note(text);
}
