//! The scan under a mask.

use dicom_object::InMemDicomObject;

use crate::Space;
use crate::dicom::Instance;

/// The series that a mask was drawn on.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The data set of its first slice; pixel data is not needed.
    pub header: &'a InMemDicomObject,
    /// Its slices, in the order of the third axis of `space`.
    pub instances: &'a [Instance],
    /// Where its voxels lie: columns along the first axis, rows along the second.
    pub space: &'a Space,
}
