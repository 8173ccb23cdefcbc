use burn::tensor::{Device, Tensor, TensorData};
use polycl_volume::Result;
use polycl_volume::rng::{Purpose, rng};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::Probe;
use super::slices::Slices;
use crate::net::Segmenter;
use crate::select::SliceId;
use crate::train::Task;

/// What a masked autoencoder is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masking {
    /// The part of each slice that is hidden.
    pub hidden: f64,
    /// Slices are hidden in squares; so many of them lie along a side.
    pub patches: usize,
}

impl Default for Masking {
    /// MAE's 75%, and its 14 patches along a side, to the next that divides sides of multiples of 32.
    fn default() -> Self {
        Self { hidden: 0.75, patches: 16 }
    }
}

/// A masked autoencoder (He et al. 2022) for the U-Net: it paints what was hidden of a slice, and is judged
/// there alone. The decoder is pre-trained with the encoder, and fine-tuning takes both.
pub struct Autoencoder<'a>(pub Slices<'a>);

/// Slices, and 1 where they are hidden, [B, 1, S, S] each.
pub struct Batch {
    images: TensorData,
    hidden: TensorData,
}

impl Task for Autoencoder<'_> {
    type Model = Segmenter;
    type Item = SliceId;
    type Batch = Batch;

    const RATE: f64 = super::RATE;

    fn plan(&self, round: usize) -> Vec<SliceId> {
        self.0.plan(round)
    }

    fn load(&self, round: usize, ids: &[SliceId]) -> Result<Batch> {
        let Slices { dataset, config, .. } = &self.0;
        let (size, masking) = (dataset.index.preprocess.size, config.masking.unwrap_or_default());
        let mut hidden = Vec::with_capacity(ids.len() * size * size);
        for &SliceId { scan, slice } in ids {
            let at = [round as u64, (scan as u64) << 32 | slice as u64];
            hidden.extend(masking.draw(size, config.training.seed, at));
        }
        let views = config.views.map(|views| (views, 0));
        let images = self.0.load(round, ids, views)?;
        Ok(Batch { images, hidden: TensorData::new(hidden, [ids.len(), 1, size, size]) })
    }

    fn probe(&self, model: &Segmenter, device: &Device) -> Result<Option<Probe>> {
        self.0.probe(&model.encoder, device)
    }

    fn loss(&self, model: Segmenter, batch: Batch, device: &Device) -> (Segmenter, Tensor<1>) {
        let [images, hidden] = [batch.images, batch.hidden].map(|data| Tensor::from_data(data, device));
        let loss = reconstruction(&model, images, hidden);
        (model, loss)
    }
}

impl Masking {
    /// # Errors
    /// A sentence about the first value that makes no sense with slices of this size.
    pub fn check(&self, size: usize) -> std::result::Result<(), String> {
        if self.patches == 0 || !size.is_multiple_of(self.patches) {
            return Err(format!("{} patches along a side of {size} pixels", self.patches));
        }
        let count = self.count();
        if !(self.hidden < 1.0 && (1..self.patches.pow(2)).contains(&count)) {
            return Err(format!("a part of {} to hide in {} patches", self.hidden, self.patches.pow(2)));
        }
        Ok(())
    }

    /// Patches that are hidden.
    fn count(&self) -> usize {
        (self.hidden * self.patches.pow(2) as f64).round() as usize
    }

    /// 1 where a slice of `size`² pixels is hidden; the draw depends on the arguments alone.
    fn draw(&self, size: usize, seed: u64, at: [u64; 2]) -> Vec<f32> {
        let n = self.patches;
        let mut patches: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i < self.count()))).collect();
        patches.shuffle(&mut rng(seed, Purpose::Mask, at));
        let side = size / n;
        (0..size * size).map(|i| patches[i / size / side * n + i % size / side]).collect()
    }
}

/// Σ hidden · (painted − image)² / Σ hidden of a network that sees the image without what is hidden, all
/// [B, 1, S, S] → scalar as `[1]`.
pub fn reconstruction(model: &Segmenter, image: Tensor<4>, hidden: Tensor<4>) -> Tensor<1> {
    let shown = image.clone() * (hidden.clone().neg() + 1.0);
    masked_error(model.forward(shown), image, hidden)
}

/// Mean squared error over what is hidden.
pub fn masked_error(painted: Tensor<4>, image: Tensor<4>, hidden: Tensor<4>) -> Tensor<1> {
    let error = ((painted - image).square() * hidden.clone()).sum();
    error / hidden.sum()
}
