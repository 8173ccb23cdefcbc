use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::{Encoder, EncoderConfig};

/// An encoder under the linear projection it is pre-trained with.
#[derive(Module, Debug)]
pub struct Contrastive {
    pub encoder: Encoder,
    projection: Linear,
}

impl Contrastive {
    pub fn new(config: &EncoderConfig, device: &Device) -> Self {
        let width = config.widths[4];
        Self { encoder: config.init(device), projection: LinearConfig::new(width, width).init(device) }
    }

    /// `[B, 1, H, W]` → `[B, widths[4]]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.projection.forward(self.encoder.pooled(x, 1))
    }

    /// Anchors, positives and negatives, B each, in one pass: what [`Self::forward`] gives for one
    /// after the other, batch norm seeing three batches, but weights are made ready once.
    pub fn triplet(&self, slices: [Tensor<4>; 3]) -> [Tensor<2>; 3] {
        let [batch, ..] = slices[0].dims();
        let embeddings = self.projection.forward(self.encoder.pooled(Tensor::cat(slices.into(), 0), 3));
        [0, 1, 2].map(|i| embeddings.clone().narrow(0, i * batch, batch))
    }

    #[must_use]
    pub fn without_dropout(mut self) -> Self {
        self.encoder = self.encoder.without_dropout();
        self
    }
}
