//! What nibabel, SimpleITK and NumPy read in the same files; `reference/formats/make.py` wrote both.

use std::collections::BTreeMap;

use polycl_image::files::{notes, read_image, read_image_hashed, read_mask, read_space};
use polycl_image::orient::orientation_code;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::reference;

#[derive(Deserialize)]
pub struct Expected {
    shape: [usize; 3],
    affine: [[f64; 4]; 3],
    voxels: Vec<f64>,
}

pub fn expected() -> BTreeMap<String, Expected> {
    let text = std::fs::read_to_string(reference().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn voxels_in_the_same_places() {
    let expected = expected();
    let count = |start: &str| expected.keys().filter(|name| name.starts_with(start)).count();
    let counts = ["nifti2_", "nrrd_", "meta_", "npz_"].map(count);
    assert!(counts.iter().all(|&count| count >= 23), "{counts:?}");
    for (name, expected) in expected {
        let path = reference().join(&name);
        let image = read_image(&path).unwrap();
        assert_eq!(image.space.shape, expected.shape, "{name}");
        let columns = image.space.world_from_voxel.to_cols_array_2d();
        for (r, row) in expected.affine.iter().enumerate() {
            for (c, theirs) in row.iter().enumerate() {
                let close = (columns[c][r] - theirs).abs() <= 1e-9 * theirs.abs().max(1.0);
                assert!(close, "{name}: affine [{r}, {c}] is {} and should be {theirs}", columns[c][r]);
            }
        }
        for (i, (ours, theirs)) in image.voxels.iter().zip(&expected.voxels).enumerate() {
            assert_eq!(*ours, *theirs as f32, "{name}: voxel {i}");
        }
        assert_eq!(image.voxels.len(), image.space.voxels(), "{name}");
        assert_eq!(read_space(&path).unwrap(), image.space, "{name}");
    }
}

#[test]
fn many_orientations() {
    let space = |name: &String| read_space(&reference().join(name)).unwrap();
    for start in ["nifti2_", "nrrd_", "meta_", "npz_"] {
        let expected = expected();
        let names = expected.keys().filter(|name| name.starts_with(start));
        let codes: std::collections::BTreeSet<String> =
            names.map(|name| orientation_code(&space(name))).collect();
        assert!(codes.len() >= 8, "{start}: {codes:?}");
    }
}

/// Of a header and its data file, one behind the other.
#[test]
fn hashes() {
    let pairs: [&[&str]; 5] = [
        &["nifti2_int16_be.nii"],
        &["nrrd_line_skip.nrrd"],
        &["npz_int16_le.npz"],
        &["meta_header.mhd", "meta_header.raw"],
        &["nrrd_detached_gzip.nhdr", "nrrd_detached_gzip.raw.gz"],
    ];
    for names in pairs {
        let bytes: Vec<u8> =
            names.iter().flat_map(|name| std::fs::read(reference().join(name)).unwrap()).collect();
        let expected: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let (image, sha256) = read_image_hashed(&reference().join(names[0])).unwrap();
        assert_eq!(sha256, expected, "{names:?}");
        assert_eq!(image.voxels, read_image(&reference().join(names[0])).unwrap().voxels);
    }
}

#[test]
fn masks_of_archives() {
    let mask = read_mask(&reference().join("npz_mask.npz")).unwrap();
    let labels: Vec<u16> = (0..60).map(|i| u16::from(i % 3 == 0)).collect();
    assert_eq!((mask.space.shape, mask.voxels), ([5, 4, 3], labels));
    let image = read_mask(&reference().join("nrrd_uint8_le.nrrd")).unwrap_err();
    assert!(image.to_string().contains("54 values that change from voxel to voxel"), "{image}");
}

/// What is assumed is said, and nothing of the free text in headers.
#[test]
fn what_is_odd() {
    let mut text = String::new();
    for (name, _) in expected() {
        let notes = notes(&reference().join(&name)).unwrap();
        if !notes.is_empty() && !name.contains("int8_") {
            text += &format!("{name}\n  {}\n", notes.join("\n  "));
        }
    }
    assert!(!text.contains("Jane"));
    insta::assert_snapshot!(text);
    let windowed = notes(&reference().join("npz_uint8_le.npz")).unwrap();
    assert_eq!(windowed, ["voxels of 8 bits: if this is a scan, it was windowed, and its values are no HU"]);
}
