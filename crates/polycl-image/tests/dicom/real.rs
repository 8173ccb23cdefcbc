//! Real files: every one under the folder that `POLYCL_DICOM_FILES` names is read, or refused with a reason.
//! Made for PyPI's `pydicom-data` and the test files that pydicom brings.

use std::path::{Path, PathBuf};

use polycl_image::dicom::{choose, find};

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, all) } else { all.push(path) }
    }
}

#[test]
fn every_real_file_is_read_or_refused() {
    let Ok(folder) = std::env::var("POLYCL_DICOM_FILES") else {
        eprintln!("skipped: POLYCL_DICOM_FILES names no folder of DICOM files");
        return;
    };
    let mut all = Vec::new();
    files(Path::new(&folder), &mut all);
    let mut read = 0;
    for path in &all {
        let found = find(path).unwrap();
        match choose(&found, path, None).and_then(|series| series.read()) {
            Ok(image) => {
                assert_eq!(image.voxels.len(), image.space.voxels(), "{}", path.display());
                read += 1;
            }
            Err(error) => assert!(error.hint.is_some(), "no hint: {error}"),
        }
    }
    eprintln!("{read} of {} files read", all.len());
    assert!(read > 0);
}
