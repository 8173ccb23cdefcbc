use std::path::PathBuf;

use anyhow::ensure;
use polycl_app::evaluate::{Request, merge, run as evaluate};
use polycl_base::counted;
use polycl_metrics::EmptyPolicy;

use super::shared::{ReadingArgs, ShardArgs, tell_shard};
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Score predicted masks against reference masks, by case and label
///
/// Files are paired by name. Every reference needs a prediction on the same voxels. Labels are matched by name
/// where both folders hold a labels.json, otherwise by value. The table uses the label values of the first
/// reference. Scores are computed in 3D, distances in mm.
///
/// Cases that trained the network are flagged. They are known from polycl.json beside the predictions, which
/// `polycl predict` writes, or from --run.
///
/// References must be drawn by hand: agreement with a network is not accuracy. A reference is refused where a record
/// file beside it says that a network made it: propagate.csv, polycl.json, refine.csv, reviewed.csv, or a file
/// of nnU-Net, TotalSegmentator or MONAI Label. Voxels of the label `ignore` are not scored.
#[derive(clap::Args)]
#[command(
    override_usage = "polycl evaluate [OPTIONS] --reference <DIR|FILE> --prediction <DIR|FILE> --out <DIR>\n       \
    polycl evaluate --merge <DIR>"
)]
#[command(after_help = "Examples:
  polycl evaluate --reference masks --prediction predictions --out scores
  polycl evaluate --reference drawn.nii.gz --prediction predicted.nii.gz --out scores")]
pub struct Args {
    /// Folder of reference masks, or one mask
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "merge")]
    reference: Option<PathBuf>,
    /// Folder of predicted masks, or one mask
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "merge")]
    prediction: Option<PathBuf>,
    /// Folder for cases.csv and summary.json
    #[arg(long, value_name = "DIR", required_unless_present = "merge")]
    out: Option<PathBuf>,
    /// Values of the labels to score, separated by commas
    ///
    /// Values are those of the first reference. By default, labels are scored that reference and prediction both
    /// name; without names, every label in a mask.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    labels: Vec<u16>,
    /// Score of a label that one mask lacks: worst, skip, nan
    ///
    /// `worst` gives Dice 0 and the image's diagonal as distance. `skip` leaves the case out of the label's means. `nan`
    /// makes these means undefined.
    #[arg(long, value_name = "POLICY", default_value_t)]
    empty: EmptyPolicy,
    /// Tolerance of the normalised surface Dice in mm
    #[arg(long, value_name = "MM", default_value_t = 2.0)]
    tolerance: f64,
    /// Run that made the predictions, to flag its cases
    ///
    /// Only needed where no polycl.json lies beside the predictions. Cases that trained the run are recognised by name.
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    /// Random seed of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Also score against masks that a network proposed and a person reviewed in `polycl serve`
    #[arg(long)]
    accept_reviewed: bool,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    shard: ShardArgs,
    /// Unite the scores of all shards in DIR
    #[arg(long, value_name = "DIR", help_heading = "Clusters", exclusive = true)]
    merge: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    ensure!(
        args.tolerance.is_finite() && args.tolerance >= 0.0,
        "--tolerance: expected millimetres from 0, found {}",
        args.tolerance
    );
    if let Some(out) = &args.merge {
        merge(out, &Terminal::new("evaluate"))?;
        return Ok(Ended::Done);
    }
    let request = Request {
        shard: args.shard.shard()?,
        reference: args.reference.unwrap_or_default(),
        prediction: args.prediction.unwrap_or_default(),
        out: args.out.unwrap_or_default(),
        labels: args.labels.into_iter().collect(),
        empty: args.empty,
        tolerance: args.tolerance,
        run: args.run,
        seed: args.seed,
        trust: args.reading.trust.trust,
        fill_gaps: args.reading.fill_gaps,
        accept_reviewed: args.accept_reviewed,
    };
    let outcome = evaluate(&request, &Terminal::new("evaluate"))?;
    if let (Some(shard), Some(count)) = (request.shard, outcome.of_shard) {
        talk::note(format!("{} scored", counted(count, "case")));
        tell_shard(shard, "evaluate", &request.out);
    }
    Ok(Ended::Done)
}
