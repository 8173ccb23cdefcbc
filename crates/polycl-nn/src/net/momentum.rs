use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// The mean network of MoCo and BYOL after one step: every parameter becomes `momentum` times itself plus
/// the rest of that of `online`, a module of the same shape. No gradient flows into it. Running statistics
/// stay its own, as in the papers' code.
#[must_use]
pub fn follow<M: Module>(mean: M, online: &M, momentum: f64) -> M {
    moved(mean, online, momentum, |name| !is_statistic(name))
}

/// The running mean of a network's weights (Polyak averaging; EMA) after one more step: every parameter becomes
/// `keep` times itself plus the rest of that of `online`. Running statistics are those of `online`.
#[must_use]
pub fn averaged<M: Module>(mean: M, online: &M, keep: f64) -> M {
    moved(mean, online, keep, |_| true)
}

/// Moves those parameters of `mean` whose names are `wanted` towards `online`.
fn moved<M: Module>(mean: M, online: &M, momentum: f64, wanted: impl Fn(&str) -> bool) -> M {
    let mut parameters = Parameters::default();
    online.visit(&mut parameters);
    parameters.by_name.retain(|name, _| wanted(name));
    mean.map(&mut Follow { parameters: parameters.by_name, momentum, path: Vec::new() })
}

/// Tells batch norm's running statistics by their names.
fn is_statistic(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.starts_with("running_"))
}

#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    /// Flattened.
    by_name: HashMap<String, Tensor<1>>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.by_name.insert(self.path.join("."), param.val().inner().reshape([-1]));
    }
}

struct Follow {
    parameters: HashMap<String, Tensor<1>>,
    momentum: f64,
    path: Vec<String>,
}

impl ModuleMapper for Follow {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, mean, mapper) = param.consume();
        let name = self.path.join(".");
        let mean = match self.parameters.remove(&name) {
            Some(online) if is_statistic(&name) => Tensor::from_inner(online.reshape(mean.dims())),
            Some(online) => {
                let online = online.reshape(mean.dims());
                let mean = mean.inner();
                // So written, what does not move stays to the bit.
                Tensor::from_inner(mean.clone() + (online - mean).mul_scalar(1.0 - self.momentum))
            }
            None => mean,
        };
        Param::from_mapped_value(id, mean, mapper)
    }
}
