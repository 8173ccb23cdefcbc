//! A segmentation network, trained on the masks of a few patients.

use std::path::PathBuf;

use polycl_base::Watch;
use polycl_data::Dataset;
use polycl_nn::train::finetune::{FinetuneConfig, finetune};
use polycl_nn::train::{Augment, Begin};
use serde::{Deserialize, Serialize};

use crate::training::Drawing;
pub use crate::training::{Outcome, RunSettings};

/// A fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub dataset: PathBuf,
    /// Folder of the run to write.
    pub out: PathBuf,
    pub config: FinetuneConfig,
    pub begin: Begin,
}

impl Request {
    /// The request of settings in layers.
    ///
    /// # Errors
    /// Settings that cannot be read.
    pub fn new(run: &RunSettings) -> anyhow::Result<Self> {
        let mut config: FinetuneConfig = run.read()?;
        if run.resumes() {
            // A run that says nothing of it began without.
            config.self_train.get_or_insert(false);
        }
        Ok(Self { dataset: run.dataset.clone(), out: run.out.clone(), config, begin: run.begin() })
    }

    /// The same without any augmentation of slices.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.config.augment = Augment::none();
        self
    }
}

/// Fine-tunes; `watch` hears a [`polycl_nn::train::finetune::Plan`] and each [`polycl_nn::train::Epoch`].
///
/// # Errors
/// As [`finetune`].
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let Request { dataset, out, config, begin } = request;
    let dataset = Dataset::open(dataset)?;
    let drawing = Drawing::new("fine-tuning", out, watch);
    let state = finetune(&dataset, config, out, *begin, &drawing)?;
    drawing.finish();
    Ok(Outcome { epochs: config.training.epochs, state })
}
