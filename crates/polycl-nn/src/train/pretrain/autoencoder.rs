use burn::tensor::{Device, Tensor, TensorData};
use polycl_base::Result;

use super::config::RATE;
use super::slices::Slices;
use crate::net::Segmenter;
use crate::select::SliceId;
use crate::train::{Probe, Task};

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

    const RATE: f64 = RATE;

    fn plan(&self, round: usize) -> Vec<SliceId> {
        self.0.plan(round)
    }

    fn load(&self, round: usize, ids: &[SliceId]) -> Result<Batch> {
        let Slices { dataset, config, .. } = &self.0;
        let (size, masking) = (dataset.index.preprocess.size, config.masking.unwrap_or_default());
        let mut hidden = Vec::with_capacity(ids.len() * size * size);
        for id in ids {
            let at = [round as u64, id.counter()];
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
