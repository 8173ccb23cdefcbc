//! From pairs of files to a report, one pair in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, EmptyPolicy, Pair, Report, SeenCases, complete, score, summarise};
use crate::dataset::names::{self, Names};
use crate::{Error, Kind, Mask, Result};

/// What is scored, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Label values of the references to score. Empty for every one that the prediction's names
    /// list or, where it has no names, that a reference or a prediction holds.
    pub labels: BTreeSet<u16>,
    /// Tolerance of the normalised surface Dice in mm.
    pub tolerance: f64,
    pub empty: EmptyPolicy,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { labels: BTreeSet::new(), tolerance: 2.0, empty: EmptyPolicy::Worst, seed: 0 }
    }
}

/// Scores every pair, in their order; `done` is called after each. Label names are those beside
/// the first reference. Where a prediction has names beside it too, its labels are matched with the
/// reference's by name: two data sets seldom number their organs alike.
///
/// # Errors
/// As [`Pair::read`]; `Labels` for a chosen label that no mask holds, and for names that cannot be
/// read.
pub fn evaluate(
    pairs: &[Pair],
    seen: &SeenCases,
    options: &Options,
    mut done: impl FnMut(),
) -> Result<Report> {
    let mut cases = Vec::with_capacity(pairs.len());
    for pair in pairs {
        cases.push(scored(pair, seen, options)?);
        done();
    }
    complete(&mut cases);
    if let Some(pair) = pairs.first() {
        all_occur(&cases, pair, options)?;
    }
    let summary = summarise(&cases, options);
    Ok(Report { options: options.clone(), names: label_names(pairs)?, cases, summary })
}

fn scored(pair: &Pair, seen: &SeenCases, options: &Options) -> Result<Case> {
    let (reference, mut prediction) = pair.read()?;
    let mut options = options.clone();
    if let Some(numbers) = by_name(pair)? {
        renumber(pair, &mut prediction, &numbers)?;
        if options.labels.is_empty() {
            options.labels = numbers.into_values().collect();
        }
    }
    let scores = score(&reference, &prediction, &options);
    let seen = seen.of(&pair.case);
    Ok(Case { pair: pair.clone(), space: reference.space, seen, scores })
}

/// The reference's number of each label of the prediction, where both have names; `None` where one
/// has none, so that numbers are all there is.
fn by_name(pair: &Pair) -> Result<Option<BTreeMap<u16, u16>>> {
    let files = (names::file_beside(&pair.reference), names::file_beside(&pair.prediction));
    let (Some(reference_names), Some(prediction_names)) = files else { return Ok(None) };
    let reference = names::read(&reference_names)?;
    let number = |(label, name): (u16, String)| {
        let found = reference.iter().find_map(|(&number, other)| (*other == name).then_some(number));
        let number = found.ok_or_else(|| {
            let expected = format!("the name '{name}', as in {}", prediction_names.display());
            Error::new(&reference_names, Kind::Labels, expected, "no such name")
                .hint("labels are matched by name where reference and prediction have names")
        })?;
        Ok((label, number))
    };
    names::read(&prediction_names)?.into_iter().map(number).collect::<Result<_>>().map(Some)
}

fn renumber(pair: &Pair, prediction: &mut Mask, numbers: &BTreeMap<u16, u16>) -> Result<()> {
    if numbers.iter().all(|(label, number)| label == number) {
        return Ok(());
    }
    for label in prediction.voxels.iter_mut().filter(|label| **label != 0) {
        *label = *numbers.get(label).ok_or_else(|| {
            let found = format!("label {label} without one");
            Error::new(&pair.prediction, Kind::Labels, "a name for each label", found)
        })?;
    }
    Ok(())
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

fn label_names(pairs: &[Pair]) -> Result<Names> {
    let file = pairs.iter().find_map(|pair| names::file_beside(&pair.reference));
    file.map_or_else(|| Ok(Names::new()), |file| names::read(&file))
}
