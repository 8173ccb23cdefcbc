//! An encoder, pre-trained on scans without masks.

use std::path::PathBuf;

use polycl_base::Watch;
use polycl_data::Dataset;
use polycl_nn::train::Begin;
use polycl_nn::train::pretrain::{PretrainConfig, pretrain};
use serde::{Deserialize, Serialize};

use crate::training::Drawing;
pub use crate::training::{Outcome, RunSettings};

/// A pre-training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub dataset: PathBuf,
    /// Folder of the run to write.
    pub out: PathBuf,
    pub config: PretrainConfig,
    pub begin: Begin,
    /// The most steps of an epoch where the settings do not say how many.
    pub most_steps: Option<usize>,
}

/// The most steps of an epoch where nobody says how many.
pub const MOST_STEPS: usize = 250;
/// Probability of dropout where nobody says it.
pub const DROPOUT: f64 = 0.0;

impl Request {
    /// The request of settings in layers; `published` draws triplets once, under the dropout of the published code.
    ///
    /// # Errors
    /// Settings that cannot be read.
    pub fn new(run: &RunSettings, published: bool) -> anyhow::Result<Self> {
        let mut config: PretrainConfig = run.read()?;
        let by_default = !published && !run.resumes();
        if published {
            // Whatever a file says: the paper's dropout is what a run has that names none.
            (config.dropout, config.fixed_triplets) = (None, true);
        }
        if by_default {
            config.dropout.get_or_insert(DROPOUT);
        }
        Ok(Self {
            dataset: run.dataset.clone(),
            out: run.out.clone(),
            config,
            begin: run.begin(),
            most_steps: by_default.then_some(MOST_STEPS),
        })
    }
}

/// Pre-trains; `watch` hears a [`polycl_nn::train::pretrain::Plan`] and each [`polycl_nn::train::Epoch`].
///
/// # Errors
/// As [`pretrain`].
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let Request { out, begin, most_steps, .. } = request;
    let mut config = request.config.clone();
    let dataset = Dataset::open(&request.dataset)?;
    // Two hundred scans are pre-trained on in less than an hour.
    let slices: usize = dataset.index.scans.iter().map(|scan| scan.slices).sum();
    let rounds = slices / config.training.batch.max(1);
    if let Some(most) = most_steps.filter(|&most| config.training.steps.is_none() && rounds > most) {
        config.training.steps = Some(most);
        watch.note(&format!(
            "note: an epoch is {most} steps, other slices in each; --steps for more of the {slices} at once"
        ));
    }
    let drawing = Drawing::new("pre-training", out, watch);
    let state = pretrain(&dataset, &config, out, *begin, &drawing)?;
    drawing.finish();
    Ok(Outcome { epochs: config.training.epochs, state })
}
