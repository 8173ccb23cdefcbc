//! What we write, and that it comes back the same.

use std::path::PathBuf;

use glam::{DAffine3, DMat3, DQuat, DVec3};
use polycl_base::Kind;
use polycl_image::nifti::{
    Geometry, case_name, read_image, read_image_hashed, read_mask, read_mask_hashed, read_space, write_image,
    write_mask,
};
use polycl_image::{Image, Mask, Space, Volume};

use crate::{golden, nifti_files, reference};

fn mask(space: Space) -> Mask {
    let voxels = (0..space.voxels()).map(|i| (i % 7) as u16).collect();
    Volume { space, voxels }
}

/// For `check_written.py` the masks stay in the folder that `POLYCL_WRITTEN` names.
#[test]
fn written_masks_have_their_images_header() {
    let folder = tempfile::tempdir().unwrap();
    let target = std::env::var_os("POLYCL_WRITTEN").map_or(folder.path().to_path_buf(), PathBuf::from);
    let images = nifti_files(&reference());
    assert_eq!(images.len(), golden::expected().len());
    for path in images {
        let image = read_image(&path).unwrap();
        let written = target.join(case_name(&path).unwrap() + ".nii.gz");
        write_mask(&written, &mask(image.space.clone())).unwrap();
        let back = read_mask(&written).unwrap();
        assert_eq!(back.space, image.space, "{}", path.display());
        assert_eq!(back.space.native, image.space.native, "{}", path.display());
        assert_eq!(back.voxels, mask(image.space).voxels);
    }
}

#[test]
fn images_and_large_labels_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let space = read_space(&reference().join("oblique.nii.gz")).unwrap();
    for ending in ["nii", "nii.gz"] {
        let path = folder.path().join(format!("scan.{ending}"));
        let image: Image =
            Volume { voxels: (0..120).map(|i| i as f32 * 0.37 - 1024.0).collect(), space: space.clone() };
        write_image(&path, &image).unwrap();
        assert_eq!(read_image(&path).unwrap().voxels, image.voxels);
        let labels: Mask = Volume { voxels: (0..120).map(|i| i * 546).collect(), space: space.clone() };
        write_mask(&path, &labels).unwrap();
        assert_eq!(read_mask(&path).unwrap().voxels, labels.voxels);
        let gzipped = std::fs::read(&path).unwrap().starts_with(&[0x1f, 0x8b]);
        assert_eq!(gzipped, ending == "nii.gz");
    }
}

#[test]
fn small_labels_take_one_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii");
    let space = Space::new([3, 4, 5], DAffine3::IDENTITY);
    for (label, bytes) in [(255, 60), (256, 120)] {
        write_mask(&path, &Volume { space: space.clone(), voxels: vec![label; 60] }).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 352 + bytes);
    }
}

/// A space made in memory is written as sform, and as the same qform unless it is sheared.
#[test]
fn space_without_source() {
    let turn = DMat3::from_quat(DQuat::from_euler(glam::EulerRot::XYZ, 0.3, -0.2, 2.9));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii.gz");
    for spacing in [DVec3::new(0.7, 0.8, 2.5), DVec3::new(-0.7, 0.8, 2.5), DVec3::new(-0.7, -0.8, -2.5)] {
        let matrix3 = turn * DMat3::from_diagonal(spacing);
        let space = Space::new([5, 6, 7], DAffine3 { matrix3, translation: DVec3::new(10.0, -20.0, 300.0) });
        write_mask(&path, &mask(space.clone())).unwrap();
        let back = read_space(&path).unwrap();
        assert!(back.corner_distance(&space) < 1e-4);
        let native = back.native.unwrap();
        assert_eq!((native.qform_code, native.sform_code, native.xyzt_units), (1, 1, 2));
        let qform = Geometry { sform_code: 0, ..native }.world_from_voxel(space.shape);
        assert!(Space::new(space.shape, qform).corner_distance(&space) < 1e-4);
    }
    let mut sheared = Space::new([5, 6, 7], DAffine3::from_mat3(turn));
    sheared.world_from_voxel.matrix3.z_axis += 0.2 * sheared.world_from_voxel.matrix3.y_axis;
    write_mask(&path, &mask(sheared.clone())).unwrap();
    let back = read_space(&path).unwrap();
    assert!(back.corner_distance(&sheared) < 1e-4);
    assert_eq!(back.native.unwrap().qform_code, 0);
}

/// Header fields that no longer describe the space are not written.
#[test]
fn changed_space_drops_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii.gz");
    let mut space = read_space(&reference().join("sform_differs.nii.gz")).unwrap();
    space.world_from_voxel.translation.x += 4.0;
    write_mask(&path, &mask(space.clone())).unwrap();
    assert!(read_space(&path).unwrap().corner_distance(&space) < 1e-4);
}

#[test]
fn hash_is_of_the_files_bytes() {
    // The padding behind the voxels counts too.
    let folder = tempfile::tempdir().unwrap();
    let source = reference().join("uint8_be.nii");
    let path = folder.path().join("padded.nii");
    let mut bytes = std::fs::read(source).unwrap();
    bytes.resize(1 << 20, 0);
    std::fs::write(&path, &bytes).unwrap();
    use sha2::{Digest, Sha256};
    let expected: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(read_image_hashed(&path).unwrap().1, expected);
    let (mask, hash) = read_mask_hashed(&path).unwrap();
    assert_eq!(hash, expected);
    assert_eq!(mask.voxels, read_mask(&path).unwrap().voxels);
}

#[test]
fn refused_targets() {
    let folder = tempfile::tempdir().unwrap();
    let good = mask(Space::new([2, 2, 2], DAffine3::IDENTITY));
    let kind = |name: &str, mask: &Mask| write_mask(&folder.path().join(name), mask).unwrap_err().kind;
    assert_eq!(kind("mask.gz", &good), Kind::Request);
    let short = Volume { voxels: vec![0; 7], ..good.clone() };
    assert_eq!(kind("mask.nii", &short), Kind::Geometry);
    let flat = mask(Space::new([2, 2, 2], DAffine3::ZERO));
    assert_eq!(kind("mask.nii", &flat), Kind::Geometry);
    let empty = mask(Space::new([0, 1, 1], DAffine3::IDENTITY));
    assert_eq!(kind("mask.nii", &empty), Kind::Geometry);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something half-written is left");
}
