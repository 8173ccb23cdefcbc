//! A folder of scans, where no flag says which kind of files is meant: DICOM images in it or below are its scans, and else
//! the files whose endings we know.

use std::path::{Path, PathBuf};

use polycl_base::Result;

use crate::{dicom, files};

/// The scans of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// Files of formats that we know by their endings.
    Files(Vec<PathBuf>),
    /// DICOM slices, here or in folders below; files of other formats are left out: results often lie there, or the same
    /// scan in another format.
    Dicom { left_out: Vec<PathBuf> },
}

impl Folder {
    /// Looks into a folder.
    ///
    /// # Errors
    /// As [`files::entries`].
    pub fn of(folder: &Path) -> Result<Self> {
        let scans = files::scans(folder)?;
        let images = scans.iter().any(|path| !files::is_segmentation(path));
        // What cannot be listed below is nobody's scan.
        let dicom = !images || dicom::find(folder).is_ok_and(|found| !found.series.is_empty());
        Ok(if dicom { Self::Dicom { left_out: scans } } else { Self::Files(scans) })
    }
}

/// A sentence about files of a folder that are left out, since DICOM slices are its scan. Their names often tell patients'.
pub fn left_out(files: &[PathBuf]) -> Option<String> {
    let count = files.len();
    (count > 0).then(|| {
        format!("DICOM slices are the scan; files of other formats beside them are left out: {count}")
    })
}

/// The series of DICOM images in a folder and below.
pub fn series(folder: &Path) -> usize {
    dicom::find(folder).map_or(0, |found| found.series.len())
}
