//! Pre-training on slices without masks: PolyCL, and the methods it is compared with.

mod autoencoder;
mod byol;
mod moco;
mod positional;
mod probe;
mod simclr;
mod slices;
mod triplets;
mod two_views;

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use polycl_volume::dataset::Dataset;
use polycl_volume::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

use super::run::{Model, Run, RunCard, Seen};
use super::{Checkpoints, Progress, Settings, State, Task, Views, initialised, train};
use crate::loss::ContrastiveLoss;
use crate::net::{Contrastive, EncoderConfig, Net, SegmenterConfig};
use crate::select::Strategy;
pub use autoencoder::{Masking, masked_error, reconstruction};
pub use byol::{Byol, prediction_loss};
pub use moco::{MoCo, query_loss};
pub use positional::{Positional, positional};
pub use probe::Probe;
pub use simclr::{SimClr, nt_xent};
use slices::Slices;
use triplets::Triplets;
pub use triplets::{Negatives, multi_negative};
use two_views::Pairs;
pub use two_views::TwoViews;

/// What an encoder is pre-trained by: one file each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Triplets of slices by one of the strategies.
    #[default]
    Polycl,
    Simclr,
    Moco,
    Byol,
    /// Slices at a similar relative height are positives.
    Positional,
    /// A masked autoencoder.
    Mae,
}

impl Method {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Slices that pass the encoder for every item of a batch.
    pub fn images(self) -> usize {
        match self {
            Self::Polycl => 3,
            Self::Simclr | Self::Moco | Self::Byol | Self::Positional => 2,
            Self::Mae => 1,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Polycl => "polycl",
            Self::Simclr => "simclr",
            Self::Moco => "moco",
            Self::Byol => "byol",
            Self::Positional => "positional",
            Self::Mae => "mae",
        })
    }
}

/// The whole of a pre-training's `config.toml`. Settings that only some methods know are refused under
/// the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PretrainConfig {
    #[serde(skip_serializing_if = "Method::is_default")]
    pub method: Method,
    /// How PolyCL chooses positives and negatives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The organ whose presence sorts the slices, for strategies `organ` and `mixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organ: Option<String>,
    /// Only scans of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Patients who take no part, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    pub net: Net,
    /// Of PolyCL.
    pub loss: ContrastiveLoss,
    /// τ of all methods that divide by one; 0.2 for MoCo v2 and 0.1 for all others, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Draws the triplets of the first epoch for all, as the published code of PolyCL does.
    pub fixed_triplets: bool,
    /// Of PolyCL; one without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negatives: Option<Negatives>,
    /// How the views are drawn of methods that compare two; PolyCL and the autoencoder take slices as they
    /// are, unless this is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views: Option<Views>,
    /// Of MoCo and BYOL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<Momentum>,
    /// Of positional contrastive learning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positional: Option<Threshold>,
    /// Of the masked autoencoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masking: Option<Masking>,
    /// Probability of dropout at the end of each block of the U-Net; the paper's without it, which moves an embedding
    /// further than another slice does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    pub training: Settings,
}

/// How the network that follows does so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Momentum {
    /// What it keeps of itself in every step.
    pub rate: f64,
    /// Keys that MoCo remembers.
    pub queue: usize,
}

