use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use indicatif::ProgressBar;
use polycl_nn::predict::{Components, Options, Prediction, Predictor};
use polycl_nn::refine::Refiner;
use polycl_nn::sam::Model;
use polycl_nn::train::{RunCard, Seen};
use polycl_volume::dataset::names::{self, Names};
use polycl_volume::dataset::pairs::{self, Pair};
use polycl_volume::dataset::provenance::prediction::{self, SeenBy};
use polycl_volume::dataset::provenance::{Record, Records, refinement, settle};
use polycl_volume::dicom::segmentation::Automation;
use polycl_volume::{Error, Kind, lock, nifti, odd, output};
use serde::Serialize;

use super::case::{MaskFormat, spare_hands};
use super::made::{Made, Stamp};
use super::refine::How;
use super::sam::{Network, note_decisions, write_decisions};
use crate::cli::Outcome;
use crate::fetch::Environment;
use crate::{stop, talk};

/// Segment scans with a fine-tuned network
///
/// Writes DIR/CASE.nii.gz in the grid of each scan, DIR/labels.json with the names of the values,
/// and DIR/polycl.json, which tells `evaluate` which of these scans the network was trained on. With
/// --refine, DIR/refine.csv says what was decided about every part of every slice. A scan that cannot be
/// segmented does not stop the others. Ctrl-C ends after the scan at hand, a second one at once.
#[derive(clap::Args)]
pub struct Args {
    /// Run that `polycl finetune` wrote
    run: PathBuf,
    /// Scans to segment, or folders of them, or of DICOM slices
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Folder for the masks
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Average with the prediction of the mirrored scan
    #[arg(long)]
    flip: bool,
    /// Keep only the largest connected component of each organ; without it as many as the organ has in the
    /// masks that trained the network, 1 or 2 where these tell
    #[arg(long)]
    largest: bool,
    /// Keep all connected components
    #[arg(long, conflicts_with = "largest")]
    all_components: bool,
    /// Also write DIR/probabilities/CASE_ORGAN.nii.gz, as they are before any refinement
    #[arg(long)]
    probabilities: bool,
    /// Go on with a folder: leave the masks that are there, of the same weights and options and of scans
    /// that have not changed since, and make the others
    #[arg(long = "continue")]
    go_on: bool,
    /// Refine the masks with a Segment Anything network, as `polycl refine` does: litemedsam, medsam, ...
    #[arg(long, value_name = "NAME", help_heading = "Refinement")]
    refine: Option<Model>,
    /// Weights of that network, if not those that `polycl fetch` has brought
    #[arg(long, value_name = "FILE", requires = "refine", help_heading = "Refinement")]
    weights: Option<PathBuf>,
    /// Format of the masks
    #[arg(long, value_enum, default_value = "nifti")]
    format: MaskFormat,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
    #[command(flatten, next_help_heading = "Refinement")]
    how: How,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let refiner = args.refiner()?;
    let predictor = Predictor::load(&args.run, args.device)?;
    if args.flip && !predictor.can_flip() {
        talk::note("note: --flip does nothing here: the network was trained without mirrored slices");
    }
    let (scans, notes) = pairs::unlabelled(&args.images, &Environment::of_process().salt())?;
    notes.into_iter().for_each(|text| talk::note(format!("note: {text}")));
    for pair in &scans {
        args.format.check(&pair.image, &args.out.join(format!("{}.nii.gz", pair.case)))?;
    }
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io(&args.out, "make the folder", &e))?;
    output::sweep(&args.out);
    refuse_overwriting(&args.out, &scans)?;
    check_names(&args.out, &organs(&predictor.card))?;
    if refiner.is_some() {
        refinement::check(&args.out)?;
    }
    let refined_by = refiner.as_ref().map(|refiner| args.how.describe(refiner));
    let book = Book { out: &args.out, run: &args.run, predictor: &predictor, refined_by };
    book.card()?;
    stop::listen().context("listening to signals")?;
    let mut waiting: VecDeque<&Pair> = scans.iter().collect();
    if args.go_on {
        let card = book.card()?;
        waiting.retain(|pair| !is_made(&card, args, pair, predictor.can_flip()));
        talk::note(format!("{} of {} masks are there already", scans.len() - waiting.len(), scans.len()));
    }
    let mut failed: Vec<(&str, anyhow::Error)> = Vec::new();
    while let Some(pair) = waiting.pop_front_if(|_| !stop::asked()) {
        let bar = talk::progress(0, &pair.case);
        let done = segment(args, (&book, refiner.as_ref()), pair, &bar);
        bar.finish_and_clear();
        if let Err(error) = done {
            if ends_all(&error, args, pair) {
                return Err(error);
            }
            talk::error(&error);
            failed.push((&pair.case, error));
        }
    }
    let outcome = tell(args, scans.len(), &failed, &waiting);
    ensure!(failed.len() < scans.len(), "no scan could be segmented");
    Ok(outcome)
}

