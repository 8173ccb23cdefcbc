//! What is written for scans of other formats, and read again.

use glam::{DAffine3, DMat3, DQuat, DVec3};
use polycl_image::files::{case_name, read_image, read_mask, read_space};
use polycl_image::nifti::{write_image, write_mask};
use polycl_image::{Space, Volume};
use proptest::prelude::*;

use crate::golden::expected;
use crate::reference;

/// A mask for each scan lies on its voxels, in NIfTI-1 unless the scan's own NIfTI-2 holds more.
#[test]
fn masks_lie_on_their_images() {
    let folder = tempfile::tempdir().unwrap();
    for name in expected().into_keys() {
        let space = read_space(&reference().join(&name)).unwrap();
        let voxels: Vec<u16> = (0..space.voxels()).map(|i| (i % 7) as u16).collect();
        let path = folder.path().join(format!("{}.nii", case_name(name.as_ref()).unwrap()));
        write_mask(&path, &Volume { space: space.clone(), voxels: voxels.clone() }).unwrap();
        let back = read_mask(&path).unwrap();
        assert_eq!(back.voxels, voxels);
        assert_eq!(space.disagreement(&back.space), None, "{name}");
        let version = if std::fs::read(&path).unwrap().starts_with(&540i32.to_le_bytes()) { 2 } else { 1 };
        let own = name.starts_with("nifti2_");
        assert_eq!(version, if own { 2 } else { 1 }, "{name}");
        if own {
            assert_eq!((&back.space, &back.space.native), (&space, &space.native), "{name}");
        }
    }
}

/// NIfTI-2 holds axes that NIfTI-1 cannot count.
#[test]
fn long_axes() {
    let folder = tempfile::tempdir().unwrap();
    for (side, bytes) in [(32_767, 352), (32_768, 544)] {
        let path = folder.path().join("mask.nii");
        let space = Space::new([side, 1, 2], DAffine3::IDENTITY);
        write_mask(&path, &Volume { voxels: vec![1; 2 * side], space: space.clone() }).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes + 2 * side as u64);
        assert_eq!(read_mask(&path).unwrap().space, space);
    }
}

proptest! {
    #[test]
    fn images_come_back(
        shape in [1..6usize, 1..6, 1..6],
        angles in [-3.0..3.0f64, -3.0..3.0, -3.0..3.0],
        spacing in [0.2..5.0f64, 0.2..5.0, -5.0..-0.2],
        origin in [-500.0..500.0f64, -500.0..500.0, -500.0..500.0],
        seed in any::<u32>(),
        ending in prop::sample::select(vec!["nii", "nii.gz", "NII"]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("scan.{ending}"));
        let turn = DMat3::from_quat(DQuat::from_euler(glam::EulerRot::XYZ, angles[0], angles[1], angles[2]));
        let matrix3 = turn * DMat3::from_diagonal(DVec3::from_array(spacing));
        let space = Space::new(shape, DAffine3 { matrix3, translation: DVec3::from_array(origin) });
        let voxels = (0..space.voxels() as u32).map(|i| (i.wrapping_mul(seed) % 5000) as f32 - 1024.0).collect();
        let image = Volume { space, voxels };
        write_image(&path, &image).unwrap();
        let back = read_image(&path).unwrap();
        prop_assert_eq!(&back.voxels, &image.voxels);
        prop_assert!(back.space.corner_distance(&image.space) < 1e-3);
    }
}
