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

use std::path::Path;

pub use crate::native::{Form, Geometry};
pub(crate) use read::{head, volume};
pub use read::{image_from_bytes, read_image, read_image_hashed, read_mask, read_mask_hashed, read_space};
pub use write::{copy_compressed, write_ct, write_image, write_mask};

/// The file's name without `.nii` or `.nii.gz` (in any letter case); `None` for every other file
/// and for hidden ones, such as the `._` twins that macOS leaves on foreign disks.
pub fn case_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let lower = name.to_ascii_lowercase();
    let ending = [".nii.gz", ".nii"].into_iter().find(|ending| lower.ends_with(ending))?;
    let case = &name[..name.len() - ending.len()];
    (!case.is_empty() && !case.starts_with('.')).then(|| case.to_owned())
}

/// True if the file's name is that of a NIfTI image.
pub fn is_nifti(path: &Path) -> bool {
    case_name(path).is_some()
}

/// True if the file's name asks for gzip.
fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}
