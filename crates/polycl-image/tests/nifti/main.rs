//! NIfTI files: what we read and write against nibabel, and what we refuse.

mod builder;
mod golden;
mod mutations;
mod real;
mod refusals;
mod writing;

use std::path::{Path, PathBuf};

use polycl_image::nifti::{case_name, is_nifti};

/// The folder of the small files that `make.py` wrote.
fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/nifti")
}

/// All NIfTI files in a folder and its subfolders, sorted.
fn nifti_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            files.extend(nifti_files(&entry));
        } else if is_nifti(&entry) {
            files.push(entry);
        }
    }
    files.sort();
    files
}

#[test]
fn case_names() {
    let name = |path: &str| case_name(Path::new(path));
    assert_eq!(name("a/b/scan.nii.gz").as_deref(), Some("scan"));
    assert_eq!(name("scan.v2.nii").as_deref(), Some("scan.v2"));
    assert_eq!(name("SCAN.NII.GZ").as_deref(), Some("SCAN"));
    for other in
        ["._scan.nii.gz", ".scan.nii", ".nii.gz", "scan.gz", "scan.nii.gz.txt", "scan.hdr", "nii", "/"]
    {
        assert_eq!(name(other), None, "{other}");
    }
}
