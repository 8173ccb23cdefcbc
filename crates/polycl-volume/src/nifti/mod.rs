//! NIfTI-1 and NIfTI-2 files, `.nii` and `.nii.gz`, in both byte orders. NIfTI-1 is written, but
//! for what only NIfTI-2 holds.
//!
//! Formats: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h> and
//! <https://nifti.nimh.nih.gov/pub/dist/doc/nifti2.h>. Where the format leaves a
//! choice we follow nibabel, so that both agree on where a voxel lies, but for files in metres or
//! micrometres: nibabel leaves their affines as they are, here all is millimetres. Detached
//! `.hdr`/`.img` pairs are refused with a hint.

mod code;
mod fields;
mod geometry;
mod header;
mod read;
mod write;

use std::path::{Path, PathBuf};

use crate::{Error, Kind, Result};
pub use geometry::Geometry;
pub use read::{image_from_bytes, read_image, read_image_hashed, read_mask, read_mask_hashed, read_space};
pub use write::{write_ct, write_image, write_mask};

/// The file's name without `.nii` or `.nii.gz` (in any letter case); `None` for every other file
/// and for hidden ones, such as the `._` twins that macOS leaves on foreign disks.
pub fn case_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let lower = name.to_ascii_lowercase();
    let ending = [".nii.gz", ".nii"].into_iter().find(|ending| lower.ends_with(ending))?;
    let case = &name[..name.len() - ending.len()];
    (!case.is_empty() && !case.starts_with('.')).then(|| case.to_owned())
}

/// Whether the file's name is that of a NIfTI image.
pub fn is_nifti(path: &Path) -> bool {
    case_name(path).is_some()
}

/// The paths in a folder, sorted.
///
/// # Errors
/// [`Kind::Io`], and [`Kind::Format`] for a NIfTI file whose name is no UTF-8: passed over, a scan
/// would be missed in silence.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| Error::io(folder, "list the folder", &e);
    let paths = std::fs::read_dir(folder).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path()));
    let mut paths = paths.collect::<Result<Vec<_>>>()?;
    paths.sort();
    let unreadable = |path: &&PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_str().is_none() && is_nifti(Path::new(&*name.to_string_lossy())))
    };
    match paths.iter().find(unreadable) {
        Some(path) => {
            Err(Error::new(path, Kind::Format, "a file name in UTF-8", "other bytes").hint("rename the file"))
        }
        None => Ok(paths),
    }
}

/// Whether the file's name asks for gzip.
fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}
