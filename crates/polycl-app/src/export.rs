//! A data set, and any masks of its scans, for other programs.

use std::path::PathBuf;

use polycl_base::{Result, Watch};
use polycl_data::{Dataset, Export, Exported};
use serde::{Deserialize, Serialize};

/// A data set to write in the layout of nnU-Net's raw data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub dataset: PathBuf,
    /// Organs to write, as labels 1, 2, ...; all without any.
    pub organs: Vec<String>,
    /// Folder of masks for scans that have none in the data set.
    pub masks: Option<PathBuf>,
    pub out: PathBuf,
}

/// # Errors
/// As [`Dataset::open`] and [`Export::write`].
pub fn run(request: &Request, watch: &dyn Watch) -> Result<Exported> {
    let dataset = Dataset::open(&request.dataset)?;
    let organs = request.organs.clone();
    Export { dataset: &dataset, organs, masks: request.masks.as_deref() }.write(&request.out, watch)
}
