//! A run's folder: what was asked for, what it was trained on, how it went, and the weights.
//!
//! ```text
//! RUN/run.json             what the run is: network, organs, preparation of slices, cases seen
//! RUN/config.toml          every setting, resolved
//! RUN/log.jsonl            a line an epoch
//! RUN/events.out.tfevents… the same for TensorBoard
//! RUN/latest.safetensors   weights (their running mean where one is kept), optimiser and position: where
//!                          --resume goes on
//! RUN/best.safetensors     weights of the best validation score, where validation was asked for
//! RUN/teacher/             the run that drew for this one, where it was self-trained
//! RUN/.polycl-run.lock     there while a process trains
//! ```
//!
//! A kill between any two writes costs what came after the last `latest.safetensors`, which decides: of the
//! log and the events only what it knows of is kept, and `best.safetensors`, which may be an epoch ahead, is
//! written again as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use polycl_base::lock::{self, Lock};
use polycl_base::{Error, Kind, Result, output};
use polycl_data::{Index, Origin, Scan};
use polycl_image::preprocess::Preprocess;
use serde::{Deserialize, Serialize};

use super::events::EventFile;
use super::record::{Record, State};
use crate::checkpoint::{self, Checkpoint};
use crate::net::{EncoderConfig, SegmenterConfig};
use crate::optim::Adam;

/// The whole of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCard {
    /// Version of the layout; this code writes and reads 1.
    pub polycl_run: u32,
    pub model: RunKind,
    pub preprocess: Preprocess,
    /// The organs that a fine-tuned network segments, in the order of its channels.
    pub organs: Vec<Organ>,
    /// The regions that overlap, where it segments these: in the order of its channels, and of painting. The organs are then
    /// those as which regions are painted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<PaintedRegion>,
    /// True if training mirrored slices left to right.
    pub flips: bool,
    /// [`Index::fingerprint`] of the data set.
    pub dataset: String,
    /// Cases whose masks (or, in pre-training, whose voxels) the weights have seen, be it in this
    /// run or in the one its encoder comes from.
    pub training_cases: Vec<Seen>,
    /// Cases that chose the best checkpoint.
    pub validation_cases: Vec<Seen>,
    /// Cases seen without their masks: the encoder was pre-trained on them, or a teacher drew on them.
    pub pretraining_cases: Vec<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    /// An encoder, whichever way it was pre-trained.
    Contrastive(EncoderConfig),
    /// The same with a decoder that was pre-trained with it.
    Autoencoder(SegmenterConfig),
    Segmenter(SegmenterConfig),
}

/// An organ and its value in written masks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organ {
    pub value: u16,
    pub name: String,
    /// Connected parts that it has in the masks that trained the network, where these tell: 1, or 2 for a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<usize>,
}

/// A region of nnU-Net's in written masks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaintedRegion {
    pub name: String,
    /// The values that are of it.
    pub values: BTreeSet<u16>,
    /// The one of them that its voxels have where they are of no later region.
    pub painted: u16,
    /// As of an [`Organ`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<usize>,
}

/// A scan that took part, known again by its voxels whatever its file is called elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub case: String,
    pub patient: String,
    /// [`polycl_image::Image::fingerprint`].
    pub fingerprint: String,
    /// Who drew its mask; earlier versions knew none but people.
    #[serde(default)]
    pub origin: Origin,
}

/// More channels than any network here has; a corrupt description must not ask for all memory.
const MAX_WIDTH: usize = 4096;

impl Seen {
    pub fn of(index: &Index, scans: &[usize]) -> Vec<Self> {
        let seen = |scan: &Scan| Self {
            case: scan.case.clone(),
            patient: scan.patient.clone(),
            fingerprint: scan.fingerprint.clone(),
            origin: scan.origin,
        };
        scans.iter().map(|&scan| seen(&index.scans[scan])).collect()
    }
}

impl RunKind {
    pub fn encoder(&self) -> EncoderConfig {
        match self {
            Self::Contrastive(config) => *config,
            Self::Autoencoder(config) | Self::Segmenter(config) => config.encoder,
        }
    }
}

impl RunCard {
    /// The regions that the network segments, or each organ as one, in the order of its channels.
    pub fn channels(&self) -> Vec<PaintedRegion> {
        let organ = |organ: &Organ| PaintedRegion {
            name: organ.name.clone(),
            values: BTreeSet::from([organ.value]),
            painted: organ.value,
            parts: organ.parts,
        };
        if self.regions.is_empty() { self.organs.iter().map(organ).collect() } else { self.regions.clone() }
    }

