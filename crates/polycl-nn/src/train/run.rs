//! A run's folder: what was asked for, what it was trained on, how it went, and the weights.
//!
//! ```text
//! RUN/run.json             what the run is: network, organs, preparation of slices, cases seen
//! RUN/config.toml          every setting, resolved
//! RUN/log.jsonl            a line an epoch
//! RUN/events.out.tfevents… the same for TensorBoard
//! RUN/latest.safetensors   weights, optimiser and position: where --resume goes on
//! RUN/best.safetensors     weights of the best validation score, where there is validation
//! ```

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use polycl_volume::dataset::{Index, Scan};
use polycl_volume::preprocess::Preprocess;
use polycl_volume::{Error, Kind, Result, output};
use serde::{Deserialize, Serialize};

use super::events::EventFile;
use super::{Record, State};
use crate::checkpoint::{self, Checkpoint};
use crate::net::{EncoderConfig, SegmenterConfig};
use crate::optim::Adam;

/// The whole of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCard {
    /// Version of the layout; this code writes and reads 1.
    pub polycl_run: u32,
    pub model: Model,
    pub preprocess: Preprocess,
    /// Organs that the run knows, in the order of the network's channels; of a pre-training the
    /// one its triplets were drawn by, if any.
    pub organs: Vec<Organ>,
    /// Cases whose masks (or, in pre-training, whose voxels) the weights have seen.
    pub training_cases: Vec<Seen>,
    /// Cases that chose the best checkpoint.
    pub validation_cases: Vec<Seen>,
    /// Cases that the encoder was pre-trained on, without their masks.
    pub pretraining_cases: Vec<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    Contrastive(EncoderConfig),
    Segmenter(SegmenterConfig),
}

/// An organ and its value in written masks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organ {
    pub value: u16,
    pub name: String,
}

/// A scan that took part, known again by the hash of its file whatever it is called elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub case: String,
    pub patient: String,
    pub sha256: String,
}

impl Seen {
    pub fn of(index: &Index, scans: &[usize]) -> Vec<Self> {
        let seen = |scan: &Scan| Self {
            case: scan.case.clone(),
            patient: scan.patient.clone(),
            sha256: scan.image.sha256.clone(),
        };
        scans.iter().map(|&scan| seen(&index.scans[scan])).collect()
    }
}

impl Model {
    pub fn encoder(&self) -> EncoderConfig {
        match self {
            Self::Contrastive(config) => *config,
            Self::Segmenter(config) => config.encoder,
        }
    }
}

impl RunCard {
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join("run.json");
        let text = fs::read_to_string(&path).map_err(|e| {
            Error::io(&path, "read it", &e)
                .hint("a run is a folder that `polycl pretrain` or `finetune` wrote")
        })?;
        let card: Self = serde_json::from_str(&text)
            .map_err(|e| Error::new(&path, Kind::Format, "the description of a run", e.to_string()))?;
        if card.polycl_run != 1 {
            let found = format!("version {}", card.polycl_run);
            return Err(Error::new(&path, Kind::Format, "a run of version 1", found));
        }
        Ok(card)
    }
}

/// The file of a run's weights: the best by validation, or the latest where nothing validates.
pub fn weights(run: &Path) -> PathBuf {
    let best = run.join("best.safetensors");
    if best.exists() { best } else { run.join("latest.safetensors") }
}

/// A run that is being trained.
pub struct Run {
    pub dir: PathBuf,
    events: EventFile,
    resumed: bool,
}

impl Run {
    /// Makes the folder, or, with `resume`, opens one whose settings are the same.
    pub fn create(dir: &Path, card: &RunCard, config: &impl Serialize, resume: bool) -> Result<Self> {
        let config = toml::to_string(config)
            .map_err(|e| Error::new(dir, Kind::Request, "settings that TOML can hold", e.to_string()))?;
        let resumed = resume && dir.join("run.json").exists();
        if resumed {
            same_settings(&dir.join("config.toml"), &config)?;
            if RunCard::read(dir)? != *card {
                return Err(Error::new(dir, Kind::Request, "the data set the run began with", "another one")
                    .hint("import it again as it was, or begin a new run with another --out"));
            }
        } else {
            begin(dir, card, &config)?;
        }
        Ok(Self { dir: dir.to_path_buf(), events: EventFile::create(dir)?, resumed })
    }

