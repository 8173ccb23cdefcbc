//! Reorientation keeps every voxel where it is in the world.

use glam::{DAffine3, DMat3, DVec3};
use polycl_image::orient::{Reorientation, orientation_code, slice_axis_of, slice_in_file};
use polycl_image::{Space, Volume};
use proptest::prelude::*;

/// Any invertible affine: oblique, sheared, of either handedness.
fn spaces() -> impl Strategy<Value = Space> {
    let matrix = prop::array::uniform9(-3.0..3.0f64).prop_map(|m| DMat3::from_cols_array(&m));
    let matrix = matrix.prop_filter("nearly singular", |m| m.determinant().abs() > 0.1);
    (prop::array::uniform3(1usize..7), matrix, prop::array::uniform3(-500.0..500.0f64)).prop_map(
        |(shape, matrix3, t)| Space::new(shape, DAffine3 { matrix3, translation: DVec3::from_array(t) }),
    )
}

/// A volume whose every voxel is its own index.
fn numbered(space: Space) -> Volume<u32> {
    Volume { voxels: (0..space.voxels() as u32).collect(), space }
}

fn position(space: &Space, index: usize) -> DVec3 {
    let [nx, ny, _] = space.shape;
    let [i, j, k] = [index % nx, index / nx % ny, index / nx / ny].map(|n| n as f64);
    space.world_from_voxel.transform_point3(DVec3::new(i, j, k))
}

proptest! {
    #[test]
    fn every_voxel_keeps_its_world_position(space in spaces()) {
        let volume = numbered(space);
        let canonical = Reorientation::to_canonical(&volume.space).apply(&volume);
        prop_assert!(canonical.space.native.is_none());
        for (now, &before) in canonical.voxels.iter().enumerate() {
            let moved = position(&canonical.space, now).distance(position(&volume.space, before as usize));
            prop_assert!(moved < 1e-9, "{moved} mm");
        }
    }

    #[test]
    fn invert_undoes_apply(space in spaces()) {
        let volume = numbered(space);
        let way = Reorientation::to_canonical(&volume.space);
        let back = way.invert(&way.apply(&volume), &volume.space);
        prop_assert_eq!(back.voxels, volume.voxels);
        prop_assert_eq!(back.space, volume.space);
        prop_assert_eq!(way.inverse().inverse(), way);
    }

    #[test]
    fn canonical_is_lps(space in spaces()) {
        let way = Reorientation::to_canonical(&space);
        let canonical = way.space(&space);
        prop_assert_eq!(orientation_code(&canonical), "LPS");
        let again = Reorientation::to_canonical(&canonical);
        prop_assert_eq!(again, Reorientation { axes: [0, 1, 2], flip: [false; 3] });
    }

    #[test]
    fn slices_keep_their_content(space in spaces()) {
        let volume = numbered(space);
        let way = Reorientation::to_canonical(&volume.space);
        let canonical = way.apply(&volume);
        let axis = way.slice_axis();
        let step: usize = volume.space.shape[..axis].iter().product();
        for k in 0..volume.space.shape[axis] {
            let there = way.slice_to_canonical(k, &volume.space);
            prop_assert_eq!(way.slice_from_canonical(there, &volume.space), k);
            let fits = |&v: &u32| v as usize / step % volume.space.shape[axis] == k;
            prop_assert!(canonical.plane(there).iter().all(fits));
        }
    }

    /// The code of a space and its shape tell the same as the space itself.
    #[test]
    fn a_code_is_enough_to_find_a_slice(space in spaces()) {
        let (way, code) = (Reorientation::to_canonical(&space), orientation_code(&space));
        prop_assert_eq!(slice_axis_of(&code), Some(way.slice_axis()));
        let slices = space.shape[way.slice_axis()];
        for k in 0..slices {
            prop_assert_eq!(slice_in_file(&code, space.shape, k), Some(way.slice_from_canonical(k, &space)));
        }
        prop_assert_eq!(slice_in_file(&code, space.shape, slices), None);
    }

    /// The distance is that of the corners: a shift moves all of them, a stretch the far ones.
    #[test]
    fn corner_distance(space in spaces(), shift in prop::array::uniform3(-9.0..9.0f64), stretch in 0.0..2.0f64) {
        prop_assert_eq!(space.corner_distance(&space), 0.0);
        let mut moved = space.clone();
        moved.world_from_voxel.translation += DVec3::from_array(shift);
        prop_assert!((space.corner_distance(&moved) - DVec3::from_array(shift).length()).abs() < 1e-9);
        let mut stretched = space.clone();
        stretched.world_from_voxel.matrix3.z_axis *= 1.0 + stretch;
        let far = stretch * space.spacing()[2] * (space.shape[2] - 1) as f64;
        prop_assert!((space.corner_distance(&stretched) - far).abs() < 1e-9);
    }
}

/// A worked case: a 2 x 3 x 2 volume in RAS order, whose first two axes must be reversed.
#[test]
fn ras_to_lps() {
    let space = Space::new([2, 3, 2], DAffine3::from_scale(DVec3::new(1.0, 2.0, 3.0)));
    assert_eq!(orientation_code(&space), "RAS");
    let way = Reorientation::to_canonical(&space);
    assert_eq!(way, Reorientation { axes: [0, 1, 2], flip: [true, true, false] });
    let canonical = way.apply(&numbered(space));
    assert_eq!(canonical.voxels, [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6]);
    assert_eq!(canonical.space.world_from_voxel.translation, DVec3::new(1.0, 4.0, 0.0));
}

/// A sagittal scan whose file starts at the patient's right, top and back.
#[test]
fn sagittal_to_lps() {
    let columns = DMat3::from_cols(DVec3::Y, -2.0 * DVec3::Z, -5.0 * DVec3::X);
    let space = Space::new([3, 2, 4], DAffine3 { matrix3: columns, translation: DVec3::ZERO });
    assert_eq!(orientation_code(&space), "AIL");
    let way = Reorientation::to_canonical(&space);
    assert_eq!(way, Reorientation { axes: [2, 0, 1], flip: [false, true, true] });
    let canonical = way.apply(&numbered(space.clone()));
    assert_eq!(canonical.space.shape, [4, 3, 2]);
    assert_eq!(canonical.voxels[..5], [5, 11, 17, 23, 4]);
    assert_eq!((way.slice_axis(), way.slice_to_canonical(0, &space)), (1, 1));
}
