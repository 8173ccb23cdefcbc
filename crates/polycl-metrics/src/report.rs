//! `cases.csv` and `summary.json`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, output};
use polycl_image::names::Names;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Case, Estimate, LEVEL, Options, RESAMPLES, Scores, Seen, Summary};

/// The file of a folder of scores that tells of all of them.
const SUMMARY: &str = "summary.json";

/// A `summary.json` of ours, as far as anything is made of it.
#[derive(Debug, Deserialize)]
pub struct SummaryFile {
    pub metric_per_case: Vec<CaseOfFile>,
    /// Means over cases, by label and metric.
    pub mean: ByLabel<Option<f64>>,
    polycl: Ours,
}

/// Values by label and by the name of a metric.
pub type ByLabel<T> = BTreeMap<u16, BTreeMap<String, T>>;

/// The scores of one case, by label.
#[derive(Debug, Deserialize)]
pub struct CaseOfFile {
    pub case: String,
    pub reference_file: PathBuf,
    pub metrics: BTreeMap<u16, Scores>,
}

/// The keys that nnU-Net's files of this name do not have.
#[derive(Debug, Deserialize)]
struct Ours {
    trained_on: Vec<String>,
    pretrained_on: Vec<String>,
    interval: Intervals,
}

#[derive(Debug, Deserialize)]
struct Intervals {
    mean: ByLabel<Option<[f64; 2]>>,
}

impl SummaryFile {
    /// Reads what [`Report::write`] has left in a folder.
    ///
    /// # Errors
    /// [`Kind::Format`] for a file that is not as this version writes it; [`Kind::Io`].
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(SUMMARY);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, "read it", &e))?;
        let expected = "the scores of polycl evaluate";
        serde_json::from_str(&text).map_err(|e| Error::caused(path, Kind::Format, expected, e))
    }

    /// Cases that the model had seen, its encoder included.
    pub fn seen(&self) -> impl Iterator<Item = &str> {
        self.polycl.trained_on.iter().chain(&self.polycl.pretrained_on).map(String::as_str)
    }

    /// The interval of the mean of a label's metric.
    pub fn interval(&self, label: u16, metric: &str) -> Option<[f64; 2]> {
        *self.polycl.interval.mean.get(&label)?.get(metric)?
    }
}

/// The outcome of [`super::evaluate`]; shown, it is a table.
#[derive(Debug, Clone)]
pub struct Report {
    pub options: Options,
    /// Names of label values, as far as they are known.
    pub names: Names,
    /// Notes on the names beside the masks for a person.
    pub notes: Vec<String>,
    /// All cases have the same labels.
    pub cases: Vec<Case>,
    pub summary: Summary,
}

impl Report {
    /// Writes `cases.csv` and `summary.json` into `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        output::atomically(&dir.join("cases.csv"), |file| self.write_csv(file))?;
        output::atomically(&dir.join(SUMMARY), |file| {
            serde_json::to_writer_pretty(&mut *file, &self.json())?;
            file.write_all(b"\n")
        })
    }

    /// One row for each case and label; a cell is empty where a score is undefined.
    fn write_csv(&self, file: impl Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(file);
        let first = ["case", "label", "name", "masks", "seen", "empty", "tolerance_mm"];
        csv.write_record(first.into_iter().chain(Scores::KEYS))?;
        for case in &self.cases {
            for (label, scores) in &case.scores {
                let name = self.names.get(label).cloned().unwrap_or_default();
                let [masks, seen] = [scores.outcome().name(), case.seen.name()].map(str::to_owned);
                let [empty, tolerance] = [self.options.empty.to_string(), self.options.tolerance.to_string()];
                let first = [case.pair.case.clone(), label.to_string(), name, masks, seen, empty, tolerance];
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
            "mean": self.by_label(means),
            "foreground_mean": means(&self.summary.foreground),
            "polycl": {
                "version": env!("CARGO_PKG_VERSION"),
                "empty": self.options.empty,
                "empty_means": self.options.empty.explanation(),
                "tolerance_mm": self.options.tolerance,
                "label_names": self.names,
                "notes": self.notes,
                "masks_with_label": self.summary.labels.iter()
                    .map(|(label, summary)| (label.to_string(), json!(summary.tally)))
                    .collect::<Map<_, _>>(),
                "trained_on": self.cases_seen(Seen::trained),
                "pretrained_on": self.cases_seen(|seen| seen == Seen::Pretraining),
                "interval": {
                    "method": "percentile bootstrap over cases",
                    "level": LEVEL,
                    "resamples": RESAMPLES,
                    "seed": self.options.seed,
                    "mean": self.by_label(intervals),
                    "foreground_mean": intervals(&self.summary.foreground),
                },
            },
        })
    }

    /// The names of the cases of which the model has seen what is `chosen`.
    pub fn cases_seen(&self, chosen: impl Fn(Seen) -> bool) -> Vec<&str> {
        let cases = self.cases.iter().filter(|case| chosen(case.seen));
        cases.map(|case| case.pair.case.as_str()).collect()
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
        "reference_file": case.pair.reference.display().to_string(),
        "prediction_file": case.pair.prediction.display().to_string(),
        "metrics": metrics,
        "case": case.pair.case,
        "seen": case.seen,
    })
}

fn means(estimates: &[Estimate]) -> Value {
    estimates.iter().map(|estimate| (estimate.metric, estimate.mean)).collect()
}

fn intervals(estimates: &[Estimate]) -> Value {
    let judged = &estimates[..Scores::JUDGED.min(estimates.len())];
    judged.iter().map(|estimate| (estimate.metric, json!(estimate.interval))).collect()
}
