//! Weights on disk: safetensors and nothing else, under PyTorch's names and layouts, written
//! atomically and read strictly. The state of the optimiser and of the training stands beside the
//! weights in the same file, so that the two can never be of different moments.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use burn::module::Module;
use burn::store::{
    ApplyError, BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, bridge,
    burn_pack::Tensor as Named,
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use polycl_base::rng::{Purpose, rng};
use polycl_base::{Error, Kind, Result, output};
use rand::seq::SliceRandom;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::optim::{Adam, Moments};

/// Tensors of the optimiser are named under this.
const OPTIMISER: &str = "optimiser.";
/// Weights as they are trained, where those of the model are their running mean.
const TRAINED: &str = "optimiser.weights.";
/// The key of the metadata that holds the training's state as JSON.
const STATE: &str = "polycl";

/// The state of the optimiser, which a training needs beside the model to be resumed.
pub struct Optimiser<'a, M> {
    pub adam: &'a Adam,
    /// The weights as they are trained, where the model is their running mean.
    pub trained: Option<&'a M>,
}

/// Writes a model's weights, `state`, and, for a training that will go on, its optimiser.
///
/// # Errors
/// [`Kind::Io`].
pub fn save<M: Module>(
    path: &Path,
    model: &M,
    optimiser: Option<Optimiser<'_, M>>,
    state: &impl Serialize,
) -> Result<()> {
    let mut tensors = named(path, model, "")?;
    if let Some(Optimiser { adam, trained }) = optimiser {
        tensors
            .extend(trained.map(|trained| named(path, trained, TRAINED)).transpose()?.into_iter().flatten());
        tensors.extend(adam.to_data().into_iter().map(|(name, data)| (format!("{OPTIMISER}{name}"), data)));
    }
    write(path, &tensors, state)
}

/// The tensors of a model, `prefix` before their names.
fn named<M: Module>(path: &Path, model: &M, prefix: &str) -> Result<Vec<(String, TensorData)>> {
    // `valid` brings the running statistics of batch norm up to date, which lag one step behind.
    let tensors = model.valid().collect(None, Some(Box::new(BurnToPyTorchAdapter)), true);
    let data = |tensor: Named| {
        let name = format!("{prefix}{}", tensor.name);
        let data = bridge::into_data(tensor).map_err(|e| broken(path, "weights in memory", &e))?;
        Ok((name, data))
    };
    tensors.into_iter().map(data).collect()
}

