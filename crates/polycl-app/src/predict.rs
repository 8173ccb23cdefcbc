//! Masks of scans by a fine-tuned network, one scan after the other, refined on request.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Subject, Until, Watch, output, some};
use polycl_data::pairs::{self, Pair};
use polycl_data::provenance::{Record, refinement, settle};
use polycl_data::{Ranges, Records, Shard};
use polycl_image::dicom::segmentation::Automation;
use polycl_image::legend::Legend;
use polycl_image::names::{self, Names};
use polycl_image::nifti::Form;
use polycl_image::{nifti, odd};
use polycl_nn::device::Device;
use polycl_nn::predict::{Components, Options, Prediction, Predictor};
use polycl_nn::refine::Refiner;
use polycl_nn::train::{RunCard, Seen};
use serde::{Deserialize, Serialize};

use crate::fetch::Environment;
use crate::masks::{MaskFormat, note_odd, spare_hands};
use crate::recipe::{MaskRecipe, Stamp};
use crate::refinement::{RefineSettings, RefineSummary, SamWeights, write_decisions};
use crate::shards::{self, Own};
use book::{Book, Card, among, groups, organs};

mod book;
mod merge;

pub use merge::{Merged, merge};

/// Scans to segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Run of a fine-tuning.
    pub run: PathBuf,
    /// Scans, or folders of them, or of DICOM slices.
    pub scans: Vec<PathBuf>,
    /// Folder for the masks.
    pub out: PathBuf,
    /// Table of the slices that show an organ, which is found in no others.
    #[serde(default)]
    pub ranges: Option<PathBuf>,
    /// Standard deviation in mm of the Gaussian that smooths probabilities along the body.
    #[serde(default)]
    pub smooth: f64,
    /// Average with the prediction of the mirrored scan.
    pub flip: bool,
    pub components: Components,
    /// Also write probabilities, as they are before any refinement.
    pub probabilities: bool,
    /// Leave masks that are there, of the same weights and settings and of scans that have not changed since.
    pub go_on: bool,
    pub refinement: Option<(SamWeights, RefineSettings)>,
    /// Finish the scan at hand where it is asked to stop; it is given up, and begun anew with `go_on`, without.
    pub whole_scans: bool,
    pub format: MaskFormat,
    pub device: Device,
    /// The form of NIfTI headers that is believed; nibabel's choice without it.
    #[serde(default)]
    pub trust: Option<Form>,
    /// The share of the scans that is segmented here, for [`merge`].
    #[serde(default)]
    pub shard: Option<Shard>,
}

/// Scans segmented, failed and left.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Scans asked for.
    pub of: usize,
    /// Scans whose masks were there already.
    pub kept: usize,
    pub failed: Vec<Failure>,
    /// Cases that are left because it was asked to stop.
    pub left: Vec<String>,
}

/// A scan that could not be segmented; watchers hear of it at once.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    pub case: String,
    pub error: Error,
}

/// Largest standard deviation in mm that is accepted.
const MOST_SMOOTH: f64 = 100.0;

