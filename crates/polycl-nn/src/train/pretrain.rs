//! Contrastive pre-training: triplets of slices, no masks.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use polycl_volume::dataset::Dataset;
use polycl_volume::rng::{Purpose, rng};
use polycl_volume::{Error, Kind, Result};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::run::{Model, Run, RunCard, Seen};
use super::{LeftOut, Progress, Settings, State, Task, initialised, train};
use crate::loss::ContrastiveLoss;
use crate::net::{Contrastive, EncoderConfig, Net};
use crate::select::{Selector, SliceId, Strategy, Triplet};

/// The whole of a pre-training's `config.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    pub strategy: Strategy,
    /// The organ whose presence sorts the slices, for strategies `organ` and `mixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organ: Option<String>,
    /// Only scans of this domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(default)]
    pub net: Net,
    #[serde(default)]
    pub loss: ContrastiveLoss,
    /// τ of the cosine loss.
    #[serde(default = "default_temperature")]
    pub temperature: f32,
    /// Draws the triplets of the first epoch for all, as the published code does.
    #[serde(default)]
    pub fixed_triplets: bool,
    #[serde(default)]
    pub training: Settings,
}

fn default_temperature() -> f32 {
    0.1
}

/// What a pre-training is about to do, for the person who started it.
pub struct Plan {
    pub scans: usize,
    pub triplets: usize,
    /// Anchors without a valid partner.
    pub skipped: usize,
    /// Slices whose answer nobody has given.
    pub unknown: usize,
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
    resume: bool,
    announce: &mut dyn FnMut(&Plan),
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<State> {
    super::check(&dataset.dir, &config.training)?;
    if !(config.temperature > 0.0 && config.temperature.is_finite()) {
        let found = config.temperature.to_string();
        return Err(Error::new(&dataset.dir, Kind::Request, "a temperature above 0", found));
    }
    let mut config = config.clone();
    config.training.rate.get_or_insert(Pretraining::RATE);
    let task = Pretraining::new(dataset, &config)?;
    let encoder = EncoderConfig::published(config.net);
    let card = RunCard {
        polycl_run: 1,
        model: Model::Contrastive(encoder),
        preprocess: dataset.index.preprocess.clone(),
        organs: Vec::new(),
        flips: false,
        dataset: dataset.index.fingerprint(),
        training_cases: Seen::of(&dataset.index, &task.selector.scans()),
        validation_cases: Vec::new(),
        pretraining_cases: Vec::new(),
    };
    let mut run = Run::create(out, &card, &config, resume)?;
    announce(&task.summary());
    let device = config.training.device.open().autodiff();
    let model = initialised(config.training.seed, &device, || Contrastive::new(&encoder, &device));
    train(&task, model, &config.training, &mut run, watch)
}

struct Pretraining<'a> {
    dataset: &'a Dataset,
    config: &'a PretrainConfig,
    selector: Selector,
    /// Anchors without a valid partner: the same in every epoch.
    skipped: usize,
}

impl<'a> Pretraining<'a> {
    fn new(dataset: &'a Dataset, config: &'a PretrainConfig) -> Result<Self> {
        let scans = super::of_domain(dataset, config.domain.as_deref())?;
        let organ = config.organ.as_deref();
        let selector = Selector::new(&dataset.dir, &dataset.index, &scans, config.strategy, organ)?;
        let partnerless = |&&anchor: &&SliceId| selector.triplet(0, 0, anchor).is_none();
        let skipped = selector.anchors().iter().filter(partnerless).count();
        Ok(Self { dataset, config, selector, skipped })
    }

    fn triplets(&self, epoch: usize) -> Vec<Triplet> {
        let draw = if self.config.fixed_triplets { 0 } else { epoch as u64 };
        let anchors = self.selector.anchors();
        let triplet = |anchor: SliceId| self.selector.triplet(self.config.training.seed, draw, anchor);
        anchors.into_iter().filter_map(triplet).collect()
    }

    fn summary(&self) -> Plan {
        Plan {
            scans: self.selector.scans().len(),
            triplets: self.selector.anchors().len() - self.skipped,
            skipped: self.skipped,
            unknown: self.selector.unknown,
        }
    }
}

impl Task for Pretraining<'_> {
    type Model = Contrastive;
    type Item = Triplet;
    /// Anchors, positives and negatives, each [B, 1, S, S].
    type Batch = [TensorData; 3];

    const RATE: f64 = 3e-4;

    fn plan(&self, epoch: usize) -> Vec<Triplet> {
        let mut triplets = self.triplets(epoch);
        triplets.shuffle(&mut rng(self.config.training.seed, Purpose::Shuffle, [epoch as u64, 0]));
        triplets
    }

    fn left_out(&self) -> Option<LeftOut> {
        Some(LeftOut { skipped: self.skipped, unknown: self.selector.unknown })
    }

    fn load(&self, _epoch: usize, triplets: &[Triplet]) -> Result<Self::Batch> {
        let size = self.dataset.index.preprocess.size;
        let stack = |slice: fn(&Triplet) -> SliceId| -> Result<TensorData> {
            let mut pixels = Vec::with_capacity(triplets.len() * size * size);
            for SliceId { scan, slice } in triplets.iter().map(slice) {
                pixels.extend(self.dataset.image(scan, slice)?);
            }
            Ok(TensorData::new(pixels, [triplets.len(), 1, size, size]))
        };
        Ok([stack(|t| t.anchor)?, stack(|t| t.positive)?, stack(|t| t.negative)?])
    }

    /// Each of the three passes the encoder as a batch of its own; it matters to batch norm.
    fn loss(&self, model: &Contrastive, batch: Self::Batch, device: &Device) -> Tensor<1> {
        let [anchor, positive, negative] =
            model.triplet(batch.map(|images| Tensor::from_data(images, device)));
        self.config.loss.forward(anchor, positive, negative, self.config.temperature)
    }
}
