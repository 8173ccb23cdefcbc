//! Weights of networks that others have trained: tensors by name, read strictly.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use polycl_base::{Error, Kind, Result};
pub use polycl_weights::{RawTensor, read};

/// The tensors of a file, each of which is taken once. Whatever a network takes must be there in
/// the shape it expects, and nothing may be left over.
pub struct Weights {
    path: PathBuf,
    tensors: BTreeMap<String, RawTensor>,
    device: Device,
}

impl Weights {
    pub fn new(path: &Path, tensors: BTreeMap<String, RawTensor>, device: &Device) -> Self {
        Self { path: path.to_path_buf(), tensors, device: device.clone() }
    }

    /// Tells these tensors from others: CRC-32C of names, shapes and values.
    pub fn checksum(&self) -> u32 {
        self.tensors.iter().fold(0, |checksum, (name, tensor)| {
            let checksum = crc32c::crc32c_append(checksum, format!("{name}{:?}", tensor.shape).as_bytes());
            tensor.values.chunks(1 << 12).fold(checksum, |checksum, values| {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                crc32c::crc32c_append(checksum, &bytes)
            })
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shape of a tensor that has not been taken yet.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// # Errors
    /// [`Kind::Checkpoint`] for an absent or misshapen tensor.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let wrong = |found: String| {
            Error::new(&self.path, Kind::Checkpoint, format!("'{name}' of shape {shape:?}"), found)
                .hint("give the weights of this network: the file belongs to another one, or is not complete")
        };
        match self.tensors.remove(name) {
            Some(tensor) if tensor.shape == shape => Ok(tensor.values),
            Some(tensor) => Err(wrong(format!("{:?}", tensor.shape))),
            None => Err(wrong("no such tensor".to_owned())),
        }
    }

    /// # Errors
    /// As [`Self::values`].
    pub fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>> {
        let values = self.values(name, &shape)?;
        Ok(self.upload(values, shape))
    }

    /// Values on the network's device.
    pub fn upload<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// # Errors
    /// [`Kind::Checkpoint`] where a tensor has not been taken.
    pub fn finish(self) -> Result<()> {
        let Some(name) = self.tensors.keys().next() else { return Ok(()) };
        let others = self.tensors.len() - 1;
        let found = if others == 0 { format!("'{name}'") } else { format!("'{name}' and {others} more") };
        Err(Error::new(&self.path, Kind::Checkpoint, "no tensor but this network's", found)
            .hint("give the weights of this network: the file belongs to another one"))
    }
}

/// Which of the networks that the tensors of a file fit they belong to: `wanted`, if it is one of several
/// that are alike. `any` is what all known ones are, and `differ` what those that are alike differ in.
///
/// # Errors
/// [`Kind::Checkpoint`] where they fit none or another, [`Kind::Request`] where they fit several and none
/// was named.
pub fn choose<M: Copy + PartialEq + fmt::Display>(
    weights: &Weights,
    fitting: &[M],
    wanted: Option<M>,
    any: &str,
    differ: &str,
) -> Result<M> {
    let fit = fitting.iter().map(M::to_string).collect::<Vec<_>>().join(" or ");
    let wrong = |kind, expected: String, found: String| Error::new(weights.path(), kind, expected, found);
    match (fitting, wanted) {
        ([], _) => {
            let expected = wanted.map_or_else(|| any.to_owned(), |wanted| wanted.to_string());
            let found = "tensors of another network".to_owned();
            Err(wrong(Kind::Checkpoint, format!("the tensors of {expected}"), found)
                .hint("give an official checkpoint, or safetensors with its tensor names"))
        }
        (fitting, Some(wanted)) if fitting.contains(&wanted) => Ok(wanted),
        (fitting, Some(wanted)) => {
            Err(wrong(Kind::Checkpoint, format!("the tensors of {wanted}"), format!("tensors of {fit}"))
                .hint(format!("name it with --model {}", fitting[0])))
        }
        (&[model], None) => Ok(model),
        _ => {
            let found = format!("tensors that fit {fit}");
            Err(wrong(Kind::Request, "the name of the network".to_owned(), found)
                .hint(format!("name the network with --model: these differ in {differ}")))
        }
    }
}
