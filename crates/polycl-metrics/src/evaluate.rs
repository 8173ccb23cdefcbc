//! From pairs of files to a report, one pair in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use polycl_base::{Error, Kind, Result, Watch};
use polycl_image::Mask;

use super::labels::{Numbering, Region};
use super::{Case, Options, Pair, Report, Scores, SeenCases, complete, score, summarise};

/// Scores every pair, in their order. Labels are known by the names
/// beside the masks, for two data sets, and even two files of one, seldom number their organs
/// alike; the report has the first reference's numbers. Where a reference or its prediction has no
/// names, the two are compared by value. nnU-Net's regions are scored as it does: each as the union of its values.
///
/// # Errors
/// As [`Pair::read`]; `Labels` for a chosen label that no mask holds, for a prediction that shares
/// no name with its reference, and for a label without a name among named ones.
pub fn evaluate(pairs: &[Pair], seen: &SeenCases, options: &Options, watch: &dyn Watch) -> Result<Report> {
    let mut numbering = Numbering::of(pairs)?;
    let mut cases = Vec::with_capacity(pairs.len());
    for (at, pair) in pairs.iter().enumerate() {
        let (case, notes) = scored((at, pair), &numbering, seen, options)?;
        cases.push(case);
        numbering.notes.extend(notes);
        watch.step(at + 1, pairs.len());
    }
    complete(&mut cases);
    if let Some(pair) = pairs.first() {
        all_occur(&cases, pair, options)?;
    }
    if let Some(note) = perhaps_ignored(&cases, &numbering) {
        numbering.notes.push(note);
    }
    let summary = summarise(&cases, options);
    let Numbering { names, notes, .. } = numbering;
    Ok(Report { options: options.clone(), names, notes, cases, summary })
}

fn scored(
    (at, pair): (usize, &Pair),
    numbering: &Numbering,
    seen: &SeenCases,
    options: &Options,
) -> Result<(Case, Vec<String>)> {
    let (mut reference, mut prediction, notes) = pair.read()?;
    let mut options = options.clone();
    numbering.leave_ignored(at, &mut reference, &mut prediction);
    if let Some(regions) = numbering.regions(at) {
        let scores = score_regions(&regions, &reference, &prediction, &options);
        let seen = seen.of(&pair.case);
        return Ok((Case { pair: pair.clone(), space: reference.space, seen, scores }, notes));
    }
    let named = numbering.apply((at, pair), &mut reference, &mut prediction)?;
    if let Some(labels) = named.filter(|_| options.labels.is_empty()) {
        options.labels = labels;
    }
    let scores = score(&reference, &prediction, &options);
    let seen = seen.of(&pair.case);
    Ok((Case { pair: pair.clone(), space: reference.space, seen, scores }, notes))
}

/// A label that many data sets give to voxels that nobody annotated.
const OFTEN_IGNORED: u16 = 255;

/// A sentence about a nameless label that stands in references and in no prediction.
fn perhaps_ignored(cases: &[Case], numbering: &Numbering) -> Option<String> {
    let scores = || cases.iter().filter_map(|case| case.scores.get(&OFTEN_IGNORED));
    let (expected, found) =
        scores().fold((0, 0), |(n_ref, n_pred), scores| (n_ref + scores.n_ref, n_pred + scores.n_pred));
    let nameless = !numbering.names.contains_key(&OFTEN_IGNORED);
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
fn all_occur(cases: &[Case], pair: &Pair, options: &Options) -> Result<()> {
    let occurs =
        |label: &u16| cases.iter().any(|case| case.scores[label].n_ref + case.scores[label].n_pred > 0);
    options.labels.iter().find(|label| !occurs(label)).map_or(Ok(()), |label| {
        let folder = pair.reference.parent().unwrap_or(&pair.reference);
        Err(Error::new(folder, Kind::Labels, format!("label {label} in a reference or a prediction"), "none"))
    })
}
