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

    /// Embeddings of anchors, positives and negatives, B each, as [`Self::forward`] gives them one after
    /// the other. The ResNet takes them in one pass, in which batch norm sees three batches: its
    /// weights are large and made ready once. The U-Net's are small, and its gradients of the largest
    /// maps would be there for all three at a time.
    pub fn triplet(&self, slices: [Tensor<4>; 3]) -> [Tensor<2>; 3] {
        if let Encoder::UNet(_) = self.encoder {
            return slices.map(|slices| self.forward(slices));
        }
        let [batch, ..] = slices[0].dims();
        let embeddings = self.projection.forward(self.encoder.pooled(Tensor::cat(slices.into(), 0), 3));
        [0, 1, 2].map(|i| embeddings.clone().narrow(0, i * batch, batch))
    }

    #[must_use]
    pub fn with_dropout(mut self, probability: f64) -> Self {
        self.encoder = self.encoder.with_dropout(probability);
        self
    }
}
