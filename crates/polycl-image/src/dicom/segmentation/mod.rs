//! DICOM Segmentation objects (SEG, binary): a mask as archives and viewers take it, filed under the
//! patient and study of its scan.
//!
//! Every label with voxels is a segment, every slice of it that has voxels a frame. The standard
//! wants segment numbers without gaps, so they count the labels from 1 in ascending order; the
//! label's own value stays in the segment's description (`label 7`). A mask without any voxel is a
//! result, too: it is written as one empty frame for each name, which highdicom, pydicom-seg and
//! 3D Slicer's reader accept; without names there is nothing to write and it is refused.
//!
//! Equal input gives an equal file: dates are the scan's, and the object's own UIDs are hashes of
//! everything else that is in it.

mod codes;
mod element;
mod frames;
mod grid;
mod header;
mod how;
mod segments;
mod source;
mod uid;

use std::io;
use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use polycl_base::{Error, Kind, Result, output};
use sha2::{Digest, Sha256};

use crate::Mask;
use crate::names::Names;
use element::text;
use grid::Grid;
pub use how::{Automation, How};
pub use source::Source;
use uid::uid;

/// Says which program wrote a file; made once for PolyCL.
const IMPLEMENTATION: &str = "2.25.175555863393219886427282346622615022478";
const IMPLEMENTATION_VERSION: &str = concat!("POLYCL_", env!("CARGO_PKG_VERSION"));

/// Writes all labels of `mask` that have voxels; one without a name in `names` is called `label 7`.
///
/// # Errors
/// [`Kind::Geometry`] where the mask does not lie on the voxels of the series, where their grid is
/// sheared, or where there is not one instance for each slice; [`Kind::Format`] for a series without
/// the UIDs that a segmentation must repeat; [`Kind::Voxels`] for an empty mask without names;
/// [`Kind::Request`] for more frames than one object can hold; [`Kind::Io`].
pub fn write(path: &Path, source: &Source, mask: &Mask, names: &Names, how: &How) -> Result<()> {
    let grid = Grid::new(path, source.space)?;
    check(path, source, mask)?;
    let segments = segments::of(mask, names);
    if segments.is_empty() {
        return Err(Error::new(
            path,
            Kind::Voxels,
            "a mask with labels to write",
            "an empty mask and no label names",
        )
        .hint("give the names of the labels: each is then written as an empty segment"));
    }
    let mut object = InMemDicomObject::new_empty();
    header::put(&mut object, path, source, how)?;
    segments::put(&mut object, &segments, how);
    frames::put(&mut object, path, source, mask, &segments, &grid)?;
    save(path, object)
}

fn check(path: &Path, source: &Source, mask: &Mask) -> Result<()> {
    let geometry = |expected: String, found: String| Error::new(path, Kind::Geometry, expected, found);
    if let Some((expected, found)) = source.space.disagreement(&mask.space) {
        return Err(geometry(format!("a mask with {expected} of the series"), found)
            .hint("resample the mask onto the voxels of the series: a segmentation refers to its slices"));
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
fn save(path: &Path, mut object: InMemDicomObject) -> Result<()> {
    let failed =
        |error: &dyn std::error::Error| Error::io(path, "write it", &io::Error::other(error.to_string()));
    let mut hash = Sha256::new();
    object.write_dataset_with_ts(&mut hash, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).map_err(|e| failed(&e))?;
    let content = hash.finalize();
    text(&mut object, tags::SOP_INSTANCE_UID, VR::UI, uid(&content, "instance"));
    text(&mut object, tags::SERIES_INSTANCE_UID, VR::UI, uid(&content, "series"));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(IMPLEMENTATION)
        .implementation_version_name(IMPLEMENTATION_VERSION);
    let file = object.with_meta(meta).map_err(|e| failed(&e))?;
    output::atomically(path, |to| file.write_all(to).map_err(io::Error::other))
}