fn write(path: &Path, tensors: &[(String, TensorData)], state: &impl Serialize) -> Result<()> {
    let state = serde_json::to_string(state).map_err(|e| broken(path, "a state that is JSON", &e))?;
    // One entry only: more would stand in the file in random order.
    let metadata = HashMap::from([(STATE.to_owned(), state)]);
    let views = tensors.iter().map(|(name, data)| {
        let dtype = match data.dtype() {
            DType::U32 => Dtype::U32,
            _ => Dtype::F32,
        };
        let view = TensorView::new(dtype, data.shape().to_vec(), data.as_bytes());
        view.map(|view| (name.as_str(), view)).map_err(|e| broken(path, "float32 tensors", &e))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| broken(path, "safetensors", &e))?;
    output::atomically(path, |file| file.write_all(&bytes))
}

/// Leaves the weights of a finished training alone, a third of the file or less; it cannot go on then.
///
/// # Errors
/// As [`Checkpoint::read`], [`Kind::Io`].
pub fn forget_optimiser(path: &Path) -> Result<()> {
    let checkpoint = Checkpoint::read(path)?;
    let state: serde_json::Value = checkpoint.state()?;
    let weights = checkpoint.tensors.into_iter().filter(|(name, _)| !name.starts_with(OPTIMISER));
    write(path, &weights.collect::<Vec<_>>(), &state)
}

/// A checkpoint read whole into memory.
pub struct Checkpoint {
    path: std::path::PathBuf,
    /// CRC-32C of the file, to tell checkpoints apart.
    pub checksum: u32,
    state: Option<String>,
    tensors: BTreeMap<String, TensorData>,
}

impl Checkpoint {
    /// # Errors
    /// [`Kind::Io`], [`Kind::Checkpoint`] for what is no safetensors file of float32 tensors.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read it", &e))?;
        let (_, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|e| broken(path, "a safetensors file", &e))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(path, "a safetensors file", &e))?;
        let state = metadata.metadata().as_ref().and_then(|m| m.get(STATE)).cloned();
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            tensors.insert(name.to_owned(), tensor_data(path, name, &view)?);
        }
        Ok(Self { path: path.to_path_buf(), checksum: crc32c::crc32c(&bytes), state, tensors })
    }

    /// The state that was saved as `state`.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] where there is none, or one of another version.
    pub fn state<S: DeserializeOwned>(&self) -> Result<S> {
        let text = self.state.as_deref().ok_or_else(|| {
            Error::new(
                &self.path,
                Kind::Checkpoint,
                "a checkpoint that PolyCL wrote",
                "no training state in it",
            )
        })?;
        serde_json::from_str(text)
            .map_err(|e| broken(&self.path, "a training state that this version knows", &e))
    }

    /// Puts the values of each filter of the encoder, and of a decoder, into a random order of `seed`. Their norm and mean
    /// stay, as do biases and what belongs to batch norm.
    pub fn shuffle(&mut self, seed: u64) {
        let parts = ["encoder.", "decoder."];
        let within = |name: &str| parts.iter().any(|part| name.starts_with(part));
        for (number, (_, weights)) in self.tensors.iter_mut().filter(|(name, _)| within(name)).enumerate() {
            let Ok(mut values) = weights.try_to_vec::<f32>() else { continue };
            let filter = weights.shape().iter().skip(1).product::<usize>().max(1);
            // No round has this number.
            let mut rng = rng(seed, Purpose::Shuffle, [u64::MAX, number as u64]);
            values.chunks_exact_mut(filter).for_each(|filter| filter.shuffle(&mut rng));
            *weights = TensorData::new(values, weights.shape().clone());
        }
    }

    /// The same for a network that sees so many maps, of which the file's sees the first: the others begin with weights of 0.
    #[must_use]
    pub fn seeing(mut self, inputs: usize) -> Self {
        // Only the convolution that sees the image has one channel to sum over.
        let first = |(name, data): &(&String, &mut TensorData)| {
            name.starts_with("encoder.") && matches!(data.shape()[..], [_, 1, _, _])
        };
        if let Some((_, weights)) = self.tensors.iter_mut().find(first).filter(|_| inputs > 1)
            && let (&[outputs, _, height, width], Ok(values)) =
                (&weights.shape()[..], weights.try_to_vec::<f32>())
        {
            let mut wider = Vec::with_capacity(values.len() * inputs);
            for kernel in values.chunks_exact(height * width) {
                wider.extend_from_slice(kernel);
                wider.resize(wider.len() + (inputs - 1) * kernel.len(), 0.0);
            }
            *weights = TensorData::new(wider, [outputs, inputs, height, width]);
        }
        self
    }

    /// Fills every tensor of `model`.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] for a missing, an unused or a misshapen tensor.
    pub fn load<M: Module>(&self, model: &mut M) -> Result<()> {
        self.fill(model, |name| (!name.starts_with(OPTIMISER)).then_some(name), |_| true)
    }

    /// Fills every tensor of `model` with the weights as they were trained, of which [`Self::load`] gives the
    /// running mean.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_trained<M: Module>(&self, model: &mut M) -> Result<()> {
        self.fill(model, |name| name.strip_prefix(TRAINED), |_| true)
    }

    /// Fills what lies under `prefix` (`"encoder."`) in `model` from the same names in the file,
    /// as strictly; what lies elsewhere, in either, is left alone.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_part<M: Module>(&self, model: &mut M, prefix: &str) -> Result<()> {
        let below = |name: &str| name.starts_with(prefix);
        self.fill(model, |name| below(name).then_some(name), below)
    }

    /// Fills the tensors of `model` that are `wanted` from those of the file that `called` gives their names.
    fn fill<M: Module>(
        &self,
        model: &mut M,
        called: impl Fn(&str) -> Option<&str>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let weights = self.tensors.iter().filter_map(|(name, data)| Some((called(name)?, data)));
        let named: Vec<Named> =
            weights.map(|(name, data)| bridge::from_data(data.clone(), name.to_owned(), None)).collect();
        let result = model.apply(named, None, Some(Box::new(PyTorchToBurnAdapter)), true);
        let refused = |expected: &str, found: String| {
            Err(Error::new(&self.path, Kind::Checkpoint, expected, found)
                .hint("compare --net and the number of organs: the file belongs to another network"))
        };
        match result.errors.first() {
            Some(ApplyError::ShapeMismatch { path, expected, found }) => {
                let (expected, found) = (expected.to_vec(), found.to_vec());
                return refused(&format!("'{path}' of shape {expected:?}"), format!("{found:?}"));
            }
            Some(error) => return refused("tensors that fit this network", error.to_string()),
            None => {}
        }
        if let Some((name, _)) = result.missing.iter().find(|(name, _)| wanted(name)) {
            return refused("every tensor of this network", format!("no '{name}'"));
        }
        if let Some(name) = result.unused.first() {
            return refused("no tensor but this network's", format!("'{name}'"));
        }
        Ok(())
    }

    /// The optimiser as it was saved; empty where none was.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] where only a part of it is there.
    pub fn optimiser(&self, device: &Device) -> Result<Adam> {
        let mut moments = BTreeMap::new();
        for key in self.tensors.keys() {
            let Some(name) = key.strip_prefix(OPTIMISER).and_then(|key| key.strip_prefix("steps.")) else {
                continue;
            };
            let part = |part: &str| {
                let key = format!("{OPTIMISER}{part}.{name}");
                self.tensors.get(&key).ok_or_else(|| {
                    Error::new(&self.path, Kind::Checkpoint, format!("'{key}'"), "no such tensor")
                })
            };
            let steps = part("steps")?.clone().try_into_vec::<u32>().ok().and_then(|v| v.first().copied());
            let steps = steps.ok_or_else(|| broken(&self.path, "whole steps", &"another type"))?;
            let first = Tensor::from_data(part("first")?.clone(), device);
            let second = Tensor::from_data(part("second")?.clone(), device);
            moments.insert(name.to_owned(), Moments { steps, first, second });
        }
        Ok(Adam { moments })
    }
}

