//! Which cases a model has seen. A score on such a case says nothing about new patients.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Kind, Result};

/// What a model has seen of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    No,
    /// It chose the checkpoint or the moment to stop.
    Validation,
    /// The weights were fitted to it.
    Training,
}

impl Seen {
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Validation => "validation",
            Self::Training => "training",
        }
    }
}

/// The cases and patients that made a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenCases {
    training: BTreeSet<String>,
    validation: BTreeSet<String>,
}

/// `polycl.json`, which `polycl predict` leaves beside its masks; other fields are its own.
#[derive(Deserialize)]
struct PredictionRecord {
    #[serde(default)]
    trained_on: Vec<String>,
    #[serde(default)]
    trained_on_patients: Vec<String>,
    #[serde(default)]
    validated_on: Vec<String>,
}

/// `run.json` of a run; other fields are its own.
#[derive(Deserialize)]
struct RunRecord {
    training_cases: Vec<String>,
    #[serde(default)]
    validation_cases: Vec<String>,
}

impl SeenCases {
    /// Adds what `polycl.json` in a folder of predictions tells; masks of other origin have none.
    pub fn add_predictions(&mut self, dir: &Path) -> Result<()> {
        let file = dir.join("polycl.json");
        if file.is_file() {
            let record: PredictionRecord = read_json(&file)?;
            self.training.extend(record.trained_on);
            self.training.extend(record.trained_on_patients);
            self.validation.extend(record.validated_on);
        }
        Ok(())
    }

    /// Adds what `run.json` of a run tells; it must be there.
    pub fn add_run(&mut self, run: &Path) -> Result<()> {
        let record: RunRecord = read_json(&run.join("run.json"))?;
        self.training.extend(record.training_cases);
        self.validation.extend(record.validation_cases);
        Ok(())
    }

    /// Looks for `case` among cases and, as a lone scan is named after its patient, patients.
    pub fn seen(&self, case: &str) -> Seen {
        if self.training.contains(case) {
            Seen::Training
        } else if self.validation.contains(case) {
            Seen::Validation
        } else {
            Seen::No
        }
    }
}

fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "read it", &e))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::new(file, Kind::Format, "a record of the cases a model has seen", e.to_string()))
}
