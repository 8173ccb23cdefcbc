//! Layers as checkpoints name them, for inference.

use burn::tensor::{Tensor, TensorData};
use polycl_base::Result;

use crate::kernels::transformer::{Activation, activate, depthwise, layer_norm, linear};
use crate::kernels::{self, Conv, Source, SourceSpec, composed};
use crate::weights::Weights;

/// x Wᵀ + b of every token.
#[derive(Debug, Clone)]
pub struct Linear {
    /// [outputs, inputs]
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
}

impl Linear {
    pub fn load(weights: &mut Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), [outputs, inputs])?;
        Ok(Self { weight, bias: Some(weights.tensor(&format!("{name}.bias"), [outputs])?) })
    }

    /// A 1×1 convolution.
    pub fn load_conv(weights: &mut Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.values(&format!("{name}.weight"), &[outputs, inputs, 1, 1])?;
        let bias = weights.tensor(&format!("{name}.bias"), [outputs])?;
        Ok(Self { weight: weights.upload(weight, [outputs, inputs]), bias: Some(bias) })
    }

    pub fn new(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        Self { weight, bias }
    }

    #[must_use]
    pub fn without_bias(&self) -> Self {
        Self { weight: self.weight.clone(), bias: None }
    }

    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.activated(x, Activation::None)
    }

    pub fn activated<const D: usize>(&self, x: Tensor<D>, activation: Activation) -> Tensor<D> {
        linear(x, &self.weight, self.bias.as_ref(), None, activation)
    }

    /// activation(x Wᵀ + b + residual); a residual of one image is added to all.
    pub fn added<const D: usize>(
        &self,
        x: Tensor<D>,
        residual: Tensor<D>,
        activation: Activation,
    ) -> Tensor<D> {
        linear(x, &self.weight, self.bias.as_ref(), Some(residual), activation)
    }
}

/// Normalises the channels of every token; on maps [B, H, W, C] this is SAM's LayerNorm2d.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f32,
}

impl LayerNorm {
    pub fn load(weights: &mut Weights, name: &str, channels: usize, epsilon: f32) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), [channels])?;
        Ok(Self { weight, bias: weights.tensor(&format!("{name}.bias"), [channels])?, epsilon })
    }

    pub fn bias(&self) -> &Tensor<1> {
        &self.bias
    }

    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }
}

/// A convolution of maps [B, H, W, C].
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// [C_out, C_in, k, k]
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    conv: Conv,
}

impl Conv2d {
    /// `bias` tells whether the layer has one.
    pub fn load(
        weights: &mut Weights,
        name: &str,
        channels: [usize; 2],
        conv: Conv,
        bias: bool,
    ) -> Result<Self> {
        let [inputs, outputs] = channels;
        let weight =
            weights.tensor(&format!("{name}.weight"), [outputs, inputs, conv.kernel, conv.kernel])?;
        let bias = bias.then(|| weights.tensor(&format!("{name}.bias"), [outputs])).transpose()?;
        Ok(Self { weight, bias, conv })
    }

    pub fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.weight.clone(), self.bias.clone());
        let source = Source { map, moments: None, affine: None, residual: None, spec: SourceSpec::PLAIN };
        if kernels::serves(&source.map) {
            return kernels::convolve(&[&source], weight, bias, self.conv);
        }
        composed::nhwc(composed::convolve(&[&source], weight, bias, self.conv))
    }
}

/// A convolution of one kind, batch norm of fixed statistics folded into it.
#[derive(Debug, Clone)]
pub enum ConvNorm {
    /// 1×1
    Pointwise(Linear),
    /// 3×3 of each channel by itself, at this stride.
    Depthwise(Tensor<4>, Tensor<1>, usize),
    Dense(Conv2d),
}

impl ConvNorm {
    /// TinyViT's `Conv2d_BN`: `c` without a bias, then `bn` (epsilon 1e-5). `kernel` and `stride` are
    /// the convolution's, `groups` is 1 or the number of channels.
    pub fn load(
        weights: &mut Weights,
        name: &str,
        [inputs, outputs]: [usize; 2],
        [kernel, stride]: [usize; 2],
        groups: usize,
    ) -> Result<Self> {
        let shape = [outputs, inputs / groups, kernel, kernel];
        let mut weight = weights.values(&format!("{name}.c.weight"), &shape)?;
        let mut part = |part: &str| weights.values(&format!("{name}.bn.{part}"), &[outputs]);
        let (scale, mut bias) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        weights.values(&format!("{name}.bn.num_batches_tracked"), &[])?;
        let each = weight.len() / outputs;
        for (o, values) in weight.chunks_exact_mut(each).enumerate() {
            let factor = scale[o] / (variance[o] + 1e-5).sqrt();
            values.iter_mut().for_each(|value| *value *= factor);
            bias[o] -= mean[o] * factor;
        }
        let bias = weights.upload(bias, [outputs]);
        Ok(match (kernel, groups) {
            (1, 1) => Self::Pointwise(Linear::new(weights.upload(weight, [outputs, inputs]), Some(bias))),
            (3, groups) if groups > 1 => Self::Depthwise(weights.upload(weight, shape), bias, stride),
            _ => {
                let conv = Conv { kernel, stride, padding: kernel / 2 };
                Self::Dense(Conv2d { weight: weights.upload(weight, shape), bias: Some(bias), conv })
            }
        })
    }