fn tensor_data(path: &Path, name: &str, view: &TensorView<'_>) -> Result<TensorData> {
    let words = view.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
    match view.dtype() {
        Dtype::F32 => Ok(TensorData::new(words.map(f32::from_le_bytes).collect(), view.shape())),
        Dtype::U32 => Ok(TensorData::new(words.map(u32::from_le_bytes).collect(), view.shape())),
        other => {
            let found = format!("'{name}' of type {other:?}");
            Err(Error::new(path, Kind::Checkpoint, "float32 tensors", found))
        }
    }
}

fn broken(path: &Path, expected: &str, found: &dyn std::fmt::Display) -> Error {
    Error::new(path, Kind::Checkpoint, expected, found.to_string())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Tolerance};

    use super::*;
    use crate::net::{EncoderConfig, Map, Net, SegmenterConfig};

    #[test]
    fn shuffled_filters_keep_their_values_and_lose_their_order() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let config = EncoderConfig { widths: [2, 4, 4, 4, 4], ..EncoderConfig::published(Net::Unet) };
        save(&path, &SegmenterConfig { encoder: config, organs: 1, overlap: false }.init(&device), None, &())
            .unwrap();
        let (before, mut after) = (Checkpoint::read(&path).unwrap(), Checkpoint::read(&path).unwrap());
        after.shuffle(3);
        for (name, weights) in &before.tensors {
            let (old, new) =
                (weights.as_slice::<f32>().unwrap(), after.tensors[name].as_slice::<f32>().unwrap());
            let filter = weights.shape().iter().skip(1).product();
            for (old, new) in old.chunks_exact(filter).zip(new.chunks_exact(filter)) {
                // A filter of few values may keep its order.
                assert!(old != new || filter < 9, "{name}");
                let sorted = |values: &[f32]| {
                    let mut values = values.to_vec();
                    values.sort_unstable_by(f32::total_cmp);
                    values
                };
                assert_eq!(sorted(old), sorted(new), "{name}");
            }
        }
    }

    #[test]
    fn maps_that_an_encoder_has_not_seen_change_nothing_at_first() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        for net in [Net::Unet, Net::Resnet18] {
            let of = |inputs| {
                let widths = [2, 4, 4, 4, 4];
                let encoder = EncoderConfig { widths, inputs, ..EncoderConfig::published(net) };
                SegmenterConfig { encoder, organs: 1, overlap: false }
            };
            let narrow = of(1).init(&device);
            save(&path, &narrow, None, &()).unwrap();
            let mut wide = of(3).init(&device);
            let checkpoint = Checkpoint::read(&path).unwrap();
            assert_eq!(checkpoint.load_part(&mut wide, "encoder.").unwrap_err().kind, Kind::Checkpoint);
            checkpoint.seeing(3).load_part(&mut wide, "encoder.").unwrap();
            let images = Tensor::<4>::random([2, 3, 32, 32], Distribution::Default, &device);
            let first = images.clone().narrow(1, 0, 1);
            let deepest = |maps: Vec<Map>| maps.last().unwrap().to_nchw().into_data();
            let (told, image) = (wide.encoder.features(images), narrow.encoder.features(first));
            deepest(told).assert_approx_eq::<f32>(&deepest(image), Tolerance::absolute(1e-5));
        }
    }
}
