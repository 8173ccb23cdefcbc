//! Damaged files: whatever the damage, an error or an image, in memory proportional to the file.

use std::path::Path;

use polycl_base::{Error, Kind, Result};
use polycl_fixtures::dicom::{FILES, unpack};
use polycl_image::Image;
use polycl_image::dicom::{choose, find};

fn read(path: &Path) -> Result<Image> {
    let found = find(path)?;
    choose(&found, path, None)?.read()
}

/// One file of a case.
fn file(case: &str) -> Vec<u8> {
    let mut files = FILES.iter().filter(|(name, _)| name.starts_with(&format!("{case}/")));
    files.next().unwrap().1.clone()
}

fn read_bytes(bytes: &[u8]) -> Result<Image> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one");
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

fn refused(bytes: &[u8]) -> Error {
    let error = read_bytes(bytes).expect_err("the file must be refused");
    assert!(error.hint.is_some(), "no hint: {error}");
    error
}

/// Where an element's header begins, by its tag in little endian.
fn at(bytes: &[u8], tag: (u16, u16)) -> usize {
    let wanted = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.windows(4).position(|four| four == wanted).unwrap()
}

#[test]
fn a_file_that_breaks_off_is_refused_wherever() {
    for case in
        ["axial", "rle", "jpeg_lossless_sv1", "jpeg_2000", "jpeg_ls", "enhanced", "deflated", "implicit"]
    {
        let whole = file(case);
        let single = read_bytes(&whole).unwrap();
        for n in (0..whole.len()).step_by(7).chain(whole.len() - 40..whole.len()) {
            // The last bytes may be padding, or the mark behind the last fragment.
            if let Ok(image) = read_bytes(&whole[..n]) {
                assert_eq!(image.voxels, single.voxels, "{case}: {n} of {} bytes", whole.len());
            }
        }
    }
}

#[test]
fn lengths_that_lie() {
    let mut bytes = file("axial");
    let private = at(&bytes, (9, 0x1001));
    bytes[private + 8..private + 12].copy_from_slice(&0xFFFF_FFF0u32.to_le_bytes());
    let error = refused(&bytes);
    assert_eq!(error.kind, Kind::Format);
    assert!(error.found.starts_with("4294967280 bytes of (0009,1001), of which"), "{error}");
    let mut bytes = file("implicit");
    let rows = at(&bytes, (0x28, 0x10));
    bytes[rows + 4..rows + 8].copy_from_slice(&0xFFFF_FFF0u32.to_le_bytes());
    assert_eq!(refused(&bytes).kind, Kind::Format);
    let mut bytes = file("axial");
    let pixels = at(&bytes, (0x7FE0, 0x10));
    bytes[pixels + 8..pixels + 12].copy_from_slice(&0xFFFF_FFF0u32.to_le_bytes());
    assert!(read_bytes(&bytes).is_ok(), "all of the image is there");
}

#[test]
fn sizes_that_lie() {
    for case in ["axial", "rle", "jpeg_lossless_sv1", "jpeg_2000", "jpeg_ls"] {
        let mut bytes = file(case);
        for tag in [(0x28, 0x10), (0x28, 0x11)] {
            let side = at(&bytes, tag);
            bytes[side + 8..side + 10].copy_from_slice(&65_535u16.to_le_bytes());
        }
        refused(&bytes);
    }
    let mut bytes = file("enhanced");
    let frames = at(&bytes, (0x28, 8));
    bytes[frames + 8..frames + 10].copy_from_slice(b"99");
    refused(&bytes);
}

#[test]
fn sequences_without_end() {
    let whole = file("axial");
    let before = at(&whole, (0x18, 0x50));
    let open: &[u8] = &[
        8, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF,
        0xFF,
    ];
    let deep = [&whole[..before], &open.repeat(200_000), &whole[before..]].concat();
    assert_eq!(refused(&deep).found, "more than 64 sequences within each other");
}

/// Every byte of the header and every byte of the pixels changed: never a crash.
#[test]
fn changed_bytes() {
    for case in [
        "axial",
        "rle",
        "jpeg_lossless_1",
        "jpeg_2000",
        "jpeg_ls",
        "jpeg_baseline",
        "enhanced_rle",
        "deflated",
        "big_endian",
    ] {
        let whole = file(case);
        for n in (128..whole.len()).step_by(5) {
            for change in [0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[n] ^= change;
                let _ = read_bytes(&bytes);
            }
        }
    }
}

#[test]
fn a_damaged_slice_beside_a_series_is_told_of() {
    let folder = unpack("axial");
    std::fs::write(folder.path().join("d0/half"), &file("axial")[..300]).unwrap();
    let found = find(folder.path()).unwrap();
    assert_eq!(found.damaged.len(), 1);
    assert_eq!(found.series[0].notes(), ["1 damaged DICOM file beside it: slices of it may be missing"]);
}
