//! Tensors in the files of others, and no framework to put them in: safetensors, and PyTorch's checkpoints, whose pickle
//! is read as data.

mod convert;
mod pickle;
mod raw_tensor;
mod tensors;
pub mod torch;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use polycl_base::{Error, Result};

pub use convert::{convert, converted_from};
pub use raw_tensor::RawTensor;

/// Reads the tensors of a file: safetensors, or what `torch.save` has written.
///
/// # Errors
/// `Io`, `Truncated`, `Checkpoint`.
pub fn read(path: &Path) -> Result<BTreeMap<String, RawTensor>> {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    read.map_err(|e| Error::io(path, "read it", &e))?;
    // Old checkpoints are no zip files; the reader says what can be done about it.
    let named = path.extension().is_some_and(|ending| ending == "pth" || ending == "pt");
    if named || &start == b"PK\x03\x04" { torch::read(path) } else { tensors::read(path) }
}
