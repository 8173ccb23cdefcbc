//! Convolutions: [`Forward`], [`BackwardData`] and [`BackwardWeight`] prepare the weights once and
//! then run on any number of maps.

mod direct;
pub(crate) mod gemm;
mod kernel;
mod weights;
mod winograd;

use crate::parallel::Out;
use crate::shape::Shape;
pub use kernel::Conv;
pub use weights::Weights;

impl Conv {
    /// Winograd's algorithm exists for one kind of convolution, and pays where there are channels
    /// and tiles enough for the transforms of the weights. Maps narrower than a tile must not use it:
    /// where a tap never meets a pixel its gradient is zero, and Adam would make a step of any round-off
    /// that stands in for the zero.
    fn algorithm(self, input: Shape, channels: usize) -> Algorithm {
        let form = self == Self { kernel: 3, stride: 1, padding: 1 };
        let pays = input.c.min(channels) >= 4 && input.h.min(input.w) >= 4;
        if form && pays { Algorithm::Winograd } else { Algorithm::Direct }
    }
}

enum Algorithm {
    Winograd,
    Direct,
}

/// A convolution.
pub struct Forward {
    prepared: Prepared,
    conv: Conv,
    channels: usize,
}

/// The way back from the gradient of a convolution's output to that of its input.
pub struct BackwardData(Prepared);

enum Prepared {
    Winograd(winograd::Factors),
    Direct(direct::Matrices),
}

impl Forward {
    /// For inputs as wide and high as `input`.
    pub fn new(weights: Weights<'_>, conv: Conv, input: Shape) -> Self {
        weights.check(conv, input);
        let prepared = match conv.algorithm(input, weights.channels_out) {
            Algorithm::Winograd => Prepared::Winograd(winograd::Factors::new(weights, false)),
            Algorithm::Direct => Prepared::Direct(direct::Matrices::forward(weights, conv)),
        };
        Self { prepared, conv, channels: weights.channels_out }
    }

    /// `run` into a slice.
    pub fn run_into(&self, x: &[f32], shape: Shape, out: &mut [f32]) {
        self.run(x, shape, Out::new(out));
    }

    /// From maps `x` of `shape` to all of `out`.
    pub(crate) fn run(&self, x: &[f32], shape: Shape, out: Out<'_>) {
        match &self.prepared {
            Prepared::Winograd(factors) => factors.run(x, shape, out),
            Prepared::Direct(matrices) => {
                matrices.run(x, shape, self.conv.output(shape, self.channels), out);
            }
        }
    }
}

impl BackwardData {
    /// For inputs as wide and high as `input`.
    pub fn new(weights: Weights<'_>, conv: Conv, input: Shape) -> Self {
        weights.check(conv, input);
        Self(match conv.algorithm(input, weights.channels_out) {
            Algorithm::Winograd => Prepared::Winograd(winograd::Factors::new(weights, true)),
            Algorithm::Direct => Prepared::Direct(direct::Matrices::backward(weights, conv)),
        })
    }

    /// `run` into a slice.
    pub fn run_into(&self, gradient: &[f32], output: Shape, input: Shape, to: &mut [f32]) {
        self.run(gradient, output, input, Out::new(to));
    }

    /// From the gradient of the outputs, of shape `output`, to that of inputs of shape `input`.
    pub(crate) fn run(&self, gradient: &[f32], output: Shape, input: Shape, to: Out<'_>) {
        match &self.0 {
            Prepared::Winograd(factors) => factors.run(gradient, output, to),
            Prepared::Direct(matrices) => matrices.run(gradient, output, input, to),
        }
    }
}

/// The gradient of the weights, summed over the maps it is shown.
pub enum BackwardWeight {
    #[doc(hidden)]
    Winograd(winograd::FactorGradients),
    #[doc(hidden)]
    Direct(direct::MatrixGradients),
}

impl BackwardWeight {
    /// For inputs as wide and high as `input`.
    pub fn new(conv: Conv, input: Shape, channels_out: usize) -> Self {
        let channels_in = input.c;
        match conv.algorithm(input, channels_out) {
            Algorithm::Winograd => Self::Winograd(winograd::FactorGradients::new(channels_in, channels_out)),
            Algorithm::Direct => Self::Direct(direct::MatrixGradients::new(conv, channels_in, channels_out)),
        }
    }

    /// Adds what maps `x` of `shape` and the gradient of the outputs for them contribute.
    pub fn add(&mut self, x: &[f32], shape: Shape, gradient: &[f32]) {
        match self {
            Self::Winograd(sums) => sums.add(x, shape, gradient),
            Self::Direct(sums) => sums.add(x, shape, gradient),
        }
    }

    /// [C_out, C_in, k, k]
    pub fn finish(self) -> Vec<f32> {
        match self {
            Self::Winograd(sums) => sums.finish(),
            Self::Direct(sums) => sums.finish(),
        }
    }
}
