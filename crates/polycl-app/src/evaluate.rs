//! Scores of predicted masks against those that people drew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, Subject, Watch, counted};
use polycl_data::provenance::Record;
use polycl_data::provenance::prediction::SeenBy;
use polycl_data::{Records, Shard};
use polycl_image::files::{self, Reading};
use polycl_image::nifti::Form;
use polycl_metrics::{EmptyPolicy, Options, Pair, Pairs, Report, Scored, Seen, SeenCases};
use polycl_nn::train::{self, RunCard};
use serde::{Deserialize, Serialize};

use crate::shards::{self, Own, Shards, Work};

/// Masks to score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Folder of reference masks, or one mask.
    pub reference: PathBuf,
    pub prediction: PathBuf,
    /// Folder for `cases.csv` and `summary.json`.
    pub out: PathBuf,
    /// Labels as the first reference numbers them; without any those that both name, or that a mask holds.
    pub labels: BTreeSet<u16>,
    pub empty: EmptyPolicy,
    /// Tolerance of the normalised surface Dice, in mm.
    pub tolerance: f64,
    /// Run that made the predictions, where no record beside them tells the cases it has seen.
    pub run: Option<PathBuf>,
    pub seed: u64,
    /// The form of NIfTI headers that is believed; nibabel's choice without it.
    #[serde(default)]
    pub trust: Option<Form>,
    /// Interpolates the shape in slices without a contour between others.
    #[serde(default)]
    pub fill_gaps: bool,
    /// Score against masks, too, that a machine proposed and a person reviewed.
    #[serde(default)]
    pub accept_reviewed: bool,
    /// The share of the cases that is scored here, for [`merge`].
    #[serde(default)]
    pub shard: Option<Shard>,
}

/// The files of the scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub cases: PathBuf,
    /// To be read by [`polycl_metrics::SummaryFile`].
    pub summary: PathBuf,
    /// Cases that a shard has scored; the files are there once all shards are merged.
    pub of_shard: Option<usize>,
}

impl Outcome {
    fn of(out: &Path) -> Self {
        Self { cases: out.join("cases.csv"), summary: out.join("summary.json"), of_shard: None }
    }
}

/// The scores of a shard, in `scores.json` of its folder.
#[derive(Serialize, Deserialize)]
struct OfShard {
    scored: Scored,
    /// Notes that follow those on the masks.
    notes: Vec<String>,
}

/// Scores every reference, which must have been drawn by hand. `watch` hears the [`polycl_metrics::Report`], even where
/// it cannot be written: it took minutes.
///
/// # Errors
/// As [`Pairs::find`] and [`Scored::of`]; a reference that a machine made; a run or record that cannot be read.
pub fn run(request: &Request, watch: &dyn Watch) -> Result<Outcome> {
    if !(request.tolerance.is_finite() && request.tolerance >= 0.0) {
        let (expected, found) = ("a tolerance of 0 mm or more", request.tolerance.to_string());
        return Err(Error::new(Subject::Setting("tolerance".into()), Kind::Request, expected, found));
    }
    let mut records = Records::default();
    let reading = Reading { trust: request.trust, fill_gaps: request.fill_gaps };
    let mut reviewed = BTreeMap::new();
    let is_truth = |mask: &Path| {
        if !request.accept_reviewed {
            return records.check_truth(mask);
        }
        if let Some(maker) = records.check_reviewed(mask)? {
            reviewed.insert(mask.to_path_buf(), maker.machines);
        }
        Ok(())
    };
    let Pairs { mut pairs, extra } = Pairs::find(&request.reference, &request.prediction, reading, is_truth)?;
    for file in extra {
        watch.note(&format!("note: no reference for {}", file.display()));
    }
    let options = Options {
        labels: request.labels.clone(),
        tolerance: request.tolerance,
        empty: request.empty,
        seed: request.seed,
    };
    let (seen, ranged) = seen(request, watch)?;
    leave_out_own(&mut pairs, &mut reviewed, &seen, &mut records, watch)?;
    let own = Own::asked(("evaluate", &request.out), request.shard, || work(request, &pairs, &seen))?;
    watch.task("evaluate");
    let is_own = |case: &str| own.as_ref().is_none_or(|own| own.has(case));
    let scored = Own::hold(own.as_ref(), watch, |watch| Scored::of(&pairs, is_own, &seen, &options, watch))?;
    let notes = (!reviewed.is_empty()).then(|| {
        format!(
            "proposals of a machine that a person reviewed are among the references ({}): scores against them are agreement",
            counted(reviewed.len(), "mask"),
        )
    });
    let notes = Vec::from_iter(notes.into_iter().chain(told_ranges(&ranged, &pairs)));
    let Some(own) = own else { return write(scored.report()?, notes, &request.out, watch) };
    let count = scored.count();
    shards::write(&own.folder.join(SCORES), &OfShard { scored, notes })?;
    own.finish(BTreeMap::new())?;
    Ok(Outcome { of_shard: Some(count), ..Outcome::of(&request.out) })
}

const SCORES: &str = "scores.json";

/// The work that shards of an evaluation do.
fn work<'a>(request: &Request, pairs: &'a [Pair], seen: &SeenCases) -> Result<Work<'a>> {
    let alike = Request { out: PathBuf::new(), shard: None, ..request.clone() };
    let cases = pairs.iter().map(|pair| pair.case.as_str()).collect();
    Ok(Work { cases, request: shards::hashed(&alike, &(pairs, seen), &[])?, computes: false })
}