/// Whether no other scan would fare better: its mask could not be written.
fn ends_all(error: &anyhow::Error, args: &Args, pair: &Pair) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| {
        error.kind == Kind::Io && error.file != pair.image.path() && error.file.starts_with(&args.out)
    })
}

/// How it ended: what failed and why, and what was left when somebody asked to stop.
fn tell(args: &Args, all: usize, failed: &[(&str, anyhow::Error)], left: &VecDeque<&Pair>) -> Outcome {
    let (out, done) = (args.out.display(), all - failed.len() - left.len());
    talk::note(format!("{done} of {all} scans segmented: {out}"));
    if !failed.is_empty() && failed.len() < all {
        talk::note("not segmented, and tried again with --continue:");
        failed.iter().for_each(|(case, error)| talk::note(format!("  {case}: {error:#}")));
    }
    if !left.is_empty() {
        let left: Vec<&str> = left.iter().map(|pair| pair.case.as_str()).collect();
        talk::note(format!("stopped before {}\nhint: go on with --continue", left.join(", ")));
        return Outcome::Stopped;
    }
    if failed.is_empty() { Outcome::Done } else { Outcome::SomeFailed }
}

impl Args {
    /// How a mask of a scan is made.
    fn made(&self, image: Stamp, can_flip: bool) -> Made {
        let flip = self.flip && can_flip;
        Made { flip, components: Some(self.components()), probabilities: self.probabilities, image }
    }

    fn components(&self) -> Components {
        match (self.largest, self.all_components) {
            (true, _) => Components::Largest,
            (_, true) => Components::All,
            _ => Components::Trained,
        }
    }

    fn refiner(&self) -> anyhow::Result<Option<Refiner>> {
        self.how.check()?;
        let Some(model) = self.refine else {
            return self.how.given().map_or(Ok(None), |flag| bail!("{flag} needs --refine <NAME>"));
        };
        let network = Network { model: Some(model), weights: self.weights.clone() };
        let (model, sam) = network.open(self.device)?;
        Ok(Some(Refiner::new(model, sam, self.device, self.how.cache.clone())))
    }
}

/// A mask must never take the place of a scan, nor of what a person may have drawn.
fn refuse_overwriting(out: &Path, scans: &[Pair]) -> anyhow::Result<()> {
    let mut records = Records::default();
    for Pair { case, image, .. } in scans {
        let target = out.join(format!("{case}.nii.gz"));
        let same = target
            .canonicalize()
            .is_ok_and(|target| image.path().canonicalize().is_ok_and(|image| image == target));
        if same {
            let expected = "another folder than that of the scans";
            return Err(
                Error::new(target, Kind::Request, expected, "a scan that its mask would replace").into()
            );
        }
        spare_hands(&mut records, &target)?;
    }
    Ok(())
}

/// Names of labels that are there already, for masks that are not this network's, must be the same.
fn check_names(out: &Path, organs: &Names) -> anyhow::Result<()> {
    let file = out.join("labels.json");
    if !file.is_file() || out.join(Record::Predict.file()).is_file() {
        return Ok(());
    }
    let there = names::read(&file)?;
    if there == *organs {
        return Ok(());
    }
    let list = |names: &Names| {
        names.iter().map(|(value, name)| format!("{value}={name}")).collect::<Vec<_>>().join(",")
    };
    let expected = format!("the names of this network, {}", list(organs));
    Err(Error::new(file, Kind::Labels, expected, list(&there)).hint("choose another --out").into())
}

/// Segments one scan. The card comes before the mask, so that no mask is ever without it.
fn segment(
    args: &Args,
    (book, refiner): (&Book, Option<&Refiner>),
    Pair { case, image: input, .. }: &Pair,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let predictor = book.predictor;
    let stamp = Stamp::of(input)?;
    let image = input.image()?;
    let fingerprint = image.fingerprint();
    let odd = odd::of(input, &image)?;
    bar.suspend(|| talk::odd(case, &odd));
    bar.suspend(|| note_seen(&predictor.card, case, &fingerprint));
    book.add(case, &fingerprint)?;
    let components = args.components();
    let options = Options { flip: args.flip, components, probabilities: args.probabilities };
    let mut step = |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let Prediction { mut mask, probabilities } = predictor.segment(&image, options, &mut step)?;
    if let Some(refiner) = refiner {
        bar.set_message(format!("{case}, refinement"));
        let organs = organs(&predictor.card);
        let refined = refiner.refine(&image, &mask, &organs, args.how.options(), &mut step)?;
        write_decisions(&args.out, case, &organs, &refined.decisions)?;
        bar.suspend(|| note_decisions(case, &refined.decisions));
        mask = refined.mask;
        predictor.card.organs.iter().for_each(|organ| components.keep(&mut mask, organ));
    }
    let file = args.out.join(format!("{case}.nii.gz"));
    args.format.write(&file, &mask, input, &organs(&predictor.card), Automation::Automatic)?;
    let own = if refiner.is_some() { &[Record::Predict, Record::Refine][..] } else { &[Record::Predict] };
    settle(&args.out, case, own)?;
    for (organ, map) in predictor.card.organs.iter().zip(&probabilities) {
        let name = organ.name.replace(['/', '\\', '\0'], "_");
        nifti::write_image(&args.out.join("probabilities").join(format!("{case}_{name}.nii.gz")), map)?;
    }
    book.finish(case, args.made(stamp, predictor.can_flip()))
}