/// Segments the scans. One that cannot be segmented does not stop the others; a scan that was not done when it was
/// asked to stop is begun anew with `go_on`.
///
/// # Errors
/// [`Kind::Request`] where a mask would replace a scan, a hand-drawn mask, or one of another network; what reading
/// the run and writing the masks can say.
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    if !(0.0..=MOST_SMOOTH).contains(&request.smooth) {
        let (expected, found) = (format!("0 to {MOST_SMOOTH} mm"), request.smooth.to_string());
        return Err(Error::new(Subject::Setting("smooth".into()), Kind::Request, expected, found).into());
    }
    let (mut scans, notes) = pairs::unlabelled(&request.scans, &Environment::of_process().salt())?;
    let ranges =
        request.ranges.as_deref().map(|table| ranges(table, &request.run, &scans, watch)).transpose()?;
    let own = Own::asked(("predict", &request.out), request.shard, || of_shards(request, &scans))?;
    scans.retain(|pair| own.as_ref().is_none_or(|own| own.has(&pair.case)));
    let refiner = match &request.refinement {
        Some((weights, how)) => {
            how.check()?;
            Some(how.refiner(weights, request.device)?)
        }
        None => None,
    };
    let predictor = Predictor::load(&request.run, request.device)?;
    if request.flip && !predictor.can_flip() {
        watch.note("note: --flip does nothing here: the network was trained without mirrored slices");
    }
    notes.into_iter().for_each(|text| watch.note(&format!("note: {text}")));
    let scans = Vec::from_iter(scans.into_iter().map(|pair| pair.trusting(request.trust)));
    for pair in &scans {
        request.format.check(&pair.image, &request.out.join(format!("{}.nii.gz", pair.case)))?;
    }
    std::fs::create_dir_all(&request.out).map_err(|e| Error::io(&request.out, "make the folder", &e))?;
    output::sweep(&request.out);
    refuse_overwriting(&request.out, &scans)?;
    check_names(&request.out, &predictor.card)?;
    if refiner.is_some() {
        refinement::check(&request.out)?;
    }
    let refined_by = refiner.as_ref().zip(request.refinement.as_ref());
    let refined_by = refined_by.map(|(refiner, (_, how))| how.describe(refiner));
    // A shard keeps its masks, and their records, in its own folder until it is merged.
    let of_shard =
        own.as_ref().map(|own| Request { out: own.folder.clone(), go_on: true, ..request.clone() });
    let request = of_shard.as_ref().unwrap_or(request);
    let (out, run, predictor) = (&request.out, &request.run, &predictor);
    let book = Book { out, run, predictor, refined_by, own: own.as_ref() };
    book.card()?;
    let outcome =
        Own::hold(own.as_ref(), watch, |watch| Work { request, book, ranges, refiner, watch }.all(&scans))?;
    if let Some(own) = own.filter(|_| outcome.left.is_empty()) {
        let reason = |failure: &Failure| (failure.case.clone(), failure.error.to_string());
        own.finish(outcome.failed.iter().map(reason).collect())?;
    }
    Ok(outcome)
}

/// The work that shards of a prediction do. The run must be there: a slip of the first shard must not settle the work of all.
fn of_shards<'a>(request: &Request, scans: &'a [Pair]) -> polycl_base::Result<shards::Work<'a>> {
    RunCard::read(&request.run)?;
    let alike = Request { out: PathBuf::new(), go_on: false, shard: None, ..request.clone() };
    let cases = scans.iter().map(|pair| pair.case.as_str()).collect();
    Ok(shards::Work {
        cases,
        request: shards::hashed(&alike, &scans, &Vec::from_iter(request.ranges.as_deref()))?,
        computes: true,
    })
}

struct Work<'a> {
    request: &'a Request,
    book: Book<'a>,
    ranges: Option<Ranges>,
    refiner: Option<Refiner>,
    watch: &'a dyn Watch,
}