    /// # Errors
    /// [`Kind::Io`] where there is no run, [`Kind::Format`] where its description says what cannot be.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join("run.json");
        let text = fs::read_to_string(&path).map_err(|e| {
            Error::io(&path, "read it", &e)
                .hint("give a folder that `polycl pretrain` or `polycl finetune` wrote")
        })?;
        let card: Self = serde_json::from_str(&text)
            .map_err(|e| Error::caused(&path, Kind::Format, "the description of a run", e))?;
        card.check()
            .map_err(|found| Error::new(&path, Kind::Format, "a sound description of a run", found))?;
        Ok(card)
    }

    /// Refuses a network that needs more than a scan.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] for a teacher of another network.
    pub fn check_inputs(&self, run: &Path) -> Result<()> {
        if self.model.encoder().inputs == 1 {
            return Ok(());
        }
        let found = "a teacher, which is also told where in the organs' ranges slices lie";
        Err(Error::new(run, Kind::Checkpoint, "a network that sees scans alone", found)
            .hint("give the run that it taught, the folder above"))
    }

    /// Holds what the encoder of `run` has seen to slices prepared in another way.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] where equal tissue would not have equal values.
    pub fn check_intensities(&self, run: &Path, ours: &Preprocess) -> Result<()> {
        let theirs = &self.preprocess;
        if (ours.window, ours.normalise) == (theirs.window, theirs.normalise) {
            return Ok(());
        }
        let intensities = |p: &Preprocess| format!("window {:?}, normalised {:?}", p.window, p.normalise);
        let expected = format!("an encoder pre-trained on {}", intensities(ours));
        Err(Error::new(run, Kind::Checkpoint, expected, intensities(theirs))
            .hint("import the labelled scans with the window and normalisation of the unlabelled ones"))
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.polycl_run != 1 {
            return Err(format!("version {} of the layout, not 1", self.polycl_run));
        }
        self.preprocess.check()?;
        let EncoderConfig { widths, inputs, .. } = self.model.encoder();
        if widths.iter().chain([&inputs]).any(|width| !(1..=MAX_WIDTH).contains(width)) {
            return Err(format!("widths {widths:?} and {inputs} inputs"));
        }
        if let Some(odd) = self.channels().into_iter().find(|channel| channel.parts == Some(0)) {
            return Err(format!("{} of no parts", odd.name));
        }
        let values: BTreeSet<u16> = self.organs.iter().map(|organ| organ.value).collect();
        let painted: BTreeSet<u16> = self.regions.iter().map(|region| region.painted).collect();
        let (expected, regions) = match self.model {
            RunKind::Contrastive(_) | RunKind::Autoencoder(_) => (0, 0),
            RunKind::Segmenter(config) if config.organs == 0 => return Err("a network of no organ".into()),
            RunKind::Segmenter(config) if config.overlap => (painted.len(), config.organs),
            RunKind::Segmenter(config) => (config.organs, 0),
        };
        let sound = |region: &PaintedRegion| {
            region.values.contains(&region.painted) && region.values.is_subset(&values)
        };
        if self.regions.len() != regions || !self.regions.iter().all(sound) {
            return Err(format!(
                "regions {:?} of organs {:?} for a network of {regions}",
                self.regions, self.organs
            ));
        }
        if values.len() != expected || self.organs.len() != expected || values.contains(&0) {
            return Err(format!("organs {:?} for a network of {expected}", self.organs));
        }
        Ok(())
    }
}

/// The file of a run's weights: the best by validation, or the latest where nothing validates.
pub fn weights(run: &Path) -> PathBuf {
    let best = run.join("best.safetensors");
    if best.exists() { best } else { run.join("latest.safetensors") }
}

/// The weights that are trained, and their running mean where one is kept.
pub(crate) struct Weights<M> {
    pub(crate) model: M,
    pub(crate) average: Option<M>,
}

impl<M> Weights<M> {
    /// The result of training: the mean where there is one.
    pub(crate) fn result(&self) -> &M {
        self.average.as_ref().unwrap_or(&self.model)
    }
}

/// A run that is being trained, by this process alone.
pub struct Run {
    pub dir: PathBuf,
    /// Made with the first epoch.
    events: Option<EventFile>,
    resumed: bool,
    lock: Option<Lock>,
}

/// The folder of the run that teaches this one.
pub const TEACHER: &str = "teacher";