    /// The model, optimiser and position to go on from; the ones given where nothing was saved yet.
    pub fn resume<M: Module>(&self, mut model: M, device: &Device) -> Result<(M, Adam, State)> {
        let latest = self.dir.join("latest.safetensors");
        if !self.resumed || !latest.exists() {
            self.forget_log_after(0)?;
            return Ok((model, Adam::default(), State::default()));
        }
        let checkpoint = Checkpoint::read(&latest)?;
        checkpoint.load(&mut model)?;
        let state: State = checkpoint.state()?;
        self.forget_log_after(state.epoch)?;
        Ok((model, checkpoint.optimiser(&device.clone().inner())?, state))
    }

    /// Log first, then weights: a kill between the two repeats the epoch, and its line with it.
    pub fn finish_epoch<M: Module>(
        &mut self,
        record: &Record,
        model: &M,
        adam: &Adam,
        state: &State,
        best: bool,
    ) -> Result<()> {
        let path = self.dir.join("log.jsonl");
        let line = serde_json::to_string(record)
            .map_err(|e| Error::new(&path, Kind::Format, "a record in JSON", e.to_string()))?;
        let log = OpenOptions::new().create(true).append(true).open(&path);
        log.and_then(|mut log| writeln!(log, "{line}")).map_err(|e| Error::io(&path, "append to it", &e))?;
        self.events.write(record)?;
        if best {
            checkpoint::save(&self.dir.join("best.safetensors"), model, None, state)?;
        }
        checkpoint::save(&self.dir.join("latest.safetensors"), model, Some(adam), state)
    }

    /// A kill may have left lines of an epoch whose weights were not written yet.
    fn forget_log_after(&self, epochs: usize) -> Result<()> {
        let path = self.dir.join("log.jsonl");
        if !path.exists() {
            return Ok(());
        }
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "read it", &e))?;
        output::atomically(&path, |file| {
            text.lines().take(epochs).try_for_each(|line| writeln!(file, "{line}"))
        })
    }
}

/// The epochs logged so far.
pub fn read_log(run: &Path) -> Result<Vec<Record>> {
    let path = run.join("log.jsonl");
    let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "read it", &e))?;
    let record = |line: &str| {
        serde_json::from_str(line)
            .map_err(|e| Error::new(&path, Kind::Format, "one JSON record a line", e.to_string()))
    };
    text.lines().map(record).collect()
}

/// The folder appears with its description and its settings, or not at all.
fn begin(dir: &Path, card: &RunCard, config: &str) -> Result<()> {
    let text = serde_json::to_string_pretty(card)
        .map_err(|e| Error::new(dir, Kind::Request, "a description in JSON", e.to_string()))?;
    let written = output::folder_atomically(dir, |dir| {
        output::atomically(&dir.join("config.toml"), |file| file.write_all(config.as_bytes()))?;
        output::atomically(&dir.join("run.json"), |file| writeln!(file, "{text}"))
    });
    written.map_err(|error| match error.kind {
        Kind::Request => error.hint("choose another --out, or go on with that run by --resume"),
        _ => error,
    })
}

fn same_settings(path: &Path, config: &str) -> Result<()> {
    let saved = fs::read_to_string(path).map_err(|e| Error::io(path, "read it", &e))?;
    let differing = saved.lines().zip(config.lines()).find(|(saved, asked)| saved != asked);
    match differing {
        None if saved.lines().count() == config.lines().count() => Ok(()),
        found => {
            let (saved, asked) = found.unwrap_or(("these settings", "more or fewer"));
            Err(Error::new(path, Kind::Request, format!("`{saved}` as the run began"), format!("`{asked}`"))
                .hint("resume with the settings of config.toml (--config), or begin a new run"))
        }
    }
}
