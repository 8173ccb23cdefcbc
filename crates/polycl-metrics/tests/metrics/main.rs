//! Scores of masks: against other implementations, as properties, and as written files.

mod naming;
mod properties;
mod reference;
mod reports;

use glam::{DAffine3, DMat3, DVec3};
use polycl_image::{Mask, Space, Volume};

/// A space with these steps in mm along its axes.
fn space(shape: [usize; 3], spacing: [f64; 3]) -> Space {
    let matrix3 = DMat3::from_diagonal(DVec3::from_array(spacing));
    Space::new(shape, DAffine3 { matrix3, translation: DVec3::ZERO })
}

/// A mask of `label` wherever `inside` says so.
fn mask(space: &Space, label: u16, inside: impl Fn([usize; 3]) -> bool) -> Mask {
    let [nx, ny, _] = space.shape;
    let at = |voxel: usize| [voxel % nx, voxel / nx % ny, voxel / (nx * ny)];
    let voxels = (0..space.voxels()).map(|voxel| if inside(at(voxel)) { label } else { 0 });
    Volume { space: space.clone(), voxels: voxels.collect() }
}
