use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// What all gradients are multiplied by so that their norm together stays within `limit`, as in
/// PyTorch's `clip_grad_norm_`; a limit of 0 does not clip.
pub fn clip_scale(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 { (limit / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

/// The Euclidean norm of all gradients of `model` together.
pub fn global_norm<M: Module>(model: &M, gradients: &Gradients) -> f64 {
    let mut norm = SquaredNorm { gradients, sum: 0.0 };
    model.visit(&mut norm);
    norm.sum.sqrt()
}

struct SquaredNorm<'a> {
    gradients: &'a Gradients,
    sum: f64,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.sum += f64::from(gradient.square().sum().into_scalar::<f32>());
        }
    }
}
