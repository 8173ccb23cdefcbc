use burn::module::{Flag, Module, Param, RunningState};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::map::{Map, Norm};
use crate::kernels::{self, Over};

/// Weight of the newest batch in the running statistics, as in PyTorch.
const MOMENTUM: f64 = 0.1;
/// PyTorch's default.
const EPSILON: f32 = 1e-5;

/// `torch.nn.BatchNorm2d`. burn's own keeps the biased variance as its running one, PyTorch the
/// unbiased, which differs by a sixth on the 8 values of a deep map of a small batch; so the
/// running statistics are kept here.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    /// Cleared when the module is frozen: then the running statistics are used and left alone.
    training: Param<Flag>,
}

impl BatchNorm2d {
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            training: Param::from_bool(true),
        }
    }

    /// The result [B, H, W, C] of a convolution, `batches` batches one after the other, to be read as
    /// (x − μ) / √(σ² + ε) · weight + bias, where μ and σ² are each batch's own in training (an
    /// autodiff device, not frozen) and the running ones otherwise.
    pub fn forward(&self, x: Tensor<4>, batches: usize) -> Map {
        let affine = Some([self.weight.val(), self.bias.val()]);
        let norm = Norm { over: Over::Batches(batches), epsilon: EPSILON, fixed: None, affine };
        let [b, h, w, c] = x.dims();
        if !x.device().is_autodiff() || !self.training.is_enabled() {
            let states = [&self.running_mean, &self.running_var];
            let states = states.map(|state| state.value_sync().to_device(&x.device()).reshape([1, 1, c]));
            return Map::normalised(x, Norm { fixed: Some(Tensor::cat(states.into(), 1)), ..norm }, None);
        }
        let count = (b / batches * h * w) as f64;
        let moments = kernels::moments(&x, norm.over);
        for batch in moments.clone().split(1, 0) {
            let [mean, variance] = [0, 1].map(|i| batch.clone().narrow(1, i, 1).reshape([c]));
            follow(&self.running_mean, mean);
            follow(&self.running_var, variance.mul_scalar(count / (count - 1.0).max(1.0)));
        }
        Map::normalised(x, norm, Some(moments))
    }
}

fn follow(state: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let old = state.value_sync().to_device(&batch.device());
    state.update((old.mul_scalar(1.0 - MOMENTUM) + batch.mul_scalar(MOMENTUM)).detach());
}
