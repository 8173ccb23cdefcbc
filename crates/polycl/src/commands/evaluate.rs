use std::path::PathBuf;

use anyhow::ensure;
use polycl_app::evaluate::{Request, run as evaluate};
use polycl_metrics::EmptyPolicy;

use super::shared::TrustArgs;
use crate::ended::Ended;
use crate::terminal::Terminal;

/// Score predicted masks against reference masks, per case and per label.
///
/// Files are paired by name; every reference must have its prediction, on the same voxels. Labels
/// are matched by name where both folders hold names (labels.json), else by value; the table has
/// the numbers of the first reference. Scores are in 3D and in mm. DIR/polycl.json beside the
/// predictions, which `polycl predict` writes, tells which cases trained the model; so does --run.
///
/// References must have been drawn by hand: one that propagate.csv, polycl.json or refine.csv beside
/// it knows of, or what nnU-Net, TotalSegmentator or MONAI Label leave beside theirs, is refused, for
/// agreement with a machine is not accuracy. Voxels of the label `ignore` are not scored.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of reference masks, or one mask
    #[arg(long, value_name = "DIR|FILE")]
    reference: PathBuf,
    /// Folder of predicted masks, or one mask
    #[arg(long, value_name = "DIR|FILE")]
    prediction: PathBuf,
    /// Folder for cases.csv and summary.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Labels to score, as the first reference numbers them; without it those that reference and
    /// prediction both name, or every one that a mask holds
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    labels: Vec<u16>,
    /// What a label scores that only one mask of a case holds: worst (Dice 0, the image's diagonal
    /// as distance), skip or nan
    #[arg(long, value_name = "POLICY", default_value_t)]
    empty: EmptyPolicy,
    /// Tolerance of the normalised surface Dice in mm
    #[arg(long, value_name = "MM", default_value_t = 2.0)]
    tolerance: f64,
    /// Run that made the predictions, to flag by name the cases it was trained on where there is no
    /// polycl.json
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    trust: TrustArgs,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    ensure!(
        args.tolerance.is_finite() && args.tolerance >= 0.0,
        "--tolerance: expected millimetres from 0, found {}",
        args.tolerance
    );
    let Args { reference, prediction, out, labels, empty, tolerance, run, seed, trust } = args;
    let labels = labels.into_iter().collect();
    let request =
        Request { reference, prediction, out, labels, empty, tolerance, run, seed, trust: trust.trust };
    evaluate(&request, &Terminal::new("evaluate"))?;
    Ok(Ended::Done)
}
