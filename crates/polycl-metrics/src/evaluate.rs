//! From pairs of files to a report, one pair in memory at a time.

use polycl_base::{Error, Kind, Result, Watch};

use super::labels::Numbering;
use super::{Case, Options, Pair, Report, SeenCases, complete, score, summarise};

/// Scores every pair, in their order. Labels are known by the names
/// beside the masks, for two data sets, and even two files of one, seldom number their organs
/// alike; the report has the first reference's numbers. Where a reference or its prediction has no
/// names, the two are compared by value.
///
/// # Errors
/// As [`Pair::read`]; `Labels` for a chosen label that no mask holds, for a prediction that shares
/// no name with its reference, and for a label without a name among named ones.
pub fn evaluate(pairs: &[Pair], seen: &SeenCases, options: &Options, watch: &dyn Watch) -> Result<Report> {
    let mut numbering = Numbering::of(pairs)?;
    let mut cases = Vec::with_capacity(pairs.len());
    for (at, pair) in pairs.iter().enumerate() {
        let (case, note) = scored((at, pair), &numbering, seen, options)?;
        cases.push(case);
        numbering.notes.extend(note);
        watch.step(at + 1, pairs.len());
    }
    complete(&mut cases);
    if let Some(pair) = pairs.first() {
        all_occur(&cases, pair, options)?;
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
) -> Result<(Case, Option<String>)> {
    let (mut reference, mut prediction, note) = pair.read()?;
    let mut options = options.clone();
    let named = numbering.apply((at, pair), &mut reference, &mut prediction)?;
    if let Some(labels) = named.filter(|_| options.labels.is_empty()) {
        options.labels = labels;
    }
    let scores = score(&reference, &prediction, &options);
    let seen = seen.of(&pair.case);
    Ok((Case { pair: pair.clone(), space: reference.space, seen, scores }, note))
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
