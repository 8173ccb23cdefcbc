//! The DICOM objects under a path.

use std::collections::BTreeMap;

use polycl_base::{Error, Result};

use super::series::Series;
use super::structures::Structures;

pub(super) const NO_DICOM: &str = "files that are no DICOM";
pub(super) const EMPTY: &str = "empty files";

/// The series under a path, and what else is there.
#[derive(Debug)]
pub struct Found {
    /// Image series, sorted by UID.
    pub series: Vec<Series>,
    /// Files that were passed over, and how many files of it.
    pub others: BTreeMap<String, usize>,
    /// Segmentations and contours, which are among the others as well, by their files; errors of those that cannot be used.
    pub structures: Vec<Result<Structures>>,
    /// DICOM files whose headers cannot be read: no one knows which series they are of.
    pub damaged: Vec<Error>,
}

impl Found {
    /// True where any of the files is DICOM, if only one that holds no scan.
    pub fn is_dicom(&self) -> bool {
        let other = |reason: &String| ![NO_DICOM, EMPTY].contains(&reason.as_str());
        !self.series.is_empty() || !self.damaged.is_empty() || self.others.keys().any(other)
    }
}
