//! Scans in every format: what we read against other programs, and what we refuse.

mod builders;
mod golden;
mod mutations;
mod names;
mod real;
mod refusals;
mod writing;

use std::path::{Path, PathBuf};

/// The folder of the small files that `make.py` wrote.
fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/formats")
}
