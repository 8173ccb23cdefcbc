//! The common part of methods that learn from single slices: which there are, in what order they
//! come, and how they are looked at.

use burn::tensor::{Device, TensorData};
use polycl_base::Result;
use polycl_base::rng::{Purpose, rng};
use polycl_data::Dataset;
use rand::seq::SliceRandom;

use super::config::PretrainConfig;
use super::probe::Probes;
use crate::net::Encoder;
use crate::select::SliceId;
use crate::train::{Probe, Views};

pub struct Slices<'a> {
    pub dataset: &'a Dataset,
    pub config: &'a PretrainConfig,
    slices: Vec<SliceId>,
    probes: Option<Probes<'a>>,
}

impl<'a> Slices<'a> {
    pub fn new(dataset: &'a Dataset, config: &'a PretrainConfig, scans: &[usize]) -> Self {
        let probes = Probes::new(dataset, scans, config.organ.as_deref());
        Self { dataset, config, slices: super::super::slices(dataset, scans), probes }
    }

    pub fn count(&self) -> usize {
        self.slices.len()
    }

    /// Every slice once, in an order of the round's own.
    pub fn plan(&self, round: usize) -> Vec<SliceId> {
        let mut slices = self.slices.clone();
        slices.shuffle(&mut rng(self.config.training.seed, Purpose::Shuffle, [round as u64, 0]));
        slices
    }

    /// Probes an encoder, where there are patients enough to tell.
    pub fn probe(&self, encoder: &Encoder, device: &Device) -> Result<Option<Probe>> {
        self.probes.as_ref().map(|probes| probes.look(encoder, device)).transpose()
    }

    /// The slices as they are, or a view of each; the views of one slice are told apart by `which`.
    pub fn load(&self, round: usize, ids: &[SliceId], views: Option<(Views, u64)>) -> Result<TensorData> {
        let size = self.dataset.index.preprocess.size;
        let mut pixels = Vec::with_capacity(ids.len() * size * size);
        for id in ids {
            let image = self.dataset.image(id.scan, id.slice)?;
            match views {
                None => pixels.extend(image),
                Some((views, which)) => {
                    let at = [round as u64, which << 62 | id.counter()];
                    pixels.extend(views.apply(&image, size, self.config.training.seed, at));
                }
            }
        }
        Ok(TensorData::new(pixels, [ids.len(), 1, size, size]))
    }

    /// Heights of the slices in their scans: 0 at the feet, 1 at the head.
    pub fn positions(&self, ids: &[SliceId]) -> Vec<f32> {
        let height = |id: &SliceId| {
            let last = self.dataset.index.scans[id.scan].slices.saturating_sub(1).max(1);
            id.slice as f32 / last as f32
        };
        ids.iter().map(height).collect()
    }
}
