//! A segmentation network, trained on the masks of a few patients.

use polycl_base::Watch;
use polycl_data::Dataset;
use polycl_nn::train::Augment;
use polycl_nn::train::finetune::{FinetuneConfig, finetune};
use serde::{Deserialize, Serialize};

use crate::training::Drawing;
pub use crate::training::{Outcome, Run};

/// A fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub run: Run,
    /// Slices are not augmented at all.
    pub plain: bool,
}

/// Fine-tunes; `watch` hears a [`polycl_nn::train::finetune::Plan`] and each [`polycl_nn::train::Epoch`].
///
/// # Errors
/// Settings that cannot be read; as [`finetune`].
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let Request { run, plain } = request;
    let mut config: FinetuneConfig = run.settings()?;
    if run.resumes() {
        // A run that says nothing of it began without.
        config.self_train.get_or_insert(false);
    }
    if *plain {
        config.augment = Augment::none();
    }
    let dataset = Dataset::open(&run.dataset)?;
    let drawing = Drawing::new("fine-tuning", &run.out, watch);
    let state = finetune(&dataset, &config, &run.out, run.begin(), &drawing)?;
    drawing.finish();
    Ok(Outcome { epochs: config.training.epochs, state })
}
