//! A training as data: its settings, where it stands, and the record of each epoch.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::device;
use crate::optim::Schedule;

/// The settings of every training; the `[training]` table of a run's `config.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub epochs: usize,
    /// Slices (or triplets) a step.
    pub batch: usize,
    /// Steps an epoch, for which the data are gone through again where they do not suffice; without
    /// it an epoch goes once through all whole batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Adam's learning rate at its highest; each task has a default of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub schedule: Schedule,
    /// The first part of all steps, in which the rate climbs to its highest; each task has a default of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<f64>,
    /// Decay per step of the running mean of the weights (EMA), which is the result; 0 takes the weights
    /// as they are. Each task has a default of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// Largest Euclidean norm of all gradients together; 0 does not clip.
    pub clip: f64,
    pub seed: u64,
    pub device: device::Device,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 8,
            steps: None,
            rate: None,
            schedule: Schedule::Cosine,
            warmup: None,
            average: None,
            clip: 1.0,
            seed: 0,
            device: device::Device::Cpu,
        }
    }
}

/// The beginning of a training, and the times of its checkpoints beside the end of every epoch and a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Resumes a run that is there.
    pub resume: bool,
    /// The longest time between two checkpoints; a step is finished first.
    pub save_every: Duration,
}

/// The position of a training; saved with the weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Epochs finished.
    pub epoch: usize,
    pub best: Option<f64>,
    /// The lowest loss of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest: Option<f64>,
    /// Epochs since the best score, or the lowest loss where nothing gives a score.
    pub stale: usize,
    /// Progress within the epoch after these; nothing between two epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// True if the training ended because it was asked to.
    #[serde(skip)]
    pub stopped: bool,
}

/// The part of an epoch that is done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Within {
    pub steps: usize,
    /// The sum of their losses.
    pub loss: f64,
    pub seconds: f64,
}

/// The log of an epoch, one JSON line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Epochs finished, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch.
    pub loss: f64,
    /// Learning rate at the epoch's last step.
    pub rate: f64,
    /// Slices and scans left out, in pre-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Validation score, where there is validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Probes of the encoder, in pre-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Wall-clock seconds, validation included: the one column that differs between equal runs.
    pub seconds: f64,
}

/// Slices that could not be anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Without a valid partner.
    pub skipped: usize,
    /// Slices of which nobody has said whether they show the organ.
    pub unknown: usize,
}

/// A finished epoch, as the loop tells it to whoever watches.
#[derive(Debug, Clone, Serialize)]
pub struct Epoch {
    /// The folder that is trained in: the run's, or a teacher's within it.
    pub run: PathBuf,
    /// Epochs in all.
    pub of: usize,
    pub record: Record,
}

/// Probes are fitted on the scans of every other patient, and scored on the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Area under the ROC curve of telling slices that show the organ from others of the same scan; 0.5 by chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<f64>,
    /// Correlation of a slice's height in its scan with the height that is read off, mean over scans.
    pub height: f64,
    /// Part of the slices whose nearest is of the same scan.
    pub identity: f64,
}
