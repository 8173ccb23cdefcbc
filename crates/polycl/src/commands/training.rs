//! What `pretrain` and `finetune` share: settings from file and flags, progress, the curve.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use polycl_nn::train::{Checkpoints, Progress, Record, State, read_log};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use super::overlay::overlay;
use crate::cli::Outcome;
use crate::{curve, stop, talk};

/// What a run is made of and where it goes.
#[derive(clap::Args)]
pub struct RunArgs {
    /// Data set that `polycl import` wrote
    pub dataset: PathBuf,
    /// Folder of the run to write
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Settings in TOML; flags override them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Go on with a run that was interrupted
    #[arg(long)]
    pub resume: bool,
    /// Save where the training stands after every epoch, and within long ones after so many minutes.
    /// Ctrl-C saves, too, and stops
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    pub save_every: f64,
}

impl RunArgs {
    /// Whether a run is there to go on with.
    pub fn resumes(&self) -> bool {
        self.resume && self.out.join("config.toml").exists()
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|e| format!("{e}"))?;
    let sound = Duration::try_from_secs_f64(60.0 * minutes).is_ok();
    if sound { Ok(minutes) } else { Err("expected a number of 0 or more".to_owned()) }
}

impl RunArgs {
    /// Whether to go on with a run, and when to save it; listens to Ctrl-C from here on.
    pub fn how(&self) -> anyhow::Result<(bool, Checkpoints<'static>)> {
        stop::listen().context("listening to signals")?;
        let every = Duration::from_secs_f64(60.0 * self.save_every);
        Ok((self.resume, Checkpoints { every, stop: &stop::asked }))
    }
}

/// Flags that become the `[training]` table of a run's settings.
#[derive(clap::Args, Serialize)]
pub struct TrainingFlags {
    /// Epochs, after each of which it is logged and saved how training goes [default: 20]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,
    /// Slices (or triplets) a step [default: 8]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    /// Steps an epoch, going through the data again as often as it takes [default: 125 to fine-tune, once
    /// through all whole batches to pre-train, but 1,000 at most]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    /// Learning rate of Adam at its highest [default: 3e-4 to pre-train, 2e-3 to fine-tune]
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    /// How the learning rate falls [default: cosine]
    #[arg(long, value_parser = ["constant", "cosine", "restarts"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// Part of all steps in which the rate climbs to its highest [default: 0 to pre-train, 0.05 to fine-tune]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup: Option<f64>,
    /// How much of the running mean of the weights (EMA), which is the result, every step keeps; 0 takes the
    /// weights as they are [default: 0 to pre-train, 0.99 to fine-tune]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    average: Option<f64>,
    /// Largest norm of all gradients together; 0 does not clip [default: 1]
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<f64>,
    /// Seed of everything random [default: 0]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N] [default: cpu]
    #[arg(long, value_name = "D")]
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<polycl_nn::device::Device>,
}

/// The settings of a run: those it began with where it is resumed, over them those of the file,
/// over them the flags that were given.
pub fn resolve<C: DeserializeOwned>(run: &RunArgs, flags: &impl Serialize) -> anyhow::Result<C> {
    let begun = run.out.join("config.toml");
    let begun = Some(begun.as_path()).filter(|_| run.resumes());
    let files: Vec<&Path> = begun.into_iter().chain(run.config.as_deref()).collect();
    let mut settings = Table::new();
    for path in &files {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        overlay(&mut settings, text.parse().with_context(|| format!("{}: not TOML", path.display()))?);
    }
    overlay(&mut settings, Table::try_from(flags)?);
    let name = files.last().map_or("settings".to_owned(), |path| path.display().to_string());
    C::deserialize(settings).map_err(|e| anyhow::anyhow!("{name}: {}", e.message()))
}

/// Shows how a training goes: a bar on a terminal, a line an epoch, the curve in the run's folder.
pub struct Watch<'a> {
    run: &'a Path,
    title: &'a str,
    /// The folder that is trained in just now: the run's, or a teacher's within it.
    at: PathBuf,
    epochs: usize,
    /// The mean loss of the first steps, and of how many.
    first: (f64, usize),
    bar: ProgressBar,
}

/// Steps whose loss is taken for that of an untrained network.
const FIRST: usize = 10;

