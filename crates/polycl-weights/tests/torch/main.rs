//! PyTorch's checkpoints: what torch wrote is read as torch reads it, and nothing in a file is run.

mod hostile;
mod memory;
mod mutations;
mod reference;

use std::path::{Path, PathBuf};

/// The folder of the small files that `make.py` wrote.
fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/torch")
}
