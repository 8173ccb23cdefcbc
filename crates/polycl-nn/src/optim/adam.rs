use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

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

const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

impl Adam {
    /// One update of every parameter that has a gradient. `scale` multiplies the gradients first
    /// (see [`super::global_norm`]).
    pub fn step<M: Module>(&mut self, model: M, gradients: &Gradients, rate: f64, scale: f64) -> M {
        model.map(&mut Update { adam: self, gradients, rate, scale, path: Vec::new() })
    }

    /// Whether these moments belong to `model`: there are some, and each is of its parameter's size.
    ///
    /// # Errors
    /// A sentence about the first that does not fit.
    pub fn fits<M: Module>(&self, model: &M) -> Result<(), String> {
        if self.moments.is_empty() {
            return Err("none".to_owned());
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
    rate: f64,
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
        let gradient = gradient.reshape([-1]).mul_scalar(self.scale);
        let moments = self.adam.moments.entry(self.path.join(".")).or_insert_with(|| Moments {
            steps: 0,
            first: gradient.zeros_like(),
            second: gradient.zeros_like(),
        });
        moments.steps += 1;
        moments.first =
            moments.first.clone().mul_scalar(BETA[0]) + gradient.clone().mul_scalar(1.0 - BETA[0]);
        moments.second =
            moments.second.clone().mul_scalar(BETA[1]) + gradient.square().mul_scalar(1.0 - BETA[1]);
        let [bias1, bias2] = BETA.map(|beta| 1.0 - beta.powi(moments.steps as i32));
        let root = moments.second.clone().sqrt().div_scalar(bias2.sqrt()) + EPSILON;
        let change = (moments.first.clone() / root).mul_scalar(self.rate / bias1).reshape(shape);
        Tensor::from_inner(tensor.inner() - change).require_grad()
    }
}
