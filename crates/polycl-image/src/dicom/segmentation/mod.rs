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

mod frames;
mod grid;
mod header;
pub(in crate::dicom) mod read;
mod segments;

use std::path::Path;

use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use polycl_base::Result;

pub use super::write::{Automation, How, Source};
use super::write::{save, shown};
use crate::Mask;
use crate::names::Names;
use grid::Grid;

/// Writes all labels of `mask` that have voxels; one without a name in `names` is called `label 7`.
///
/// # Errors
/// [`Kind::Geometry`](polycl_base::Kind::Geometry) where the mask does not lie on the voxels of the series, where their grid is
/// sheared, or where there is not one instance for each slice; [`Kind::Format`](polycl_base::Kind::Format) for a series without
/// the UIDs that a segmentation must repeat; [`Kind::Voxels`](polycl_base::Kind::Voxels) for an empty mask without names;
/// [`Kind::Request`](polycl_base::Kind::Request) for more frames than one object can hold; [`Kind::Io`](polycl_base::Kind::Io).
pub fn write(path: &Path, source: &Source, mask: &Mask, names: &Names, how: &How) -> Result<()> {
    let grid = Grid::new(path, source.space)?;
    save::check(path, source, mask)?;
    let segments = shown::of(path, mask, names)?;
    let mut object = InMemDicomObject::new_empty();
    header::put(&mut object, path, source, how)?;
    segments::put(&mut object, &segments, how);
    frames::put(&mut object, path, source, mask, &segments, &grid)?;
    save::save(path, object, &EXPLICIT_VR_LITTLE_ENDIAN.erased())
}