impl Work<'_> {
    fn all(&self, scans: &[Pair]) -> anyhow::Result<Outcome> {
        let mut waiting: VecDeque<&Pair> = scans.iter().collect();
        let there = |pair: &&Pair| self.request.format.is_there(&self.target(pair));
        let again = scans.iter().filter(there).count();
        if self.request.go_on {
            let card = self.book.card()?;
            waiting.retain(|pair| !self.is_made(&card, pair));
        } else if again > 0 {
            let text = "masks are there already and are made again; --continue leaves them";
            self.watch.note(&format!("note: {again} of {} {text}", scans.len()));
        }
        let kept = scans.len() - waiting.len();
        if self.request.go_on {
            self.watch.note(&format!("{kept} of {} masks are there already", scans.len()));
        }
        let mut failed: Vec<Failure> = Vec::new();
        while let Some(pair) = waiting.pop_front_if(|_| !self.watch.stop()) {
            self.watch.task(&pair.case);
            match self.segment(pair) {
                Ok(true) => {}
                Ok(false) => {
                    waiting.push_front(pair);
                    break;
                }
                Err(error) if self.ends_all(&error, pair) => return Err(error.into()),
                Err(error) => {
                    let failure = Failure { case: pair.case.clone(), error };
                    self.watch.partial(&failure);
                    failed.push(failure);
                }
            }
        }
        let left = waiting.iter().map(|pair| pair.case.clone()).collect();
        Ok(Outcome { of: scans.len(), kept, failed, left })
    }

    /// The mask of a scan.
    fn target(&self, pair: &Pair) -> PathBuf {
        self.request.out.join(format!("{}.nii.gz", pair.case))
    }

    /// True if the mask could not be written, or is another process's to write, which would be so for every other scan, too.
    fn ends_all(&self, error: &Error, pair: &Pair) -> bool {
        let place = error.file().filter(|file| *file != pair.image.path());
        let cannot = error.kind == Kind::Io && place.is_some_and(|file| file.starts_with(&self.request.out));
        cannot || self.book.check().is_err()
    }

    /// True if the mask of a scan is there as it would be made now.
    fn is_made(&self, card: &Card, pair: &Pair) -> bool {
        let listed = card.cases.as_ref().is_some_and(|cases| cases.contains(&pair.case));
        let as_asked = |made: &MaskRecipe| {
            Stamp::of(&pair.image).is_ok_and(|stamp| *made == self.made(&pair.case, stamp))
                && self.request.format.is_there(&self.target(pair))
        };
        listed && card.made.get(&pair.case).is_some_and(as_asked)
    }

    /// The recipe of a scan's mask.
    fn made(&self, case: &str, image: Stamp) -> MaskRecipe {
        let ranges =
            self.ranges.as_ref().and_then(|ranges| ranges.rows().get(case)).cloned().unwrap_or_default();
        let Request { smooth, flip, components, probabilities, trust, .. } = *self.request;
        let flip = flip && self.book.predictor.can_flip();
        MaskRecipe { ranges, smooth, flip, components: Some(components), probabilities, image, trust }
    }

    /// Segments one scan; false where it was asked to stop meanwhile. The card comes before the mask, so that no mask is
    /// ever without it.
    fn segment(&self, Pair { case, image: input, .. }: &Pair) -> polycl_base::Result<bool> {
        let Self { request, book, ranges, refiner, watch } = self;
        let to_the_end = Until { watch: *watch, stop: || book.own.is_some_and(Own::is_lost) };
        let watch: &dyn Watch = if request.whole_scans { &to_the_end } else { *watch };
        let (predictor, out) = (book.predictor, &request.out);
        let stamp = Stamp::of(input)?;
        let image = input.image()?;
        let fingerprint = image.fingerprint();
        let odd = odd::of(input, &image)?;
        note_odd(case, &odd, watch);
        let file = out.join(format!("{case}.nii.gz"));
        request.format.check_scan(&file, &image.space, input)?;
        note_seen(&predictor.card, case, &fingerprint, watch);
        let ranges = ranges.as_ref().map(|ranges| ranges.of_whole(case, &image.space)).transpose()?;
        let ranges = ranges.filter(|organs| !organs.is_empty());
        book.add(case, &fingerprint, &odd, ranges.is_some())?;
        let components = request.components;
        let Request { smooth, flip, probabilities, .. } = **request;
        let options = Options { ranges: ranges.as_ref(), smooth, flip, components, probabilities };
        let Some(Prediction { mut mask, probabilities, .. }) = predictor.segment(&image, options, watch)?
        else {
            return Ok(false);
        };
        if let (Some(refiner), Some((_, how))) = (refiner, &request.refinement) {
            watch.task(&format!("{case}, refinement"));
            let organs = organs(&predictor.card);
            let Some(refined) = refiner.refine(&image, &mask, &organs, how.options(), watch)? else {
                return Ok(false);
            };
            write_decisions(out, (case, &odd), &organs, &refined.decisions)?;
            watch.partial(&RefineSummary::of(case, &refined.decisions));
            mask = refined.mask;
            components.keep(&mut mask, &predictor.card);
        }
        book.check()?;
        request.format.write(&file, &mask, input, &organs(&predictor.card), Automation::Automatic)?;
        let own = if refiner.is_some() { &[Record::Predict, Record::Refine][..] } else { &[Record::Predict] };
        settle(out, case, own)?;
        for (channel, map) in predictor.card.channels().iter().zip(&probabilities) {
            let name = channel.name.replace(['/', '\\', '\0'], "_");
            nifti::write_image(&out.join("probabilities").join(format!("{case}_{name}.nii.gz")), map)?;
        }
        book.finish(case, self.made(case, stamp))?;
        Ok(true)
    }
}

