//! Reference numbers and the one place that knows how close is close enough.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, bridge};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Largest difference allowed, as a part of the largest reference value.
const TOLERANCE: f64 = 1e-5;
/// Where PyTorch's own float32 misses its float64 by more than a fifth of that, five times its
/// miss is allowed: another order of summation rounds otherwise, and no implementation in float32
/// can promise more digits than the operation keeps.
const PEER_MISSES: f64 = 5.0;

pub struct Reference {
    tensors: BTreeMap<String, TensorData>,
    about: Value,
}

impl Reference {
    /// `name` is a path under `tests/reference` without its ending.
    pub fn open(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
        Self::read(&folder.join(format!("{name}.safetensors")))
    }

    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let about = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["reference"]).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| (name.to_owned(), data(&view))).collect();
        Self { tensors, about }
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

    pub fn data(&self, key: &str) -> TensorData {
        self.tensors.get(key).unwrap_or_else(|| panic!("no reference '{key}'")).clone()
    }

    pub fn tensor<const D: usize>(&self, key: &str, device: &Device) -> Tensor<D> {
        Tensor::from_data(self.data(key), device)
    }

    pub fn widths(&self) -> [usize; 5] {
        serde_json::from_value(self.about["widths"].clone()).unwrap()
    }

    pub fn case(&self, case: &str, setting: &str) -> Value {
        self.about["cases"][case][setting].clone()
    }

    /// What the generator says of its numbers.
    pub fn about(&self, what: &str) -> &Value {
        &self.about[what]
    }

    fn is_roundoff(&self, key: &str) -> bool {
        self.about["roundoff_only"].as_array().is_some_and(|keys| keys.iter().any(|k| k == key))
    }

    /// Fills a module from the tensors named `prefix` + parameter; all of them, and no others.
    pub fn fill<M: Module>(&self, module: &mut M, prefix: &str, keep: impl Fn(&str) -> bool) {
        let named = self.tensors.iter().filter_map(|(key, data)| {
            let name = key.strip_prefix(prefix).filter(|name| keep(name))?;
            Some(bridge::from_data(data.clone(), name.to_owned(), None))
        });
        let result = module.apply(named.collect(), None, Some(Box::new(PyTorchToBurnAdapter)), true);
        assert!(result.errors.is_empty(), "{:?}", result.errors);
        assert!(result.missing.is_empty(), "missing {:?}", result.missing);
        assert!(result.unused.is_empty(), "unused {:?}", result.unused);
    }

    /// Compares and returns the difference relative to the largest reference value.
    pub fn close(&self, key: &str, actual: TensorData) -> f64 {
        if self.is_roundoff(key) {
            return 0.0;
        }
        let expected = self.data(key);
        assert_eq!(actual.num_elements(), expected.num_elements(), "{key}");
        let (actual, expected) = (floats(actual), floats(expected));
        let largest = expected.iter().fold(0f64, |l, &x| l.max(f64::from(x).abs())).max(1e-12);
        let differences = actual.iter().zip(&expected).map(|(a, e)| f64::from(a - e).abs());
        let difference = differences.fold(0.0, nan_max) / largest;
        let peer = self.about["float32_error"][key].as_f64().unwrap_or(0.0);
        let tolerance = TOLERANCE.max(PEER_MISSES * peer);
        println!("{key}: {difference:.1e} (allowed {tolerance:.1e}, PyTorch float32 {peer:.1e})");
        assert!(difference <= tolerance, "{key}: {difference:.2e} > {tolerance:.2e}");
        difference
    }

    /// [`Self::close`] for a tensor of which every so manieth value was kept, if not all.
    pub fn close_sample(&self, key: &str, actual: TensorData) -> f64 {
        let stride = self.about["sample_stride"][key].as_u64().unwrap_or(1) as usize;
        let sample: Vec<f32> = floats(actual).into_iter().step_by(stride).collect();
        let count = sample.len();
        self.close(key, TensorData::new(sample, [count]))
    }

    /// Compares every parameter's gradient with `prefix` + its name.
    pub fn close_gradients<M: Module>(&self, prefix: &str, model: M, gradients: &Gradients) {
        self.close_gradients_of(prefix, model, gradients, |_| true);
    }

    /// The same of the parameters that `trained` names.
    pub fn close_gradients_of<M: Module>(
        &self,
        prefix: &str,
        model: M,
        gradients: &Gradients,
        trained: impl Fn(&str) -> bool,
    ) {
        let gradients = named(model.map(&mut Take(gradients)));
        let compared = gradients.into_iter().filter(|(name, _)| !name.contains("running_") && trained(name));
        let worst =
            compared.map(|(name, data)| self.close(&format!("{prefix}{name}"), data)).fold(0.0, f64::max);
        println!("largest difference of all gradients: {worst:.1e}");
    }

    /// Compares every tensor of a module (running statistics included) with `prefix` + its name.
    pub fn close_module<M: Module>(&self, prefix: &str, model: &M, keep: impl Fn(&str) -> bool) {
        for (name, data) in named(model.valid()) {
            if keep(&name) {
                self.close(&format!("{prefix}{name}"), data);
            }
        }
    }
}

/// `f64::max` drops NaN; a comparison must not.
fn nan_max(a: f64, b: f64) -> f64 {
    if b.is_nan() || b > a { b } else { a }
}

fn named<M: Module>(module: M) -> Vec<(String, TensorData)> {
    let tensors = module.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true);
    tensors.into_iter().map(|t| (t.name.clone(), bridge::into_data(t).unwrap())).collect()
}

/// Puts each parameter's gradient in its place.
struct Take<'a>(&'a Gradients);

impl ModuleMapper for Take<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let gradient = tensor.grad(self.0).unwrap_or_else(|| tensor.clone().inner());
        Param::from_mapped_value(id, gradient, mapper)
    }
}

pub fn floats(data: TensorData) -> Vec<f32> {
    data.try_into_vec::<f32>().unwrap()
}

fn data(view: &safetensors::tensor::TensorView<'_>) -> TensorData {
    let bytes = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::I64 => {
            bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
        }
        Dtype::I32 => {
            bytes.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()) as f32).collect()
        }
        Dtype::F64 => {
            bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
        }
        Dtype::U8 => bytes.iter().map(|&b| f32::from(b)).collect(),
        other => panic!("{other:?}"),
    };
    TensorData::new(values, view.shape())
}
