use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

use crate::kernels::{self, AdamStep};

/// Adam (Kingma and Ba 2015) in the form of `torch.optim.Adam` with its defaults β = (0.9, 0.999),
/// ε = 1e-8. Our own rather than burn-optim's because checkpoints keep its state under the
/// parameters' names in a safetensors file.
#[derive(Default)]
pub struct Adam {
    /// Updates each parameter has seen, and its moments, by the parameter's path in the module.
    pub moments: BTreeMap<String, Moments>,
}

/// Running means of the gradient and of its square, flattened.
pub struct Moments {
    pub steps: u32,
    pub first: Tensor<1>,
    pub second: Tensor<1>,
}

impl Moments {
    /// Moments and values after one step, by the kernel.
    fn update(&mut self, values: Tensor<1>, gradient: Tensor<1>, step: AdamStep) -> Tensor<1> {
        // Handed over rather than cloned, so that they are updated in place.
        let nothing = || Tensor::empty([0], &values.device());
        let moments =
            [std::mem::replace(&mut self.first, nothing()), std::mem::replace(&mut self.second, nothing())];
        let [values, first, second] = kernels::adam(values, gradient, moments, step);
        (self.first, self.second) = (first, second);
        values
    }

    fn follow(&mut self, gradient: Tensor<1>) {
        let mean = |old: &Tensor<1>, new: Tensor<1>, beta: f64| {
            old.clone().mul_scalar(beta) + new.mul_scalar(1.0 - beta)
        };
        self.first = mean(&self.first, gradient.clone(), BETA[0]);
        self.second = mean(&self.second, gradient.square(), BETA[1]);
    }
}

const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

impl Adam {
    /// One update of every parameter that has a gradient, at the learning rate that `rate` says for its
    /// name. `scale` multiplies the gradients first (see [`super::global_norm`]).
    pub fn step<M: Module>(
        &mut self,
        model: M,
        gradients: &Gradients,
        rate: &dyn Fn(&str) -> f64,
        scale: f64,
    ) -> M {
        model.map(&mut Update { adam: self, gradients, rate, scale, path: Vec::new() })
    }

    /// Checks that these moments belong to `model`: there are some, and each is of its parameter's size.
    ///
    /// # Errors
    /// A sentence about the first that does not fit.
    pub fn fits<M: Module>(&self, model: &M) -> Result<(), String> {
        if self.moments.is_empty() {
            return Err("no moments".to_owned());
        }
        let mut sizes = Sizes::default();
        model.visit(&mut sizes);
        let misfit = self.moments.iter().find(|(name, moments)| {
            let size = sizes.by_name.get(*name).copied();
            [&moments.first, &moments.second].iter().any(|tensor| size != Some(tensor.dims()[0]))
        });
        misfit.map_or(Ok(()), |(name, _)| Err(format!("moments of another size or name for '{name}'")))
    }

    /// Moments as named tensors and back, for checkpoints.
    pub fn to_data(&self) -> Vec<(String, TensorData)> {
        let mut tensors = Vec::with_capacity(3 * self.moments.len());
        for (name, moments) in &self.moments {
            tensors.push((format!("first.{name}"), moments.first.to_data()));
            tensors.push((format!("second.{name}"), moments.second.to_data()));
            tensors.push((format!("steps.{name}"), TensorData::new(vec![moments.steps], [1])));
        }
        tensors
    }
}

/// Elements of each parameter.
#[derive(Default)]
struct Sizes {
    path: Vec<String>,
    by_name: BTreeMap<String, usize>,
}

impl ModuleVisitor for Sizes {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.by_name.insert(self.path.join("."), param.val().dims().iter().product());
    }
}

struct Update<'a> {
    adam: &'a mut Adam,
    gradients: &'a Gradients,
    rate: &'a dyn Fn(&str) -> f64,
    scale: f64,
    path: Vec<String>,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = match tensor.grad(self.gradients) {
            Some(gradient) => self.update(tensor, gradient),
            None => tensor,
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

impl Update<'_> {
    fn update<const D: usize>(&mut self, tensor: Tensor<D>, gradient: Tensor<D>) -> Tensor<D> {
        let shape = tensor.dims();
        let gradient = gradient.reshape([-1]);
        let name = self.path.join(".");
        let rate = (self.rate)(&name);
        let moments = self.adam.moments.entry(name).or_insert_with(|| Moments {
            steps: 0,
            first: gradient.zeros_like(),
            second: gradient.zeros_like(),
        });
        moments.steps += 1;
        let [bias1, bias2] = BETA.map(|beta| 1.0 - beta.powi(moments.steps as i32));
        let (rate, root_bias) = (rate / bias1, bias2.sqrt());
        let values = tensor.inner().reshape([-1]);
        let values = if kernels::serves(&values) {
            let step = AdamStep {
                scale: self.scale as f32,
                rate: rate as f32,
                root_bias: root_bias as f32,
                beta: BETA,
                epsilon: EPSILON,
            };
            moments.update(values, gradient, step)
        } else {
            moments.follow(gradient.mul_scalar(self.scale));
            let root = moments.second.clone().sqrt().div_scalar(root_bias) + EPSILON;
            values - (moments.first.clone() / root).mul_scalar(rate)
        };
        Tensor::from_inner(values.reshape(shape)).require_grad()
    }
}