    pub fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        match self {
            Self::Pointwise(linear) => linear.activated(x, activation),
            Self::Depthwise(weight, bias, stride) => depthwise(x, weight, bias, *stride, activation),
            Self::Dense(conv) => activate(conv.forward(x), activation),
        }
    }

    /// activation(convolution + residual)
    pub fn added(&self, x: Tensor<4>, residual: Tensor<4>, activation: Activation) -> Tensor<4> {
        match self {
            Self::Pointwise(linear) => linear.added(x, residual, activation),
            _ => activate(self.forward(x, Activation::None) + residual, activation),
        }
    }
}

/// 1×1 and 3×3 convolution, each followed by a norm: the end of SAM's image encoders.
#[derive(Debug, Clone)]
pub struct Neck {
    first: Linear,
    norm_first: LayerNorm,
    second: Conv2d,
    norm_second: LayerNorm,
}

impl Neck {
    pub fn load(weights: &mut Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let first = weights.values(&format!("{name}.0.weight"), &[outputs, inputs, 1, 1])?;
        let conv = Conv { kernel: 3, stride: 1, padding: 1 };
        Ok(Self {
            first: Linear::new(weights.upload(first, [outputs, inputs]), None),
            norm_first: LayerNorm::load(weights, &format!("{name}.1"), outputs, 1e-6)?,
            second: Conv2d::load(weights, &format!("{name}.2"), [outputs; 2], conv, false)?,
            norm_second: LayerNorm::load(weights, &format!("{name}.3"), outputs, 1e-6)?,
        })
    }

    /// [B, H, W, inputs] → [B, H, W, outputs]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm_first.forward(self.first.forward(x));
        self.norm_second.forward(self.second.forward(x))
    }
}

/// Linear layers with ReLU between them.
#[derive(Debug, Clone)]
pub struct Mlp(Vec<Linear>);

impl Mlp {
    /// `sides` are the channels before, between and after the layers.
    pub fn load(weights: &mut Weights, name: &str, sides: &[usize]) -> Result<Self> {
        let layer = |(i, sides): (usize, &[usize])| {
            Linear::load(weights, &format!("{name}.layers.{i}"), sides[0], sides[1])
        };
        sides.windows(2).enumerate().map(layer).collect::<Result<Vec<_>>>().map(Self)
    }

    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let last = self.0.len() - 1;
        let activation = |i| if i < last { Activation::Relu } else { Activation::None };
        self.0.iter().enumerate().fold(x, |x, (i, layer)| layer.activated(x, activation(i)))
    }
}

/// Doubles both sides of a map: `ConvTranspose2d` of kernel and stride 2. Every pixel becomes two rows
/// of two, so each row is one linear layer.
#[derive(Debug, Clone)]
pub struct Upscale([Linear; 2]);

impl Upscale {
    pub fn load(weights: &mut Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.values(&format!("{name}.weight"), &[inputs, outputs, 2, 2])?;
        let bias = weights.values(&format!("{name}.bias"), &[outputs])?;
        let row = |dy: usize| {
            // [(dx, output), input]
            let rows = (0..2).flat_map(|dx| (0..outputs).map(move |o| (dx, o)));
            let values = rows.flat_map(|(dx, o)| {
                (0..inputs).map({
                    let weight = &weight;
                    move |i| weight[((i * outputs + o) * 2 + dy) * 2 + dx]
                })
            });
            let weight = weights.upload(values.collect(), [2 * outputs, inputs]);
            Linear::new(weight, Some(weights.upload(bias.repeat(2), [2 * outputs])))
        };
        Ok(Self([row(0), row(1)]))
    }

    /// [B, H, W, inputs] → [B, 2H, 2W, outputs]
    pub fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        let [b, h, w, _] = x.dims();
        let rows = self.0.iter().map(|row| {
            let y = row.activated(x.clone(), activation);
            let values = y.dims()[3] * w;
            y.reshape([b, h, 1, values])
        });
        let y = Tensor::cat(rows.collect(), 2);
        let outputs = y.dims()[3] / (2 * w);
        y.reshape([b, 2 * h, 2 * w, outputs])
    }
}

/// Values as a tensor on the device of another.
pub fn like<const D: usize, const E: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    other: &Tensor<E>,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &other.device())
}
