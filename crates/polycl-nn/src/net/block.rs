use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Dropout, DropoutConfig, PaddingConfig2d};
use burn::tensor::activation::leaky_relu;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

/// Slope of LeakyReLU below zero, as in the published network.
const SLOPE: f64 = 0.2;
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

    /// [B, C_in, H, W] → [B, C_out, H, W]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = leaky_relu(instance_norm(self.conv1.forward(x)), SLOPE);
        let x = leaky_relu(instance_norm(self.conv2.forward(x)), SLOPE);
        self.dropout.forward(x)
    }

    /// The same block without dropout, for parity with reference numbers.
    #[must_use]
    pub fn without_dropout(mut self) -> Self {
        self.dropout.prob = 0.0;
        self
    }
}

fn conv3x3(channels_in: usize, channels_out: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels_in, channels_out], [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device)
}

/// Each channel of each image to mean 0 and (biased) variance 1: (x − μ) / √(σ² + ε).
pub fn instance_norm(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let x = x.reshape([b * c, h * w]);
    let x = x.clone() - x.mean_dim(1);
    let variance = x.clone().square().mean_dim(1);
    (x * (variance + EPSILON).sqrt().recip()).reshape([b, c, h, w])
}

/// Bilinear ×2 with aligned corners: [B, C, H, W] → [B, C, 2H, 2W].
pub fn upsample2(x: Tensor<4>) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(true)
        .with_output_size([2 * h, 2 * w]);
    interpolate(x, options)
}
