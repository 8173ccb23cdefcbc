//! The checks before an object is made, and its writing.

use std::io;
use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::TransferSyntax;
use polycl_base::{Error, Kind, Result, output};
use sha2::{Digest, Sha256};

use super::element::text;
use super::source::Source;
use super::uid::uid;
use crate::Mask;

/// Says which program wrote a file; made once for PolyCL.
const IMPLEMENTATION: &str = "2.25.175555863393219886427282346622615022478";
const IMPLEMENTATION_VERSION: &str = concat!("POLYCL_", env!("CARGO_PKG_VERSION"));

/// Refuses a mask that does not lie on the voxels of its series, and a series without an instance for each slice.
pub(in crate::dicom) fn check(path: &Path, source: &Source, mask: &Mask) -> Result<()> {
    let geometry = |expected: String, found: String| Error::new(path, Kind::Geometry, expected, found);
    if let Some((expected, found)) = source.space.disagreement(&mask.space) {
        return Err(geometry(format!("a mask with {expected} of the series"), found)
            .hint("resample the mask onto the voxels of its series: the object refers to their slices"));
    }
    let (slices, instances) = (source.space.shape[2], source.instances.len());
    if slices != instances {
        let expected = format!("one DICOM instance for each of {slices} slices");
        return Err(geometry(expected, instances.to_string())
            .hint("give the series whole, or write the mask as NIfTI instead"));
    }
    Ok(())
}

/// Gives the object its own identity and writes it.
pub(in crate::dicom) fn save(
    path: &Path,
    mut object: InMemDicomObject,
    syntax: &TransferSyntax,
) -> Result<()> {
    let failed =
        |error: &dyn std::error::Error| Error::io(path, "write it", &io::Error::other(error.to_string()));
    let mut hash = Sha256::new();
    object.write_dataset_with_ts(&mut hash, syntax).map_err(|e| failed(&e))?;
    let content = hash.finalize();
    text(&mut object, tags::SOP_INSTANCE_UID, VR::UI, uid(&content, "instance"));
    text(&mut object, tags::SERIES_INSTANCE_UID, VR::UI, uid(&content, "series"));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(syntax.uid())
        .implementation_class_uid(IMPLEMENTATION)
        .implementation_version_name(IMPLEMENTATION_VERSION);
    let file = object.with_meta(meta).map_err(|e| failed(&e))?;
    output::atomically(path, |to| file.write_all(to).map_err(io::Error::other))
}
