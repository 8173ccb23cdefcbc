use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// The factor of all gradients that keeps their norm together within `limit`, as in
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
            self.sum += squared(gradient);
        }
    }
}

/// The sum of squares. Instance norm divides by almost nothing where a slice shows almost nothing, at every
/// layer anew, and the squares of gradients that are still finite may be too large for float32.
fn squared<const D: usize>(gradient: Tensor<D>) -> f64 {
    let plain = f64::from(gradient.clone().square().sum().into_scalar::<f32>());
    if plain.is_finite() {
        return plain;
    }
    let largest = gradient.clone().abs().max().into_scalar::<f32>();
    let part = f64::from(gradient.div_scalar(largest).square().sum().into_scalar::<f32>());
    part * f64::from(largest).powi(2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn squares_beyond_float32_have_a_sum_and_what_is_infinite_has_none() {
        let of = |values: [f32; 3]| squared(Tensor::<1>::from_floats(values, &Device::flex()));
        assert_eq!(of([3.0, 0.0, 4.0]), 25.0);
        let large = of([3e25, 0.0, -4e25]);
        assert!((large / 25e50 - 1.0).abs() < 1e-6, "{large}");
        assert!(!of([f32::INFINITY, 1.0, 0.0]).is_finite());
        assert!(!of([f32::NAN, 1.0, 0.0]).is_finite());
    }
}
