//! The record of a round on disk: `round.json` in its folder, where the masks that train, the data set and the runs lie.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_app::round::Scale;
use polycl_base::{Error, Kind, Result, output};
use serde::{Deserialize, Serialize};

const FILE: &str = "round.json";

/// The next thing that a round has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    #[default]
    Import,
    Pretrain,
    Finetune,
    Predict,
    Done,
}

/// All that is known of a round. Scans are named by their ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub number: u32,
    /// Seconds since 1970.
    pub began: u64,
    pub step: Step,
    pub pretrain: bool,
    #[serde(default)]
    pub settings: Scale,
    /// The organs that the masks show.
    pub organs: Vec<String>,
    /// Those whose masks train.
    pub trained: BTreeSet<String>,
    /// Those on which the encoder is pre-trained, without masks.
    pub seen: BTreeSet<String>,
    /// Those for which nothing is proposed, so that people draw them unswayed.
    pub held_back: BTreeSet<String>,
    /// Labels of what was proposed, by scan.
    #[serde(default)]
    pub arrived: BTreeMap<String, BTreeSet<u16>>,
    /// Comparisons of predictions with what people made of them, by scan.
    #[serde(default)]
    pub figures: BTreeMap<String, Figure>,
    /// The end of a command that has failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// A prediction compared with the reviewed mask of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// When the mask was changed last or reviewed, in seconds since 1970.
    pub when: u64,
    /// False where nobody had seen any network's proposal.
    pub proposed: bool,
    /// The mean of the organs that the prediction or the mask shows; nothing where neither shows any.
    pub dice: Option<f64>,
    /// Voxels that differ.
    pub voxels: u64,
    /// Seconds of work on the scan.
    pub seconds: u64,
}

/// The folder of a round.
pub fn folder(rounds: &Path, number: u32) -> PathBuf {
    rounds.join(number.to_string())
}

/// The records of all rounds, by number.
///
/// # Errors
/// [`Kind::Format`] for a record that cannot be read, [`Kind::Io`].
pub fn all(rounds: &Path) -> Result<Vec<Record>> {
    let Ok(entries) = std::fs::read_dir(rounds) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let file = entry.path().join(FILE);
        let number: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|_| file.is_file()) else { continue };
        let text = std::fs::read(&file).map_err(|e| Error::io(&file, "read it", &e))?;
        let record: Record = serde_json::from_slice(&text)
            .map_err(|e| Error::caused(&file, Kind::Format, "the record of a round", e))?;
        found.push(Record { number, ..record });
    }
    found.sort_by_key(|record| record.number);
    Ok(found)
}

impl Record {
    /// # Errors
    /// [`Kind::Io`]
    pub fn save(&self, rounds: &Path) -> Result<()> {
        self.write(&folder(rounds, self.number))
    }

    /// # Errors
    /// [`Kind::Io`]
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("records are plain data");
        output::atomically(&folder.join(FILE), |file| writeln!(file, "{text}"))
    }

    /// What the round does, in turn.
    pub fn steps(&self) -> Vec<Step> {
        let all = [Step::Import, Step::Pretrain, Step::Finetune, Step::Predict];
        all.into_iter().filter(|step| *step != Step::Pretrain || self.pretrain).collect()
    }

    /// The step after the one at hand.
    pub fn next(&self) -> Step {
        self.steps().into_iter().find(|step| *step > self.step).unwrap_or(Step::Done)
    }
}
