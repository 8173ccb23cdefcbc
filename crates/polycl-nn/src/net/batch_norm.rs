use burn::module::{Flag, Module, Param, RunningState};
use burn::nn::Initializer;
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

/// Weight of the newest batch in the running statistics, as in PyTorch.
const MOMENTUM: f64 = 0.1;
/// PyTorch's default.
const EPSILON: f64 = 1e-5;

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

    /// [B, C, H, W] → the same: (x − μ) / √(σ² + ε) · weight + bias, where μ and σ² are the batch's
    /// in training (an autodiff device, not frozen) and the running ones otherwise.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if !x.device().is_autodiff() || !self.training.is_enabled() {
            let on = |state: &RunningState<Tensor<1>>| state.value_sync().to_device(&x.device());
            let (mean, variance) = (on(&self.running_mean), on(&self.running_var));
            return batch_norm(x, weight, bias, mean, variance, EPSILON);
        }
        let [b, _, h, w] = x.dims();
        let count = (b * h * w) as f64;
        let batch = batch_norm_train(x, weight, bias, EPSILON);
        let unbiased = batch.variance.detach().mul_scalar(count / (count - 1.0).max(1.0));
        follow(&self.running_mean, batch.mean.detach());
        follow(&self.running_var, unbiased);
        batch.output
    }
}

fn follow(state: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let old = state.value_sync().to_device(&batch.device());
    state.update((old.mul_scalar(1.0 - MOMENTUM) + batch.mul_scalar(MOMENTUM)).detach());
}