/// The file of the lock of a run that is being trained.
pub const LOCK: &str = ".polycl-run.lock";
const RESUME: &str = "resume with --resume once that is mended: the last checkpoint is whole";

impl Run {
    /// Makes the folder, or, with `resume`, opens one whose settings and data set are the same.
    ///
    /// # Errors
    /// [`Kind::Request`] for a folder that is occupied, be it by another process, or other settings or data
    /// than the run began with; [`Kind::Io`].
    pub fn create(dir: &Path, card: &RunCard, config: &impl Serialize, resume: bool) -> Result<Self> {
        let config = toml::to_string(config)
            .map_err(|e| Error::caused(dir, Kind::Request, "settings that TOML can hold", e))?;
        let resumed = resume && dir.join("run.json").exists();
        if !resumed {
            begin(dir, card, &config, resume)?;
        }
        let lock = Some(lock::hold(dir, LOCK)?);
        if resumed {
            output::sweep(dir);
            same_settings(&dir.join("config.toml"), &config)?;
            if RunCard::read(dir)? != *card {
                return Err(Error::new(
                    dir,
                    Kind::Request,
                    "the data set the run began with",
                    "another data set",
                )
                .hint("import it again as it was, or begin a new run with another --out"));
            }
        }
        Ok(Self { dir: dir.to_path_buf(), events: None, resumed, lock })
    }

    /// The weights, optimiser and position to go on from; the model given where nothing was saved yet, with a
    /// mean of its weights if it `averages`.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] where the saved state is not of this model.
    pub(super) fn resume<M: Module>(
        &mut self,
        mut model: M,
        averages: bool,
        device: &Device,
    ) -> Result<(Weights<M>, Adam, State)> {
        let latest = self.latest();
        if !self.resumed || !latest.exists() {
            self.forget_log_after(0)?;
            let average = averages.then(|| model.clone());
            return Ok((Weights { model, average }, Adam::default(), State::default()));
        }
        let checkpoint = Checkpoint::read(&latest)?;
        let average = if averages {
            let mut average = model.clone();
            checkpoint.load(&mut average)?;
            checkpoint.load_trained(&mut model)?;
            Some(average)
        } else {
            checkpoint.load(&mut model)?;
            None
        };
        let state: State = checkpoint.state()?;
        let adam = checkpoint.optimiser(&device.clone().inner())?;
        adam.fits(&model).map_err(|found| {
            Error::new(&latest, Kind::Checkpoint, "the state of the optimiser beside the weights", found)
        })?;
        self.forget_log_after(state.epoch)?;
        Ok((Weights { model, average }, adam, state))
    }

    /// Log first, then weights: a kill between the two repeats the epoch, and its line with it.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub(super) fn finish_epoch<M: Module>(
        &mut self,
        record: &Record,
        weights: &Weights<M>,
        adam: &Adam,
        state: &State,
        best: bool,
    ) -> Result<()> {
        self.check_own()?;
        self.log(record).map_err(resumable)?;
        if best {
            let path = self.dir.join("best.safetensors");
            checkpoint::save(&path, weights.result(), None, state).map_err(resumable)?;
        }
        self.save(weights, adam, state)
    }

    /// Saves the position of the training.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub(super) fn save<M: Module>(&self, weights: &Weights<M>, adam: &Adam, state: &State) -> Result<()> {
        self.check_own()?;
        let trained = weights.average.as_ref().map(|_| &weights.model);
        let optimiser = checkpoint::Optimiser { adam, trained };
        checkpoint::save(&self.latest(), weights.result(), Some(optimiser), state).map_err(resumable)
    }

    /// Refuses to write into a run that another process has taken over.
    fn check_own(&self) -> Result<()> {
        self.lock.as_ref().map_or(Ok(()), Lock::check)
    }

    fn latest(&self) -> PathBuf {
        self.dir.join("latest.safetensors")
    }

    fn log(&mut self, record: &Record) -> Result<()> {
        let path = self.dir.join("log.jsonl");
        let line = serde_json::to_string(record)
            .map_err(|e| Error::caused(&path, Kind::Format, "a record in JSON", e))?;
        let log = OpenOptions::new().create(true).append(true).open(&path);
        // On disk before the weights are: a line that is lost with the power is not trained again.
        log.and_then(|mut log| writeln!(log, "{line}").and_then(|()| log.sync_all()))
            .map_err(|e| Error::io(&path, "append to it", &e))?;
        let events = match &mut self.events {
            Some(events) => events,
            None => self.events.insert(EventFile::create(&self.dir)?),
        };
        events.write(record)
    }

    /// Takes back a run that failed before its first epoch was done, so that nothing half-made is left.
    pub fn abandon(&mut self) {
        let there = |name: &str| self.dir.join(name).exists();
        // A teacher's training is kept, too.
        let nothing = !there("log.jsonl") && !there(TEACHER) && !self.latest().exists();
        if !self.resumed && nothing {
            self.lock = None;
            // What cannot be removed is no worse than what failed.
            let _ = fs::remove_file(self.dir.join("run.json"));
            let _ = fs::remove_file(self.dir.join("config.toml"));
            for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
                if output::is_lock(&entry.file_name()) {
                    let _ = fs::remove_file(entry.path());
                }
            }
            let _ = fs::remove_dir(&self.dir);
        }
    }

    /// A kill may have left lines of an epoch whose weights were not written yet. The events are made of the
    /// log again.
    fn forget_log_after(&mut self, epochs: usize) -> Result<()> {
        let path = self.dir.join("log.jsonl");
        if !path.exists() {
            return Ok(());
        }
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "read it", &e))?;
        output::atomically(&path, |file| {
            text.lines().take(epochs).try_for_each(|line| writeln!(file, "{line}"))
        })?;
        self.events = EventFile::again(&self.dir, &read_log(&self.dir)?)?;
        Ok(())
    }
}

