//! Pre-training on slices without masks: PolyCL, and the methods it is compared with.

mod autoencoder;
mod byol;
mod config;
mod masking;
mod moco;
mod positional;
mod probe;
mod simclr;
mod slices;
mod triplets;
mod two_views;

use std::marker::PhantomData;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use polycl_base::{Result, Watch};
use polycl_data::Dataset;
use serde::Serialize;

use super::run::{Run, RunCard, RunKind, Seen};
use super::{Begin, State, Task, initialised, train};
use crate::net::{Contrastive, EncoderConfig, SegmenterConfig};
pub use autoencoder::{masked_error, reconstruction};
pub use byol::{Byol, prediction_loss};
pub use config::{Method, Momentum, Negatives, PretrainConfig, RATE, Threshold};
pub use masking::Masking;
pub use moco::{MoCo, query_loss};
pub use positional::{Positional, positional};
pub use simclr::{SimClr, nt_xent};
use slices::Slices;
use triplets::Triplets;
pub use triplets::multi_negative;
use two_views::Pairs;
pub use two_views::TwoViews;

/// The scans and slices that will train; watchers hear it before the first step.
#[derive(Debug, Clone, Serialize)]
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

/// Pre-trains an encoder on `dataset` and leaves the run in `out`. `watch` hears the [`Plan`] and each [`super::Epoch`].
///
/// # Errors
/// [`polycl_base::Kind::Request`] for what cannot be met with the data at hand, before anything is written, and for
/// a training that diverges; what reading the data set and writing the run can say.
pub fn pretrain(
    dataset: &Dataset,
    config: &PretrainConfig,
    out: &Path,
    begin: Begin,
    watch: &dyn Watch,
) -> Result<State> {
    super::check(&dataset.dir, &config.training)?;
    config.check(dataset)?;
    let mut config = config.clone();
    config.resolve();
    let scans = super::scans_of(dataset, config.domain.as_deref(), &config.exclude)?;
    let encoder = EncoderConfig::published(config.net);
    let start = Start { dataset, config: &config, out, begin, watch };
    let slices = || Slices::new(dataset, &config, &scans);
    match config.method {
        Method::Polycl => {
            let task = Triplets::new(dataset, &config, &scans)?;
            let left_out = task.left_out();
            let items = (task.count(), left_out);
            let scans = task.scans();
            start.run(&task, &scans, items, RunKind::Contrastive(encoder), |d| {
                Contrastive::new(&encoder, d).with_dropout(config.dropout())
            })
        }
        Method::Simclr => start.pairs::<SimClr>(slices(), &scans, encoder),
        Method::Moco => start.pairs::<MoCo>(slices(), &scans, encoder),
        Method::Byol => start.pairs::<Byol>(slices(), &scans, encoder),
        Method::Positional => start.pairs::<Positional>(slices(), &scans, encoder),
        Method::Mae => {
            let network = SegmenterConfig { encoder, organs: 1, overlap: false };
            let task = autoencoder::Autoencoder(slices());
            let items = (task.0.count(), None);
            start.run(&task, &scans, items, RunKind::Autoencoder(network), |device| {
                network.init(device).with_dropout(config.dropout())
            })
        }
    }
}

/// The common start of all methods.
struct Start<'a> {
    dataset: &'a Dataset,
    config: &'a PretrainConfig,
    out: &'a Path,
    begin: Begin,
    watch: &'a dyn Watch,
}

impl Start<'_> {
    fn pairs<M: TwoViews>(
        &self,
        slices: Slices<'_>,
        scans: &[usize],
        encoder: EncoderConfig,
    ) -> Result<State> {
        let config = self.config;
        let task = Pairs::<M> { slices, model: PhantomData };
        let items = (task.slices.count(), None);
        self.run(&task, scans, items, RunKind::Contrastive(encoder), |d| M::new(&encoder, config, d))
    }

    fn run<T: Task>(
        &self,
        task: &T,
        scans: &[usize],
        (items, left_out): (usize, Option<super::LeftOut>),
        kind: RunKind,
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
            regions: Vec::new(),
            flips: false,
            dataset: index.fingerprint(),
            training_cases: Seen::of(index, scans),
            validation_cases: Vec::new(),
            pretraining_cases: Vec::new(),
        };
        let mut run = Run::create(self.out, &card, self.config, self.begin.resume)?;
        let (skipped, unknown) = left_out.map_or((0, 0), |left_out| (left_out.skipped, left_out.unknown));
        self.watch.partial(&Plan { method: self.config.method, scans: scans.len(), items, skipped, unknown });
        let device = self.config.training.device.open().autodiff();
        let model = initialised(self.config.training.seed, &device, || model(&device));
        train(task, model, &self.config.training, &mut run, self.begin.save_every, self.watch)
    }
}
