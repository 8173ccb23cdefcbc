//! The contours of `reference/dicom-contours`, which shapely has filled.

use std::path::Path;

use glam::{DAffine3, DVec3};
use polycl_image::Space;
use polycl_image::dicom::structures::Structures;
use polycl_image::files::Reading;

#[derive(serde::Deserialize)]
struct Expected {
    shape: [usize; 3],
    affine: [[f64; 4]; 3],
    /// Bits in hexadecimal, the lowest first.
    rois: std::collections::BTreeMap<String, String>,
}

#[test]
fn contours_cover_what_shapely_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/dicom-contours");
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let Expected { shape, affine, rois } = serde_json::from_str(&text).unwrap();
    let column = |c: usize| DVec3::from_array(affine.map(|row| row[c]));
    let space = Space::new(shape, DAffine3::from_cols(column(0), column(1), column(2), column(3)));
    let object = Structures::open(&folder.join("contours.dcm")).unwrap().unwrap();
    assert_eq!(object.list.len(), rois.len());
    for (value, name) in object.names() {
        let drawn = object.mask(&space, &[(value, name.clone())].into(), Reading::default()).unwrap();
        let hex = &rois[&name];
        let byte = |n: usize| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap();
        let wrong = drawn.mask.voxels.iter().enumerate();
        let wrong = wrong.filter(|(n, voxel)| (byte(n / 8) >> (n % 8) & 1 == 1) != (**voxel == value));
        assert_eq!(wrong.count(), 0, "voxels of {name}");
    }
}
