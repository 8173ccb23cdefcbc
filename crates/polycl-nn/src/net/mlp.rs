use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{Encoder, EncoderConfig};

/// Linear, batch norm if asked for, ReLU, linear: the head that SimCLR, MoCo v2 and BYOL project with.
#[derive(Module, Debug)]
pub struct Mlp {
    hidden: Linear,
    norm: Option<BatchNorm1d>,
    output: Linear,
}

impl Mlp {
    pub fn new([input, hidden, output]: [usize; 3], norm: bool, device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(input, hidden).init(device),
            norm: norm.then(|| BatchNorm1d::new(hidden, device)),
            output: LinearConfig::new(hidden, output).init(device),
        }
    }

    /// [B, C] → [B, C']
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self.hidden.forward(x);
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        self.output.forward(relu(x))
    }
}

/// PyTorch's default.
const EPSILON: f32 = 1e-5;

/// `torch.nn.BatchNorm1d` as it trains. A head is thrown away after training, so nothing here ever
/// asks for running statistics, and none are kept.
#[derive(Module, Debug)]
struct BatchNorm1d {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl BatchNorm1d {
    fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
        }
    }

    /// (x − μ) / √(σ² + ε) · weight + bias, with the batch's own moments: [B, C] → [B, C]
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = x.clone() - x.mean_dim(0);
        let deviation = (x.clone().square().mean_dim(0) + EPSILON).sqrt();
        x / deviation * self.weight.val().unsqueeze() + self.bias.val().unsqueeze()
    }
}

/// An encoder under such a head.
#[derive(Module, Debug)]
pub struct Projected {
    pub encoder: Encoder,
    pub projection: Mlp,
}

impl Projected {
    /// The head is as wide as the encoder's deepest map.
    pub fn new(config: &EncoderConfig, norm: bool, dropout: f64, device: &Device) -> Self {
        let width = config.widths[4];
        Self {
            encoder: config.init(device).with_dropout(dropout),
            projection: Mlp::new([width; 3], norm, device),
        }
    }

    /// `[B, 1, H, W]` → `[B, widths[4]]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.projection.forward(self.encoder.pooled(x, 1))
    }
}
