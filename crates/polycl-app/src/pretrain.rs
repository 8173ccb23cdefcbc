//! An encoder, pre-trained on scans without masks.

use polycl_base::Watch;
use polycl_data::Dataset;
use polycl_nn::train::pretrain::{PretrainConfig, pretrain};
use serde::{Deserialize, Serialize};

use crate::training::Drawing;
pub use crate::training::{Outcome, Run};

/// A pre-training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub run: Run,
    /// Triplets are drawn once and dropout is 0.25, as in the published code.
    pub published: bool,
}

/// The most steps of an epoch where nobody says how many.
pub const MOST_STEPS: usize = 1_000;
/// Probability of dropout where nobody says it.
pub const DROPOUT: f64 = 0.0;

/// Pre-trains; `watch` hears a [`polycl_nn::train::pretrain::Plan`] and each [`polycl_nn::train::Epoch`].
///
/// # Errors
/// Settings that cannot be read; as [`pretrain`].
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let Request { run, published } = request;
    let mut config: PretrainConfig = run.settings()?;
    if *published {
        // Whatever a file says: the paper's dropout is what a run has that names none.
        (config.dropout, config.fixed_triplets) = (None, true);
    }
    let dataset = Dataset::open(&run.dataset)?;
    if !published && !run.resumes() {
        config.dropout.get_or_insert(DROPOUT);
        // Two hundred scans are pre-trained on in less than an hour.
        let slices: usize = dataset.index.scans.iter().map(|scan| scan.slices).sum();
        if config.training.steps.is_none() && slices / config.training.batch.max(1) > MOST_STEPS {
            config.training.steps = Some(MOST_STEPS);
            watch.note(&format!(
                "note: an epoch is {MOST_STEPS} steps, other slices in each; --steps for more of the {slices} at once"
            ));
        }
    }
    let drawing = Drawing::new("pre-training", &run.out, watch);
    let state = pretrain(&dataset, &config, &run.out, run.begin(), &drawing)?;
    drawing.finish();
    Ok(Outcome { epochs: config.training.epochs, state })
}