impl<'a> Watch<'a> {
    pub fn new(run: &'a Path, title: &'a str, epochs: usize) -> Self {
        Self { run, title, at: run.to_path_buf(), epochs, first: (0.0, 0), bar: talk::progress(0, title) }
    }

    pub fn see(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Run(at) => {
                let note = if at == self.run {
                    "the network itself learns from these masks, too"
                } else {
                    "a teacher learns from the drawn slices first"
                };
                // A kill may have come between the teacher's last epoch and its picture.
                if self.at != at && self.at != self.run {
                    self.draw();
                }
                self.bar.suspend(|| talk::note(note));
                (self.at, self.first) = (at.to_path_buf(), (0.0, 0));
            }
            Progress::Taught { slices, kept, of } => {
                if slices == of {
                    let found = format!("the teacher found what was named on {kept} of {of} slices");
                    self.bar.suspend(|| talk::note(found));
                }
                self.bar.set_length(of as u64);
                self.bar.set_position(slices as u64);
                self.bar.set_message("the teacher draws");
            }
            Progress::Step { epoch, step, steps, loss } => {
                if epoch == 0 && step == self.first.1 + 1 && step <= FIRST {
                    let (mean, count) = self.first;
                    self.first = (mean + (loss - mean) / (count + 1) as f64, count + 1);
                }
                self.bar.set_length((self.epochs * steps) as u64);
                self.bar.set_position((epoch * steps + step) as u64);
                self.bar.set_message(format!("epoch {}/{}  loss {loss:.4}", epoch + 1, self.epochs));
            }
            Progress::Epoch(record) => {
                self.bar.suspend(|| talk::note(line(record, self.epochs)));
                self.warn(record);
                self.draw();
            }
        }
    }

    /// Tells after a quarter of a training that nothing has been learnt.
    fn warn(&self, record: &Record) {
        let quarter = self.epochs.div_ceil(4);
        let (loss, steps) = self.first;
        // A loss that rises is another matter: MoCo's queue fills at first.
        let same = (0.98 * loss..1.02 * loss).contains(&record.loss);
        if record.epoch == quarter && record.epoch > 1 && steps == FIRST && same {
            self.bar.suspend(|| {
                talk::note(format!(
                    "warning: the loss is where it began ({loss:.3}): nothing has been learnt in a quarter of the steps\n\
                     hint: more steps or a higher --rate; `polycl inspect` tells of odd scans"
                ));
            });
        }
    }

    /// The picture is a convenience; that it cannot be drawn must not end a training.
    fn draw(&self) {
        let drawn = read_log(&self.at)
            .map_err(anyhow::Error::from)
            .and_then(|log| curve::draw(&self.at.join("curve.svg"), self.title, &log));
        if let Err(error) = drawn {
            self.bar.suspend(|| talk::note(format!("note: no curve: {error:#}")));
        }
    }

    pub fn finish(self, state: &State) -> Outcome {
        self.bar.finish_and_clear();
        // A kill may have come between the last epoch and its picture.
        if state.epoch > 0 {
            self.draw();
        }
        let best = state.best.map(|best| format!(", best validation Dice {best:.4}")).unwrap_or_default();
        let run = self.run.display();
        if state.stopped {
            let within = state.within.as_ref().map(|within| format!(" and {} steps", within.steps));
            let within = within.unwrap_or_default();
            talk::note(format!(
                "stopped after {} of {} epochs{within}: {run}\nhint: go on with --resume",
                state.epoch, self.epochs
            ));
            return Outcome::Stopped;
        }
        talk::note(format!("{} epochs done{best}: {run}", state.epoch));
        Outcome::Done
    }
}

fn line(record: &Record, epochs: usize) -> String {
    let score = record.score.map(|score| format!("  validation Dice {score:.4}")).unwrap_or_default();
    let probe = record.probe.map(|probe| {
        let presence = probe.presence.map(|area| format!("presence {area:.2}  ")).unwrap_or_default();
        format!("  {presence}height {:.2}  identity {:.2}", probe.height, probe.identity)
    });
    let Record { epoch, loss, rate, seconds, .. } = record;
    let probe = probe.unwrap_or_default();
    format!("epoch {epoch}/{epochs}  loss {loss:.5}{score}{probe}  rate {rate:.1e}  {seconds:.1} s")
}
