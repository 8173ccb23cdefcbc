//! A data set, and any masks of its scans, for other programs.

use std::path::PathBuf;

use polycl_base::{Result, Watch};
use polycl_data::{Dataset, Export, Exported};
use polycl_image::dicom::structures::Storage;
use serde::{Deserialize, Serialize};

/// The files that are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// nnU-Net's raw data.
    #[default]
    Nnunet,
    /// A DICOM segmentation for each series.
    DicomSeg,
    /// An RTSTRUCT for each series.
    Rtstruct,
}

/// A data set to write for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub dataset: PathBuf,
    #[serde(default)]
    pub layout: Layout,
    /// Organs to write, as labels 1, 2, ...; all without any.
    pub organs: Vec<String>,
    /// Folder of masks for scans that have none in the data set.
    pub masks: Option<PathBuf>,
    pub out: PathBuf,
}

/// # Errors
/// As [`Dataset::open`], [`Export::write`] and [`Export::write_objects`].
pub fn run(request: &Request, watch: &dyn Watch) -> Result<Exported> {
    let dataset = Dataset::open(&request.dataset)?;
    let organs = request.organs.clone();
    let export = Export { dataset: &dataset, organs, masks: request.masks.as_deref() };
    match request.layout {
        Layout::Nnunet => export.write(&request.out, watch),
        Layout::DicomSeg => export.write_objects(Storage::Segmentation, &request.out, watch),
        Layout::Rtstruct => export.write_objects(Storage::Contours, &request.out, watch),
    }
}
