//! From pairs of files to a report, one pair in memory at a time.

use std::collections::BTreeSet;

use super::{Case, EmptyPolicy, Pair, Report, SeenCases, complete, score, summarise};
use crate::dataset::names::{self, Names};
use crate::{Error, Kind, Result};

/// What is scored, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Label values to score; empty for every one that a reference or a prediction holds.
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
/// the first reference.
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
    let (reference, prediction) = pair.read()?;
    let scores = score(&reference, &prediction, options);
    let seen = seen.of(&pair.case);
    Ok(Case { pair: pair.clone(), space: reference.space, seen, scores })
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
