//! From pairs of files to a report, one pair in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use polycl_base::{Error, Kind, Result, Watch};
use polycl_image::Mask;
use polycl_image::names::Names;
use polycl_image::orient::slice_of;
use serde::{Deserialize, Serialize};

use super::labels::{Numbering, Region};
use super::{Case, Options, Pair, Report, Scores, SeenCases, complete, score, summarise};

/// The scores of some of the cases, and what holds of all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scored {
    pub options: Options,
    pub names: Names,
    /// Notes on the names beside the masks of all cases.
    notes: Vec<String>,
    /// Cases by their number among all.
    cases: BTreeMap<usize, ScoredCase>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ScoredCase {
    case: Case,
    notes: Vec<String>,
    /// Sentences about labels that the reference may show in part.
    thin: Vec<String>,
}

/// Scores every pair, in their order; see [`Scored::of`].
///
/// # Errors
/// As [`Scored::of`] and [`Scored::report`].
pub fn evaluate(pairs: &[Pair], seen: &SeenCases, options: &Options, watch: &dyn Watch) -> Result<Report> {
    Scored::of(pairs, |_| true, seen, options, watch)?.report()
}

impl Scored {
    /// Scores the cases that are `own`, in their order, after a look at the headers of these. Labels are known by the names
    /// beside the masks, for two data sets, and even two files of one, seldom number their organs
    /// alike; the report has the first reference's numbers. Where a reference or its prediction has no
    /// names, the two are compared by value. nnU-Net's regions are scored as it does: each as the union of its values.
    ///
    /// # Errors
    /// As [`Pair::read`]; `Labels` for a prediction that shares no name with its reference, and for a label without a name
    /// among named ones.
    pub fn of(
        pairs: &[Pair],
        own: impl Fn(&str) -> bool,
        seen: &SeenCases,
        options: &Options,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let own: Vec<(usize, &Pair)> = pairs.iter().enumerate().filter(|(_, pair)| own(&pair.case)).collect();
        own.iter().try_for_each(|(_, pair)| pair.check())?;
        let numbering = Numbering::of(pairs, !options.labels.is_empty())?;
        let mut cases = BTreeMap::new();
        for (done, (at, pair)) in own.iter().enumerate() {
            cases.insert(*at, scored((*at, pair), &numbering, seen, options)?);
            watch.step(done + 1, own.len());
        }
        let Numbering { names, notes, .. } = numbering;
        Ok(Self { options: options.clone(), names, notes, cases })
    }

    /// Adds the cases of another part of the same evaluation.
    ///
    /// # Errors
    /// The difference, where it is a part of another one.
    pub fn add(&mut self, other: Self) -> std::result::Result<(), &'static str> {
        if other.options != self.options {
            return Err("other options");
        }
        if (&other.names, &other.notes) != (&self.names, &self.notes) {
            return Err("other names");
        }
        self.cases.extend(other.cases);
        Ok(())
    }

    pub fn count(&self) -> usize {
        self.cases.len()
    }

    /// The report of all cases that are there.
    ///
    /// # Errors
    /// `Labels` for a chosen label that no mask holds.
    pub fn report(self) -> Result<Report> {
        let Self { options, names, mut notes, cases: scored } = self;
        let (mut cases, mut thin) = (Vec::with_capacity(scored.len()), Vec::new());
        for own in scored.into_values() {
            cases.push(own.case);
            notes.extend(own.notes);
            thin.extend(own.thin);
        }
        complete(&mut cases);
        all_occur(&cases, &options)?;
        notes.extend(perhaps_ignored(&cases, &names));
        if let Some(first) = thin.first() {
            let more = if thin.len() > 1 {
                format!(" (and {} more like it)", thin.len() - 1)
            } else {
                String::new()
            };
            notes.push(format!("{first}{more}; a reference that is drawn in part gives low scores"));
        }
        let summary = summarise(&cases, &options);
        Ok(Report { options, names, notes, cases, summary })
    }
}

fn scored(
    (at, pair): (usize, &Pair),
    numbering: &Numbering,
    seen: &SeenCases,
    options: &Options,
) -> Result<ScoredCase> {
    let (mut reference, mut prediction, notes) = pair.read()?;
    let mut options = options.clone();
    let ignored = numbering.leave_ignored(at, &mut reference, &mut prediction);
    let mut scores = if let Some(regions) = numbering.regions(at) {
        score_regions(&regions, &reference, &prediction, &options)
    } else {
        let named = numbering.apply((at, pair), &mut reference, &mut prediction)?;
        if let Some(labels) = named.filter(|_| options.labels.is_empty()) {
            options.labels = labels;
        }
        score(&reference, &prediction, &options)
    };
    scores.values_mut().for_each(|scores| scores.tn -= ignored);
    let seen = seen.of(&pair.case);
    let thin = if numbering.regions(at).is_some() {
        Vec::new()
    } else {
        let name = |label: u16| numbering.names.get(&label).cloned();
        let name = |label: u16| name(label).unwrap_or_else(|| format!("label {label}"));
        let told = |(label, text): (u16, String)| {
            format!("{}: the reference shows {} in {text}", pair.case, name(label))
        };
        let scored = |(label, _): &(u16, String)| scores.contains_key(label);
        thin(&reference, &prediction).into_iter().filter(scored).map(told).collect()
    };
    let absent = score::absent(&reference.space, ignored);
    Ok(ScoredCase { case: Case { pair: pair.clone(), absent, seen, scores }, notes, thin })
}