fn write(mut report: Report, notes: Vec<String>, out: &Path, watch: &dyn Watch) -> Result<Outcome> {
    report.notes.extend(notes);
    report.notes.iter().for_each(|text| watch.note(&format!("note: {text}")));
    let written = report.write(out);
    watch.partial(&report);
    written?;
    Ok(Outcome::of(out))
}

/// Unites the scores of shards; `watch` hears the report.
///
/// # Errors
/// [`Kind::Request`] where shards are missing, not done or at work; as [`Scored::report`].
pub fn merge(out: &Path, watch: &dyn Watch) -> Result<Outcome> {
    let shards = Shards::all(out)?;
    let mut parts = shards.folders.iter().map(|folder| shards::read::<OfShard>(&folder.join(SCORES)));
    // There is a first one: shards are counted from 0.
    let Some(first) = parts.next() else { return Ok(Outcome::of(out)) };
    let OfShard { mut scored, notes } = first?;
    for part in parts {
        scored.add(part?.scored).map_err(|found| {
            Error::new(out, Kind::Request, "shards of masks with the same names of labels", found)
                .hint("remove the folder of the shards and begin anew")
        })?;
    }
    if scored.count() != shards.order.len() {
        let (expected, found) = (format!("{} cases in all shards", shards.order.len()), scored.count());
        return Err(Error::new(out, Kind::Request, expected, found.to_string())
            .hint("remove the folder of the shards and begin anew"));
    }
    let outcome = write(scored.report()?, notes, out, watch)?;
    shards.remove()?;
    Ok(outcome)
}

/// Leaves out reviewed references of cases that the model has seen, or whose mask it proposed first: scores against them
/// would tell how far a person left it alone.
fn leave_out_own(
    pairs: &mut Vec<Pair>,
    reviewed: &mut BTreeMap<PathBuf, BTreeSet<String>>,
    seen: &SeenCases,
    records: &mut Records,
    watch: &dyn Watch,
) -> Result<()> {
    let mut own: Vec<Pair> = Vec::new();
    for pair in std::mem::take(pairs) {
        let is_own = match reviewed.get(&pair.reference) {
            None => false,
            Some(proposed_by) => {
                let maker = records.maker(&pair.prediction)?;
                let proposed = maker.is_some_and(|maker| !maker.machines.is_disjoint(proposed_by));
                proposed || seen.of(&pair.case).trained()
            }
        };
        if is_own { &mut own } else { &mut *pairs }.push(pair);
    }
    let Some(first) = own.first() else { return Ok(()) };
    own.iter().for_each(|pair| drop(reviewed.remove(&pair.reference)));
    let names: Vec<&str> = own.iter().map(|pair| &*pair.case).collect();
    let names = names.join(", ");
    if pairs.is_empty() {
        let expected = "a reference that this network neither proposed nor trained on";
        let found = format!("only reviewed masks that it did: {names}");
        return Err(Error::new(&first.reference, Kind::Request, expected, found)
            .hint("give masks drawn by hand, or scans that the network has not seen"));
    }
    watch.note(&format!(
        "note: {} left out, which this network proposed first or trained on: {names}",
        counted(own.len(), "reviewed reference"),
    ));
    Ok(())
}

/// A note on masks for which the network was told where organs begin and end.
fn told_ranges(ranged: &BTreeSet<String>, pairs: &[Pair]) -> Option<String> {
    let is_ranged =
        |pair: &&Pair| files::case_name(&pair.prediction).is_some_and(|case| ranged.contains(&case));
    let count = pairs.iter().filter(is_ranged).count();
    (count > 0).then(|| {
        format!(
            "{count} of {} kept to slices that a person had named: their scores are not the network's alone",
            counted(pairs.len(), "prediction"),
        )
    })
}

/// The cases that made the model, by the predictions' folder or the run, and those whose ranges it was told.
fn seen(request: &Request, watch: &dyn Watch) -> Result<(SeenCases, BTreeSet<String>)> {
    let (mut seen, mut told) = (SeenCases::default(), BTreeSet::new());
    let prediction = &request.prediction;
    let folder = if prediction.is_dir() { Some(&**prediction) } else { prediction.parent() };
    let record = folder.unwrap_or(Path::new("")).join(Record::Predict.file());
    if record.is_file() {
        let SeenBy { trained_on, validated_on, pretrained_on, ranged } = SeenBy::read(&record)?;
        told = ranged;
        seen.add(trained_on, Seen::Training);
        seen.add(validated_on, Seen::Validation);
        seen.add(pretrained_on, Seen::Pretraining);
    } else if let Some(run) = &request.run {
        // A mask does not tell whose it is; `polycl predict` knew scans by their voxels.
        watch.note(
            "note: no polycl.json beside the predictions: cases of the run are recognised by name alone",
        );
        let card = RunCard::read(run)?;
        seen.add(names(card.training_cases), Seen::Training);
        seen.add(names(card.validation_cases), Seen::Validation);
        seen.add(names(card.pretraining_cases), Seen::Pretraining);
    }
    Ok((seen, told))
}

/// A lone scan is named after its patient, of whom another scan may have trained the model.
fn names(cases: Vec<train::Seen>) -> impl Iterator<Item = String> {
    cases.into_iter().flat_map(|seen| [seen.case, seen.patient])
}
