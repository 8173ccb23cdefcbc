use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::config::PretrainConfig;
use super::two_views::TwoViews;
use crate::loss::normalised;
use crate::net::{Encoder, EncoderConfig, Mlp, Projected, follow};

/// BYOL (Grill et al. 2020): from one view, a network predicts what a slowly following one makes of the
/// other. There are no negatives.
#[derive(Module, Debug)]
pub struct Byol {
    pub encoder: Encoder,
    pub projection: Mlp,
    prediction: Mlp,
    pub target: Projected,
}

impl TwoViews for Byol {
    fn new(encoder: &EncoderConfig, config: &PretrainConfig, device: &Device) -> Self {
        let online = Projected::new(encoder, true, config.dropout(), device);
        // A network of its own rather than a clone, whose running statistics would be the same.
        let target = follow(Projected::new(encoder, true, config.dropout(), device), &online, 0.0);
        let prediction = Mlp::new([encoder.widths[4]; 3], true, device);
        let Projected { encoder, projection } = online;
        Self { encoder, projection, prediction, target }
    }

    fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    fn step(mut self, views: [Tensor<4>; 2], _: &[f32], config: &PretrainConfig) -> (Self, Tensor<1>) {
        let online = Projected { encoder: self.encoder.clone(), projection: self.projection.clone() };
        self.target = follow(self.target, &online, config.momentum.unwrap_or_default().rate);
        let predicted = views.clone().map(|view| self.prediction.forward(online.forward(view)));
        let targets = views.map(|view| self.target.forward(view).detach());
        (self, prediction_loss(predicted, targets))
    }
}

/// Predictions from, and targets of, the first and the second view, [B, C] each: the mean over slices of
/// (2 − 2 cos(p₁, z₂)) + (2 − 2 cos(p₂, z₁)), as `[1]`.
pub fn prediction_loss([p1, p2]: [Tensor<2>; 2], [z1, z2]: [Tensor<2>; 2]) -> Tensor<1> {
    let distance = |p: Tensor<2>, z: Tensor<2>| {
        let cosine = (normalised(p) * normalised(z)).sum_dim(1);
        (cosine.mul_scalar(-2.0) + 2.0).mean()
    };
    distance(p1, z2) + distance(p2, z1)
}
