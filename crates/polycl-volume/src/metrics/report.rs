//! `cases.csv` and `summary.json`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Case, Estimate, LEVEL, RESAMPLES, Scores, Seen, Settings, Summary, complete, summarise};
use crate::{Result, output};

/// All that is known of an evaluation.
#[derive(Debug, Clone)]
pub struct Report {
    pub settings: Settings,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Names of label values, as far as they are known.
    pub names: BTreeMap<u16, String>,
    pub cases: Vec<Case>,
    pub summary: Summary,
}

impl Report {
    /// Summarises cases, in the order in which they are to be reported.
    pub fn new(mut cases: Vec<Case>, names: BTreeMap<u16, String>, settings: Settings, seed: u64) -> Self {
        complete(&mut cases);
        let summary = summarise(&cases, settings.empty, seed);
        Self { settings, seed, names, cases, summary }
    }

    /// Cases that the model has seen, with what it saw of them.
    pub fn seen(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.seen != Seen::No)
    }

    /// Writes `cases.csv` and `summary.json` into `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        output::atomically(&dir.join("cases.csv"), |file| self.write_csv(file))?;
        output::atomically(&dir.join("summary.json"), |file| {
            serde_json::to_writer_pretty(&mut *file, &self.json())?;
            file.write_all(b"\n")
        })
    }

    /// One row for each case and label; a cell is empty where a score is undefined.
    fn write_csv(&self, file: impl Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(file);
        let first = ["case", "label", "name", "masks", "trained_on", "empty", "tolerance_mm"];
        csv.write_record(first.into_iter().chain(Scores::KEYS))?;
        for case in &self.cases {
            for (label, scores) in &case.scores {
                let name = self.names.get(label).cloned().unwrap_or_default();
                let [masks, seen] = [scores.outcome().name(), case.seen.name()].map(str::to_owned);
                let [empty, tolerance] =
                    [self.settings.empty.to_string(), self.settings.tolerance.to_string()];
                let first = [case.name.clone(), label.to_string(), name, masks, seen, empty, tolerance];
                let values = scores.values().map(|v| v.map_or_else(String::new, |v| v.to_string()));
                csv.write_record(first.into_iter().chain(values))?;
            }
        }
        csv.flush()
    }

    /// nnU-Net v2's `summary.json`, and what it does not have under `polycl`.
    fn json(&self) -> Value {
        json!({
            "metric_per_case": self.cases.iter().map(case_json).collect::<Vec<_>>(),
            "mean": self.by_label(|estimates| means(estimates)),
            "foreground_mean": means(&self.summary.foreground),
            "polycl": {
                "version": env!("CARGO_PKG_VERSION"),
                "empty": self.settings.empty,
                "empty_means": self.settings.empty.explanation(),
                "tolerance_mm": self.settings.tolerance,
                "label_names": self.names,
                "masks_with_label": self.summary.labels.iter()
                    .map(|(label, summary)| (label.to_string(), json!(summary.tally)))
                    .collect::<Map<_, _>>(),
                "trained_on": self.seen().map(|case| case.name.as_str()).collect::<Vec<_>>(),
                "interval": {
                    "method": "percentile bootstrap over cases",
                    "level": LEVEL,
                    "resamples": RESAMPLES,
                    "seed": self.seed,
                    "mean": self.by_label(|estimates| intervals(estimates)),
                    "foreground_mean": intervals(&self.summary.foreground),
                },
            },
        })
    }

    fn by_label(&self, of: impl Fn(&[Estimate]) -> Value) -> Value {
        let labels = self.summary.labels.iter();
        labels.map(|(label, summary)| (label.to_string(), of(&summary.estimates))).collect()
    }
}

fn case_json(case: &Case) -> Value {
    let metrics: Map<_, _> =
        case.scores.iter().map(|(label, scores)| (label.to_string(), json!(scores))).collect();
    json!({
        "reference_file": case.reference,
        "prediction_file": case.prediction,
        "metrics": metrics,
        "case": case.name,
        "trained_on": case.seen,
    })
}

fn means(estimates: &[Estimate]) -> Value {
    estimates.iter().map(|estimate| (estimate.metric, estimate.mean)).collect()
}

fn intervals(estimates: &[Estimate]) -> Value {
    let judged = &estimates[..Scores::JUDGED.min(estimates.len())];
    judged.iter().map(|estimate| (estimate.metric, json!(estimate.interval))).collect()
}
