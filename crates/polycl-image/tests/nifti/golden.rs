//! What nibabel makes of the same files; `reference/nifti/make.py` wrote both.

use std::collections::BTreeMap;

use polycl_image::files::Reading;
use polycl_image::nifti::{case_name, read_image, read_mask, read_space};
use polycl_image::orient::orientation_code;
use serde::Deserialize;

use crate::reference;

#[derive(Deserialize)]
pub struct Expected {
    pub shape: [usize; 3],
    affine_mm: [[f64; 4]; 3],
    axcodes: String,
    qform_code: i16,
    sform_code: i16,
    pixdim: [f32; 8],
    xyzt_units: u8,
    sum: f64,
    voxels: Vec<(usize, usize, usize, f64)>,
}

pub fn expected() -> BTreeMap<String, Expected> {
    let text = std::fs::read_to_string(reference().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn geometry_as_nibabel() {
    let expected = expected();
    assert!(expected.len() >= 40);
    for (name, expected) in expected {
        let space = read_space(&reference().join(&name)).unwrap();
        assert_eq!(space.shape, expected.shape, "{name}");
        assert_eq!(orientation_code(&space), expected.axcodes, "{name}");
        let columns = space.world_from_voxel.to_cols_array_2d();
        for (r, row) in expected.affine_mm.iter().enumerate() {
            for (c, theirs) in row.iter().enumerate() {
                let close = (columns[c][r] - theirs).abs() <= 1e-9 * theirs.abs().max(1.0);
                assert!(close, "{name}: affine [{r}, {c}] is {} and should be {theirs}", columns[c][r]);
            }
        }
        let native = space.native.unwrap();
        assert_eq!(
            (native.qform_code, native.sform_code),
            (expected.qform_code, expected.sform_code),
            "{name}"
        );
        assert_eq!(
            (native.pixdim.map(|x| x as f32), native.xyzt_units),
            (expected.pixdim, expected.xyzt_units),
            "{name}"
        );
    }
}

#[test]
fn voxels_as_nibabel() {
    for (name, expected) in expected() {
        let image = read_image(&reference().join(&name)).unwrap();
        let [nx, ny, _] = image.space.shape;
        for (i, j, k, value) in expected.voxels {
            assert_eq!(image.voxels[i + nx * (j + ny * k)], value as f32, "{name} at {i} {j} {k}");
        }
        let sum: f64 = image.voxels.iter().map(|&v| f64::from(v)).sum();
        assert!((sum - expected.sum).abs() <= 1e-6 * expected.sum.abs().max(1.0), "{name}: {sum}");
    }
}

/// Labels stored as multiples of 5 with slope 0.2, which f32 cannot hold.
#[test]
fn scaled_labels() {
    let name = "slope_mask.nii.gz";
    let mask = read_mask(&reference().join(name)).unwrap();
    assert_eq!(case_name(&reference().join(name)).as_deref(), Some("slope_mask"));
    let sum: u32 = mask.voxels.iter().map(|&label| u32::from(label)).sum();
    assert!((f64::from(sum) - expected()[name].sum).abs() < 0.1);
}

/// Labels that nibabel scaled onto the range of their type: 1 became 0.988.
#[test]
fn labels_that_a_program_kept_as_fractions_are_rounded() {
    let name = "scaled_labels.nii.gz";
    let path = reference().join(name);
    let mask = read_mask(&path).unwrap();
    let [nx, ny, _] = mask.space.shape;
    for &(i, j, k, value) in &expected()[name].voxels {
        // The generator holds the nearest whole number to what it wrote.
        assert_eq!(f64::from(mask.voxels[i + nx * (j + ny * k)]), value.round(), "{i} {j} {k}");
    }
    let told = Reading::default().notes_of_mask(&path).unwrap();
    assert_eq!(
        told,
        ["its header scales labels by 0.027450980618596077, and labels are rounded to whole numbers"]
    );
    assert_eq!(Reading::default().notes_of_mask(&reference().join("slope_mask.nii.gz")).unwrap().len(), 1);
}