/// The ranges of what a network draws. Refuses a table of other organs or other scans, and notes what it leaves out.
fn ranges(table: &Path, run: &Path, scans: &[Pair], watch: &dyn Watch) -> polycl_base::Result<Ranges> {
    let mut ranges = Ranges::read(table)?;
    let network = RunCard::read(run)?.channels();
    let drawn = |organ: &str| network.iter().any(|channel| channel.name == organ);
    let all: BTreeSet<String> = ranges.organs().map(str::to_owned).collect();
    let others: Vec<&String> = all.iter().filter(|organ| !drawn(organ)).collect();
    // A run that draws nothing is refused as such, later on.
    if others.len() == all.len() && !network.is_empty() {
        let names: Vec<&str> = network.iter().map(|channel| &*channel.name).collect();
        let expected = format!("ranges of {}", names.join(", "));
        return Err(Error::new(table, Kind::Request, expected, some(&others))
            .hint("list the organs of the network with `polycl inspect RUN`"));
    }
    ranges.retain(drawn);
    let has_row = |case: &str| ranges.rows().contains_key(case);
    let strangers: Vec<&String> =
        ranges.rows().keys().filter(|case| !scans.iter().any(|pair| pair.case == **case)).collect();
    let bare: Vec<&str> = scans.iter().map(|pair| &*pair.case).filter(|case| !has_row(case)).collect();
    if bare.len() == scans.len() {
        let expected = format!("a row of one of {}", some(&bare));
        let found = if strangers.is_empty() {
            "rows of other organs alone".to_owned()
        } else {
            format!("rows of {}", some(&strangers))
        };
        return Err(Error::new(table, Kind::Pairing, expected, found)
            .hint("call each scan as its mask is called, without .nii.gz"));
    }
    let note = |told: &str, names: String| watch.note(&format!("note: {}: {told} {names}", table.display()));
    if !others.is_empty() {
        note("the network does not draw", some(&others));
    }
    if !strangers.is_empty() {
        note("there are rows of scans that are not here:", some(&strangers));
    }
    if !bare.is_empty() {
        note("there is no row of", some(&bare));
    }
    Ok(ranges)
}

/// A mask must never take the place of a scan, nor of what a person may have drawn.
fn refuse_overwriting(out: &Path, scans: &[Pair]) -> polycl_base::Result<()> {
    let mut records = Records::default();
    for Pair { case, image, .. } in scans {
        let target = out.join(format!("{case}.nii.gz"));
        let same = target
            .canonicalize()
            .is_ok_and(|target| image.path().canonicalize().is_ok_and(|image| image == target));
        if same {
            let expected = "another folder than that of the scans";
            return Err(Error::new(target, Kind::Request, expected, "a scan that its mask would replace"));
        }
        spare_hands(&mut records, &target)?;
    }
    Ok(())
}

/// Names of labels that are there already, for masks that are not this network's, must be the same.
fn check_names(out: &Path, network: &RunCard) -> polycl_base::Result<()> {
    let file = out.join("labels.json");
    if !file.is_file() || out.join(Record::Predict.file()).is_file() {
        return Ok(());
    }
    let (organs, Legend { names: there, regions, .. }) = (organs(network), names::read(&file)?);
    if there == organs || !regions.is_empty() && regions == book::regions(network) {
        return Ok(());
    }
    let list = |names: &Names| {
        names.iter().map(|(value, name)| format!("{value}={name}")).collect::<Vec<_>>().join(",")
    };
    let expected = format!("the names of this network, {}", list(&organs));
    Err(Error::new(file, Kind::Labels, expected, list(&there)).hint("choose another --out"))
}

/// Warns of a scan that the network has seen.
fn note_seen(network: &RunCard, case: &str, fingerprint: &str, watch: &dyn Watch) {
    for (_, what) in groups(network).into_iter().filter(|(seen, _)| among(seen, fingerprint)) {
        watch.note(&format!("warning: {case} {what}: do not report its score"));
    }
    let same_name = |seen: &Seen| seen.case == case && seen.fingerprint != fingerprint;
    if network.training_cases.iter().any(same_name) {
        watch.note(&format!("note: another scan named {case} trained this network; is it the same patient?"));
    }
}
