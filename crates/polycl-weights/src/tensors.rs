//! Tensors of safetensors files, whatever their names.

use std::collections::BTreeMap;
use std::path::Path;

use polycl_base::{Error, Kind, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::raw_tensor::RawTensor;
use super::torch::{Format, room};

/// # Errors
/// [`Kind::Io`], [`Kind::Checkpoint`] for what is no such file, or holds other numbers than those that
/// become float32.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, RawTensor>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read it", &e))?;
    let broken = |found: String| {
        Error::new(path, Kind::Checkpoint, "a safetensors file of real numbers", found)
            .hint("give an official checkpoint (.pth, .pt), or safetensors with its tensor names")
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(e.to_string()).because(e))?;
    let tensor = |(name, view): (&str, TensorView<'_>)| {
        let format = match view.dtype() {
            Dtype::F64 => Format::F64,
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::Bf16,
            Dtype::I64 => Format::I64,
            Dtype::I32 => Format::I32,
            Dtype::U8 | Dtype::BOOL => Format::U8,
            other => return Err(broken(format!("'{name}' of type {other:?}"))),
        };
        let numbers = view.data().chunks_exact(format.width());
        let mut values = room(path, numbers.len())?;
        values.extend(numbers.map(|bytes| format.value(bytes)));
        Ok((name.to_owned(), RawTensor { shape: view.shape().to_vec(), values }))
    };
    // In one order, so that the same file always gives the same error.
    let sorted: BTreeMap<&str, _> = file.iter().collect();
    sorted.into_iter().map(tensor).collect()
}
