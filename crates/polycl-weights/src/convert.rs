//! From PyTorch's checkpoints to safetensors, once.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use polycl_base::{Error, Kind, Result, output};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::torch;

/// The key of the metadata that says what a file was converted from.
const SOURCE: &str = "converted_from";

/// Reads a PyTorch checkpoint and writes its tensors, all as float32, to a safetensors file that
/// remembers `source`. Returns how many there are.
///
/// # Errors
/// As [`torch::read`], and [`Kind::Io`] for what cannot be written.
pub fn convert(from: &Path, to: &Path, source: &str) -> Result<usize> {
    let tensors = torch::read(from)?;
    let failed =
        |e: safetensors::SafeTensorError| Error::caused(from, Kind::Checkpoint, "tensors for safetensors", e);
    let bytes: Vec<(&String, &[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, tensor.shape.as_slice(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        TensorView::new(Dtype::F32, shape.to_vec(), bytes).map(|view| (*name, view)).map_err(failed)
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([(SOURCE.to_owned(), source.to_owned())]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(failed)?;
    output::atomically(to, |out| out.write_all(&file))?;
    Ok(tensors.len())
}

/// The `source` of a file that [`convert`] wrote; `None` for any other file.
#[must_use]
pub fn converted_from(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    SafeTensors::deserialize(&bytes).ok()?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).ok()?;
    metadata.metadata().as_ref()?.get(SOURCE).cloned()
}
