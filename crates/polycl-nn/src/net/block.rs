use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Dropout, DropoutConfig, PaddingConfig2d};
use burn::tensor::Device;

use super::map::{Map, Norm, convolve};
use crate::kernels::Over;

/// Slope of LeakyReLU below zero, as in the published network.
const SLOPE: f32 = 0.2;
/// Dropout at the end of each block, as in the published network.
const DROPOUT: f64 = 0.25;
/// PyTorch's default for InstanceNorm2d.
const EPSILON: f32 = 1e-5;

/// Twice (convolution 3×3, instance norm without affine, LeakyReLU), then dropout.
#[derive(Module, Debug)]
pub struct ConvBlock {
    conv1: Conv2d,
    conv2: Conv2d,
    dropout: Dropout,
}

impl ConvBlock {
    pub fn new(channels_in: usize, channels_out: usize, device: &Device) -> Self {
        Self {
            conv1: conv3x3(channels_in, channels_out, device),
            conv2: conv3x3(channels_out, channels_out, device),
            dropout: DropoutConfig::new(DROPOUT).init(),
        }
    }

    /// One map, or two one after the other along channels: [B, C_in, H, W] → [B, C_out, H, W]
    pub fn forward(&self, maps: &[&Map]) -> Map {
        let x = Map::normalised(convolve(maps, &self.conv1), instance_norm(), None).activated(SLOPE, None);
        let x = convolve(&[&x], &self.conv2);
        let drops = self.dropout.training.is_enabled() && x.device().is_autodiff() && self.dropout.prob > 0.0;
        Map::normalised(x, instance_norm(), None).activated(SLOPE, drops.then_some(self.dropout.prob))
    }

    /// The same block that drops so much while it trains.
    #[must_use]
    pub fn with_dropout(mut self, probability: f64) -> Self {
        self.dropout.prob = probability;
        self
    }
}

fn conv3x3(channels_in: usize, channels_out: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels_in, channels_out], [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device)
}

/// Each channel of each image to mean 0 and (biased) variance 1: (x − μ) / √(σ² + ε).
fn instance_norm() -> Norm {
    Norm { over: Over::Image, epsilon: EPSILON, fixed: None, affine: None }
}