/// Tells, too, that little is lost.
fn resumable(mut error: Error) -> Error {
    if error.kind == Kind::Io {
        error.hint = Some(RESUME.to_owned());
    }
    error
}

/// The epochs logged so far.
///
/// # Errors
/// [`Kind::Io`], [`Kind::Format`].
pub fn read_log(run: &Path) -> Result<Vec<Record>> {
    let path = run.join("log.jsonl");
    let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "read it", &e))?;
    let record = |line: &str| {
        serde_json::from_str(line)
            .map_err(|e| Error::caused(&path, Kind::Format, "one JSON record a line", e))
    };
    // A line without an end is one that a full disk has cut.
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(record).collect()
}

/// The folder appears with its description and its settings, or not at all, unless it was there before: a kill
/// may leave the settings alone in it then, which is mended.
fn begin(dir: &Path, card: &RunCard, config: &str, resume: bool) -> Result<()> {
    let text = serde_json::to_string_pretty(card)
        .map_err(|e| Error::caused(dir, Kind::Request, "a description in JSON", e))?;
    let fill = |dir: &Path| {
        output::atomically(&dir.join("config.toml"), |file| file.write_all(config.as_bytes()))?;
        output::atomically(&dir.join("run.json"), |file| writeln!(file, "{text}"))
    };
    let written =
        if resume && settings_alone(dir) { fill(dir) } else { output::folder_atomically(dir, fill) };
    written.map_err(|error| match error.kind {
        Kind::Request => error.hint("choose another --out, or resume that run with --resume"),
        _ => error,
    })
}

fn settings_alone(dir: &Path) -> bool {
    output::sweep(dir);
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<_> = names.filter(|name| !output::is_lock(name)).collect();
    names == ["config.toml"]
}

fn same_settings(path: &Path, asked: &str) -> Result<()> {
    let saved = fs::read_to_string(path).map_err(|e| Error::io(path, "read it", &e))?;
    let parse = |text: &str| {
        let table = text.parse::<toml::Table>();
        table.map(flat).map_err(|e| Error::new(path, Kind::Format, "settings in TOML", e.message()))
    };
    let (saved, asked) = (parse(&saved)?, parse(asked)?);
    let keys: BTreeSet<&String> = saved.keys().chain(asked.keys()).collect();
    let Some(key) = keys.into_iter().find(|key| saved.get(*key) != asked.get(*key)) else {
        return Ok(());
    };
    let shown = |settings: &BTreeMap<String, String>| match settings.get(key) {
        Some(value) => format!("`{key} = {value}`"),
        None => format!("no `{key}`"),
    };
    Err(Error::new(path, Kind::Request, format!("{}, as the run began", shown(&saved)), shown(&asked))
        .hint("leave that setting out to resume, or begin a new run"))
}

/// Every value of a table by its dotted key.
fn flat(table: toml::Table) -> BTreeMap<String, String> {
    let mut flattened = BTreeMap::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                flattened
                    .extend(flat(inner).into_iter().map(|(below, value)| (format!("{key}.{below}"), value)));
            }
            value => drop(flattened.insert(key, value.to_string())),
        }
    }
    flattened
}
