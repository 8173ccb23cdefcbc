//! Formats are told by names.

use std::path::Path;

use polycl_base::Kind;
use polycl_image::files::{Format, case_name, entries, is_scan, read_image};
use polycl_image::nifti;

#[test]
fn case_names() {
    let name = |path: &str| case_name(Path::new(path));
    for path in ["a/scan.nii", "scan.NII.GZ", "scan.nrrd", "scan.Nhdr", "scan.mha", "scan.mhd", "b/scan.npz"]
    {
        assert_eq!(name(path).as_deref(), Some("scan"), "{path}");
    }
    for other in ["._scan.mha", ".scan.nrrd", ".npz", "scan.raw", "scan.gz", "scan.nrrd.txt", "scan.npy", "/"]
    {
        assert!(!is_scan(Path::new(other)), "{other}");
    }
    assert_eq!(Format::of(Path::new("a.b.MHD")).unwrap(), Format::MetaImage);
    assert_eq!(Format::of(Path::new("a.nii.gz")).unwrap(), Format::Nifti);
    assert!(!nifti::is_nifti(Path::new("scan.mha")));
}

#[test]
fn unknown_ending() {
    let error = read_image(Path::new("scan.jpg")).unwrap_err();
    assert_eq!(error.kind, Kind::Format);
    insta::assert_snapshot!(error);
}

#[test]
fn listed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.mha", "a.nrrd", "._a.nrrd", "notes.txt"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let scans: Vec<_> = entries(folder.path()).unwrap().iter().filter_map(|path| case_name(path)).collect();
    assert_eq!(scans, ["a", "b"]);
}

#[cfg(unix)]
#[test]
fn names_in_other_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.mha")), "").unwrap();
    let error = entries(folder.path()).unwrap_err();
    assert_eq!((error.kind, error.expected.as_str()), (Kind::Format, "a file name in UTF-8"));
}