/// The slices of a prediction for each slice of its reference from which on the reference may be drawn in part.
const THIN: usize = 5;

/// Labels that a reference shows in few of the slices in which its prediction does, and how many these are.
fn thin(reference: &Mask, prediction: &Mask) -> Vec<(u16, String)> {
    let [own, found] = [reference, prediction].map(slices);
    let thin = |(label, slices): (u16, usize)| {
        let predicted = found.get(&label).copied().unwrap_or_default();
        let unit = if slices == 1 { "slice" } else { "slices" };
        (slices * THIN <= predicted)
            .then(|| (label, format!("{slices} {unit}, the prediction in {predicted}")))
    };
    own.into_iter().filter_map(thin).collect()
}

/// The number of slices that show each label.
fn slices(mask: &Mask) -> BTreeMap<u16, usize> {
    let slice = slice_of(&mask.space);
    let mut shown: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
    // Labels come in runs, which lie in one slice or go through all.
    let mut last = (0, 0);
    for (at, &label) in mask.voxels.iter().enumerate().filter(|(_, label)| **label > 0) {
        let here = (label, slice(at));
        if here != last {
            shown.entry(label).or_default().insert(here.1);
            last = here;
        }
    }
    shown.into_iter().map(|(label, slices)| (label, slices.len())).collect()
}

/// A label that many data sets give to voxels that nobody annotated.
const OFTEN_IGNORED: u16 = 255;

/// A sentence about a nameless label that stands in references and in no prediction.
fn perhaps_ignored(cases: &[Case], names: &Names) -> Option<String> {
    let scores = || cases.iter().filter_map(|case| case.scores.get(&OFTEN_IGNORED));
    let (expected, found) =
        scores().fold((0, 0), |(n_ref, n_pred), scores| (n_ref + scores.n_ref, n_pred + scores.n_pred));
    let nameless = !names.contains_key(&OFTEN_IGNORED);
    (nameless && expected > 0 && found == 0).then(|| {
        format!(
            "label {OFTEN_IGNORED} is in references and in no prediction, and is scored as any other: if it marks what nobody \
             annotated, call it `ignore` in a labels.json beside the references"
        )
    })
}

/// Scores regions one after the other, for they overlap: each is a mask of its own.
fn score_regions(
    regions: &[Region],
    reference: &Mask,
    prediction: &Mask,
    options: &Options,
) -> BTreeMap<u16, Scores> {
    let chosen: BTreeSet<u16> = if options.labels.is_empty() {
        regions.iter().map(|region| region.number).collect()
    } else {
        options.labels.clone()
    };
    let alone = Options { labels: BTreeSet::from([1]), ..options.clone() };
    let of = |number: u16| {
        let region = regions.iter().find(|region| region.number == number);
        let [own, found] = region.map(|region| region.values.clone()).unwrap_or_default();
        let mut scores = score(&together(reference, &own), &together(prediction, &found), &alone);
        Some((number, scores.remove(&1)?))
    };
    chosen.into_iter().filter_map(of).collect()
}

/// A mask of 1 where another has one of some values.
fn together(mask: &Mask, values: &BTreeSet<u16>) -> Mask {
    let voxels = mask.voxels.iter().map(|label| u16::from(values.contains(label))).collect();
    Mask { space: mask.space.clone(), voxels }
}

/// A chosen label that no mask holds is a slip of the pen, not a result.
fn all_occur(cases: &[Case], options: &Options) -> Result<()> {
    let Some(Case { pair, .. }) = cases.first() else { return Ok(()) };
    let occurs =
        |label: &u16| cases.iter().any(|case| case.scores[label].n_ref + case.scores[label].n_pred > 0);
    options.labels.iter().find(|label| !occurs(label)).map_or(Ok(()), |label| {
        let folder = pair.reference.parent().unwrap_or(&pair.reference);
        Err(Error::new(
            folder,
            Kind::Labels,
            format!("label {label} in a reference or a prediction"),
            "no mask that holds it",
        ))
    })
}