fn organs(card: &RunCard) -> Names {
    card.organs.iter().map(|organ| (organ.value, organ.name.clone())).collect()
}

/// Which network segmented the scans of a folder, and how.
type Card = prediction::Card<Made>;

/// Whether the mask of a scan is there as it would be made now.
fn is_made(card: &Card, args: &Args, Pair { case, image, .. }: &Pair, can_flip: bool) -> bool {
    let listed = card.cases.as_ref().is_some_and(|cases| cases.contains(case));
    let as_asked = |made: &Made| {
        Stamp::of(image).is_ok_and(|stamp| *made == args.made(stamp, can_flip))
            && args.format.is_there(&args.out.join(format!("{case}.nii.gz")))
    };
    listed && card.made.get(case).is_some_and(as_asked)
}

/// Where the masks of a network are put down.
struct Book<'a> {
    out: &'a Path,
    run: &'a Path,
    predictor: &'a Predictor,
    refined_by: Option<String>,
}

impl Book<'_> {
    /// The folder's card from earlier calls, or a new one.
    fn card(&self) -> anyhow::Result<Card> {
        let path = self.out.join(Record::Predict.file());
        if !path.exists() {
            return Ok(Card {
                polycl: env!("CARGO_PKG_VERSION").to_owned(),
                run: self.run.to_path_buf(),
                weights: self.predictor.weights.clone(),
                refined_by: self.refined_by.clone(),
                cases: Some(BTreeSet::new()),
                made: BTreeMap::new(),
                seen: SeenBy::default(),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, "read it", &e))?;
        let found: Option<Card> = serde_json::from_str(&text).ok();
        let same = |card: &Card| card.weights == self.predictor.weights && card.refined_by == self.refined_by;
        found.filter(same).ok_or_else(|| {
            let expected = format!("masks of the run {}, refined in the same way", self.run.display());
            Error::new(path, Kind::Request, expected, "masks of another run or refinement")
                .hint("choose another --out")
                .into()
        })
    }

    /// Adds a case to the card as it is now: another call may have added its own since.
    fn add(&self, case: &str, fingerprint: &str) -> anyhow::Result<()> {
        let _lock = lock::wait(self.out)?;
        let mut card = self.card()?;
        card.made.remove(case);
        if let Some(cases) = &mut card.cases {
            cases.insert(case.to_owned());
        }
        let [training, validation, pretraining] = groups(&self.predictor.card).map(|(seen, _)| seen);
        for (group, seen) in [
            (&mut card.seen.trained_on, training),
            (&mut card.seen.validated_on, validation),
            (&mut card.seen.pretrained_on, pretraining),
        ] {
            group.remove(case);
            if among(seen, fingerprint) {
                group.insert(case.to_owned());
            }
        }
        write_json(&self.out.join("labels.json"), &organs(&self.predictor.card))?;
        Ok(card.write(self.out)?)
    }

    /// Notes that the mask of a case, and all that goes with it, is written.
    fn finish(&self, case: &str, made: Made) -> anyhow::Result<()> {
        let _lock = lock::wait(self.out)?;
        let mut card = self.card()?;
        card.made.insert(case.to_owned(), made);
        Ok(card.write(self.out)?)
    }
}

/// What a network has seen, and what for.
fn groups(network: &RunCard) -> [(&[Seen], &'static str); 3] {
    [
        (&network.training_cases, "trained this network"),
        (&network.validation_cases, "chose this network's best checkpoint"),
        (&network.pretraining_cases, "was seen in training, without its mask"),
    ]
}

fn among(seen: &[Seen], fingerprint: &str) -> bool {
    seen.iter().any(|seen| seen.fingerprint == fingerprint)
}

/// Warns of a scan that the network has seen.
fn note_seen(network: &RunCard, case: &str, fingerprint: &str) {
    for (_, what) in groups(network).into_iter().filter(|(seen, _)| among(seen, fingerprint)) {
        talk::note(format!("warning: {case} {what}; its score is no evidence"));
    }
    let same_name = |seen: &Seen| seen.case == case && seen.fingerprint != fingerprint;
    if network.training_cases.iter().any(same_name) {
        talk::note(format!(
            "note: another scan of the name {case} trained this network; is it the same patient?"
        ));
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(output::atomically(path, |file| writeln!(file, "{text}"))?)
}
