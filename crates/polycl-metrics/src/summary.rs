//! From the scores of cases to means with intervals.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bootstrap::{FEWEST, Resamples, interval, mean};
use super::{EmptyPolicy, Options, Outcome, Pair, Scores, Seen};

/// The scores of one pair of files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    pub pair: Pair,
    /// The scores of a label that neither mask holds.
    pub absent: Scores,
    /// Exposure of the model that made the prediction to this case.
    pub seen: Seen,
    pub scores: BTreeMap<u16, Scores>,
}

/// A mean over cases (or over labels), and its 95% bootstrap interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// One of [`Scores::KEYS`].
    pub metric: &'static str,
    pub mean: Option<f64>,
    /// Undefined where the mean is, where fewer than five values are, and for voxel counts.
    pub interval: Option<[f64; 2]>,
}

/// Counts of cases by which of their masks hold a label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    pub both: usize,
    pub missed: usize,
    pub false_alarm: usize,
    /// In neither mask: undefined, and in no mean.
    pub neither: usize,
}

/// One label over all cases.
#[derive(Debug, Clone)]
pub struct LabelSummary {
    pub tally: Tally,
    pub estimates: Vec<Estimate>,
}

/// Means over cases for each label, and the mean of those means.
#[derive(Debug, Clone)]
pub struct Summary {
    pub labels: BTreeMap<u16, LabelSummary>,
    /// As nnU-Net v2: the mean over labels of each label's mean, undefined if one of them is.
    pub foreground: Vec<Estimate>,
}

/// Gives every case a score for every label that any case has.
pub(super) fn complete(cases: &mut [Case]) {
    let labels: BTreeSet<u16> = cases.iter().flat_map(|case| case.scores.keys().copied()).collect();
    for case in cases {
        for &label in &labels {
            case.scores.entry(label).or_insert_with(|| case.absent.clone());
        }
    }
}

/// Means with intervals over cases, all of which have the same labels (see [`complete`]). A case is
/// drawn as a unit: where several scans belong to one patient, intervals come out too narrow.
pub(super) fn summarise(cases: &[Case], options: &Options) -> Summary {
    let resamples = Resamples::new(cases.len(), options.seed);
    let labels = cases.first().into_iter().flat_map(|case| case.scores.keys());
    let tallied = |&label| (label, LabelSummary { tally: tally(cases, label), estimates: Vec::new() });
    let mut labels: BTreeMap<u16, LabelSummary> = labels.map(tallied).collect();
    let mut foreground = Vec::new();
    for (column, metric) in Scores::KEYS.into_iter().enumerate() {
        let mut columns = Vec::new();
        for (&label, summary) in &mut labels {
            let values = values(cases, label, column, options.empty);
            let several = column < Scores::JUDGED && values.iter().flatten().count() >= FEWEST;
            let resampled = if several { resamples.means(&values) } else { Vec::new() };
            let estimate = Estimate::new(metric, mean(values), &resampled);
            columns.push((estimate.mean, resampled));
            summary.estimates.push(estimate);
        }
        foreground.push(over_labels(metric, &columns));
    }
    Summary { labels, foreground }
}

/// One metric of one label in every case: `None` is left out of means, NaN makes them undefined.
fn values(cases: &[Case], label: u16, column: usize, empty: EmptyPolicy) -> Vec<Option<f64>> {
    let value = |case: &Case| {
        let scores = &case.scores[&label];
        let spoils = empty == EmptyPolicy::Nan && column < Scores::GOVERNED && scores.outcome().one_sided();
        if spoils { Some(f64::NAN) } else { scores.values()[column] }
    };
    cases.iter().map(value).collect()
}

/// The mean over labels of their means, and of their means in each resample. Both are undefined
/// where one of the labels is, so that no mean is over some labels only.
fn over_labels(metric: &'static str, columns: &[(Option<f64>, Vec<Option<f64>>)]) -> Estimate {
    let labels = columns.len() as f64;
    let means = columns.iter().map(|(mean, _)| *mean).sum::<Option<f64>>().map(|sum| sum / labels);
    let resamples = columns.iter().map(|(_, resampled)| resampled.len()).min().unwrap_or(0);
    let sum = |r: usize| columns.iter().map(|(_, resampled)| resampled[r]).sum::<Option<f64>>();
    let resampled: Vec<_> = (0..resamples).map(|r| sum(r).map(|sum| sum / labels)).collect();
    Estimate::new(metric, means, &resampled)
}

impl Estimate {
    fn new(metric: &'static str, mean: Option<f64>, resampled: &[Option<f64>]) -> Self {
        let mean = mean.filter(|mean| !mean.is_nan());
        let interval = mean.and_then(|_| interval(resampled));
        Self { metric, mean, interval }
    }
}

fn tally(cases: &[Case], label: u16) -> Tally {
    let mut tally = Tally::default();
    for case in cases {
        match case.scores[&label].outcome() {
            Outcome::Both => tally.both += 1,
            Outcome::Missed => tally.missed += 1,
            Outcome::FalseAlarm => tally.false_alarm += 1,
            Outcome::Neither => tally.neither += 1,
        }
    }
    tally
}