impl Default for Momentum {
    /// The papers' 0.996 and 0.999 and 65,536 keys are for hundreds of thousands of steps.
    fn default() -> Self {
        Self { rate: 0.99, queue: 1024 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Threshold {
    /// Largest difference of relative height between positives, as a part of the scan.
    pub threshold: f32,
}

impl Default for Threshold {
    /// The paper's.
    fn default() -> Self {
        Self { threshold: 0.1 }
    }
}

/// The paper's, and all that earlier versions knew.
const PUBLISHED_DROPOUT: f64 = 0.25;
/// Learning rate of every method where the settings name none.
const RATE: f64 = 3e-4;

/// What a pre-training is about to do, for the person who started it.
pub struct Plan {
    pub method: Method,
    pub scans: usize,
    /// Slices, or triplets of them, in a round through the data.
    pub items: usize,
    /// Anchors without a valid partner.
    pub skipped: usize,
    /// Slices whose answer nobody has given.
    pub unknown: usize,
}

impl PretrainConfig {
    /// The temperature asked for, or the method's own.
    pub fn temperature(&self) -> f32 {
        self.temperature.unwrap_or(if self.method == Method::Moco { 0.2 } else { 0.1 })
    }

    pub fn dropout(&self) -> f64 {
        self.dropout.unwrap_or(PUBLISHED_DROPOUT)
    }

    /// Writes into the settings what was left open, so that the run's file holds what was done.
    fn resolve(&mut self) {
        self.training.rate.get_or_insert(RATE);
        match self.method {
            Method::Mae => drop(self.masking.get_or_insert_default()),
            Method::Polycl | Method::Simclr => {}
            Method::Moco | Method::Byol => drop(self.momentum.get_or_insert_default()),
            Method::Positional => drop(self.positional.get_or_insert_default()),
        }
        if self.method.images() == 2 {
            self.views.get_or_insert_default();
        }
        if !matches!(self.method, Method::Byol | Method::Mae) {
            self.temperature = Some(self.temperature());
        }
    }

    /// # Errors
    /// [`Kind::Request`] for values that make no sense, and for settings that the method does not know.
    fn check(&self, dataset: &Dataset) -> Result<()> {
        let refused =
            |expected: &str, found: String| Err(Error::new(&dataset.dir, Kind::Request, expected, found));
        if !(self.temperature() > 0.0 && self.temperature().is_finite()) {
            return refused("a temperature above 0", self.temperature().to_string());
        }
        use Method::{Byol, Mae, Moco, Polycl, Positional};
        let polycl = self.method == Polycl;
        let foreign = [
            ("strategy", self.strategy.is_some() && !polycl),
            ("organ", self.organ.is_some() && !polycl),
            ("negatives", self.negatives.is_some() && !polycl),
            ("loss", self.loss != ContrastiveLoss::default() && !polycl),
            ("fixed_triplets", self.fixed_triplets && !polycl),
            ("momentum", self.momentum.is_some() && !matches!(self.method, Moco | Byol)),
            ("positional", self.positional.is_some() && self.method != Positional),
            ("masking", self.masking.is_some() && self.method != Mae),
            ("temperature", self.temperature.is_some() && matches!(self.method, Byol | Mae)),
        ];
        if let Some((setting, _)) = foreign.into_iter().find(|(_, foreign)| *foreign) {
            let expected = format!("settings that method {} knows", self.method);
            return refused(&expected, format!("'{setting}'"));
        }
        if self.negatives == Some(Negatives::All) && self.loss == ContrastiveLoss::Euclidean {
            return refused("the cosine loss with all negatives", "the Euclidean one".to_owned());
        }
        if !(0.0..=0.95).contains(&self.dropout()) {
            return refused("a dropout of 0 to 0.95", self.dropout().to_string());
        }
        let momentum = self.momentum.unwrap_or_default();
        if !((0.0..1.0).contains(&momentum.rate) && (1..=1 << 20).contains(&momentum.queue)) {
            let found = format!("a rate of {} and {} keys", momentum.rate, momentum.queue);
            return refused("a momentum from 0 to below 1 and up to 1,048,576 keys", found);
        }
        let threshold = self.positional.unwrap_or_default().threshold;
        if !(0.0..=1.0).contains(&threshold) {
            return refused("a threshold from 0 to 1", threshold.to_string());
        }
        let masking = self.masking.filter(|_| self.method == Mae);
        let odd = masking.map_or(Ok(()), |masking| masking.check(dataset.index.preprocess.size));
        odd.and_then(|()| self.views.map_or(Ok(()), |views| views.check()))
            .or_else(|found| refused("settings that make sense", found))
    }
}

/// Refuses what could not be pre-trained so on `dataset`, without doing anything.
///
/// # Errors
/// As [`pretrain`].
pub fn check(dataset: &Dataset, config: &PretrainConfig) -> Result<()> {
    super::check(&dataset.dir, &config.training)?;
    config.check(dataset)?;
    let scans = super::scans_of(dataset, config.domain.as_deref(), &config.exclude)?;
    match config.method {
        Method::Polycl => Triplets::new(dataset, config, &scans).map(drop),
        _ => Ok(()),
    }
}

/// Pre-trains an encoder on `dataset` and leaves the run in `out`.
///
/// # Errors
/// [`Kind::Request`] for what cannot be met with the data at hand, before anything is written, and for
/// a training that diverges; what reading the data set and writing the run can say.
pub fn pretrain(
    dataset: &Dataset,
    config: &PretrainConfig,
    out: &Path,
    (resume, checkpoints): (bool, Checkpoints<'_>),
    announce: &mut dyn FnMut(&Plan),
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<State> {
    super::check(&dataset.dir, &config.training)?;
    config.check(dataset)?;
    let mut config = config.clone();
    config.resolve();
    let scans = super::scans_of(dataset, config.domain.as_deref(), &config.exclude)?;
    let encoder = EncoderConfig::published(config.net);
    let mut start = Start { dataset, config: &config, out, resume, checkpoints, announce, watch };
    let slices = || Slices::new(dataset, &config, &scans);
    match config.method {
        Method::Polycl => {
            let task = Triplets::new(dataset, &config, &scans)?;
            let left_out = task.left_out();
            let items = (task.count(), left_out);
            let scans = task.scans();
            start.run(&task, &scans, items, Model::Contrastive(encoder), |d| {
                Contrastive::new(&encoder, d).with_dropout(config.dropout())
            })
        }
        Method::Simclr => start.pairs::<SimClr>(slices(), &scans, encoder),
        Method::Moco => start.pairs::<MoCo>(slices(), &scans, encoder),
        Method::Byol => start.pairs::<Byol>(slices(), &scans, encoder),
        Method::Positional => start.pairs::<Positional>(slices(), &scans, encoder),
        Method::Mae => {
            let network = SegmenterConfig { encoder, organs: 1 };
            let task = autoencoder::Autoencoder(slices());
            let items = (task.0.count(), None);
            start.run(&task, &scans, items, Model::Autoencoder(network), |device| {
                network.init(device).with_dropout(config.dropout())
            })
        }
    }
}

/// What every method starts with.
struct Start<'a, 'b> {
    dataset: &'a Dataset,
    config: &'a PretrainConfig,
    out: &'a Path,
    resume: bool,
    checkpoints: Checkpoints<'a>,
    announce: &'b mut dyn FnMut(&Plan),
    watch: &'b mut dyn FnMut(Progress<'_>),
}

impl Start<'_, '_> {
    fn pairs<M: TwoViews>(
        &mut self,
        slices: Slices<'_>,
        scans: &[usize],
        encoder: EncoderConfig,
    ) -> Result<State> {
        let config = self.config;
        let task = Pairs::<M> { slices, model: PhantomData };
        let items = (task.slices.count(), None);
        self.run(&task, scans, items, Model::Contrastive(encoder), |d| M::new(&encoder, config, d))
    }

    fn run<T: Task>(
        &mut self,
        task: &T,
        scans: &[usize],
        (items, left_out): (usize, Option<super::LeftOut>),
        kind: Model,
        model: impl FnOnce(&Device) -> T::Model,
    ) -> Result<State>
    where
        T::Model: Module,
    {
        let index = &self.dataset.index;
        let card = RunCard {
            polycl_run: 1,
            model: kind,
            preprocess: index.preprocess.clone(),
            organs: Vec::new(),
            flips: false,
            dataset: index.fingerprint(),
            training_cases: Seen::of(index, scans),
            validation_cases: Vec::new(),
            pretraining_cases: Vec::new(),
        };
        let mut run = Run::create(self.out, &card, self.config, self.resume)?;
        let (skipped, unknown) = left_out.map_or((0, 0), |left_out| (left_out.skipped, left_out.unknown));
        (self.announce)(&Plan { method: self.config.method, scans: scans.len(), items, skipped, unknown });
        let device = self.config.training.device.open().autodiff();
        let model = initialised(self.config.training.seed, &device, || model(&device));
        train(task, model, &self.config.training, &mut run, self.checkpoints, self.watch)
    }
}
