use std::path::{Path, PathBuf};

use anyhow::ensure;
use polycl_nn::train::{self, RunCard};
use polycl_volume::dataset::provenance::Record;
use polycl_volume::dataset::provenance::prediction::SeenBy;
use polycl_volume::metrics::{EmptyPolicy, Options, Pairs, Seen, SeenCases, evaluate};

use crate::cli::Outcome;
use crate::talk;

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
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    ensure!(
        args.tolerance.is_finite() && args.tolerance >= 0.0,
        "--tolerance: expected millimetres from 0, found {}",
        args.tolerance
    );
    let Pairs { pairs, extra } = Pairs::find(&args.reference, &args.prediction)?;
    for file in extra {
        talk::note(format!("note: no reference for {}", file.display()));
    }
    let options = Options {
        labels: args.labels.iter().copied().collect(),
        tolerance: args.tolerance,
        empty: args.empty,
        seed: args.seed,
    };
    let seen = seen(args)?;
    let bar = talk::progress(pairs.len() as u64, "evaluate");
    let report = evaluate(&pairs, &seen, &options, || bar.inc(1))?;
    bar.finish_and_clear();
    report.notes.iter().for_each(|text| talk::note(format!("note: {text}")));
    // The scores took minutes: they are shown even where they cannot be written.
    let written = report.write(&args.out);
    talk::data(&report);
    written?;
    Ok(Outcome::Done)
}

/// What the predictions' folder and the run tell of the cases that made the model.
fn seen(args: &Args) -> anyhow::Result<SeenCases> {
    let mut seen = SeenCases::default();
    let folder = if args.prediction.is_dir() { Some(&*args.prediction) } else { args.prediction.parent() };
    let record = folder.unwrap_or(Path::new("")).join(Record::Predict.file());
    if record.is_file() {
        let SeenBy { trained_on, validated_on, pretrained_on } = SeenBy::read(&record)?;
        seen.add(trained_on, Seen::Training);
        seen.add(validated_on, Seen::Validation);
        seen.add(pretrained_on, Seen::Pretraining);
    } else if let Some(run) = &args.run {
        // A mask does not tell whose it is; `polycl predict` knew scans by their voxels.
        talk::note("note: no polycl.json beside the predictions; cases of the run are known by name alone");
        let card = RunCard::read(run)?;
        seen.add(names(card.training_cases), Seen::Training);
        seen.add(names(card.validation_cases), Seen::Validation);
        seen.add(names(card.pretraining_cases), Seen::Pretraining);
    }
    Ok(seen)
}

/// A lone scan is named after its patient, of whom another scan may have trained the model.
fn names(cases: Vec<train::Seen>) -> impl Iterator<Item = String> {
    cases.into_iter().flat_map(|seen| [seen.case, seen.patient])
}
