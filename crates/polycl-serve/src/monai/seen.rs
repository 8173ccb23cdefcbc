//! A scan as a client sees it: in the order and the place of the client's voxels.

use std::path::Path;
use std::sync::Arc;

use glam::{DAffine3, DMat3};
use polycl_image::orient::Reorientation;
use polycl_image::{Plane, Space, Volume, grid};

use crate::refusal::{Answer, Refusal};
use crate::scan::Scan;
use crate::view::View;

/// Rounds of Newton's method, which needs a handful.
const ROUNDS: usize = 50;

pub struct Seen {
    pub scan: Arc<Scan>,
    pub space: Space,
    /// From the client's order of voxels to the canonical one.
    order: Reorientation,
}

impl Seen {
    /// The scan as its file has it, unless the client has sent it itself.
    pub fn new(scan: Arc<Scan>, view: Option<(Space, Reorientation)>) -> Self {
        let (space, order) = view.unwrap_or_else(|| (scan.image.space.clone(), scan.order));
        Self { scan, space, order }
    }

    /// The planes that the client's third index counts.
    pub fn plane(&self) -> Plane {
        let planes = [Plane::Sagittal, Plane::Coronal, Plane::Axial];
        planes
            .into_iter()
            .zip(self.order.axes)
            .find(|(_, axis)| *axis == 2)
            .map_or(Plane::Axial, |(plane, _)| plane)
    }

    /// The canonical voxel of the client's indices; nothing beyond the scan.
    pub fn voxel(&self, at: [f64; 3]) -> Option<[usize; 3]> {
        let shape = self.space.shape;
        let inside = |axis: usize| at[axis].round() >= 0.0 && at[axis].round() < shape[axis] as f64;
        [0, 1, 2].into_iter().all(inside).then(|| self.canonical(at))
    }

    /// The canonical voxel of the client's indices, or the nearest to them.
    pub fn nearest(&self, at: [f64; 3]) -> [usize; 3] {
        self.canonical(at)
    }

    fn canonical(&self, at: [f64; 3]) -> [usize; 3] {
        [0, 1, 2].map(|new| {
            let axis = self.order.axes[new];
            let last = self.space.shape[axis] - 1;
            let index = (at[axis].round().max(0.0) as usize).min(last);
            if self.order.flip[new] { last - index } else { index }
        })
    }

    pub fn view(&self, plane: Plane) -> View {
        View::new(plane, self.scan.canonical.shape)
    }

    /// A label map for the client, from one in canonical order.
    pub fn put(&self, voxels: Vec<u16>) -> Vec<u16> {
        let canonical = Volume { space: self.scan.canonical.clone(), voxels };
        self.order.invert(&canonical, &self.space).voxels
    }

    /// The canonical order of a client's label map, which must lie on the scan's voxels.
    ///
    /// # Errors
    /// `other_place`, with what was expected and found.
    pub fn take(&self, mask: Volume<u16>, path: &Path) -> Answer<Vec<u16>> {
        let own = if is_squared(&mask.space, &self.space) {
            Volume { space: self.space.clone(), voxels: mask.voxels }
        } else {
            let fit = grid::fit(&self.space, &mask.space, path).map_err(|(expected, found)| {
                let message =
                    format!("The mask lies elsewhere: expected {expected} of the scan, found {found}.");
                Refusal::senseless("other_place", message)
                    .hint("export the segmentation with the scan as its reference volume")
            })?;
            fit.apply(mask, &self.space)
        };
        Ok(self.order.apply(&own).voxels)
    }
}

/// True if one space is what ITK makes of another, whose axes are not at right angles, where it writes and reads NIfTI files.
pub fn is_squared(squared: &Space, space: &Space) -> bool {
    self::squared(space).disagreement(squared).is_none() && space.disagreement(squared).is_some()
}

/// The nearest space whose axes are at right angles.
pub fn squared(space: &Space) -> Space {
    let m = space.world_from_voxel.matrix3;
    let [x, y, z] = space.spacing();
    let mut turn = DMat3::from_cols(m.x_axis / x, m.y_axis / y, m.z_axis / z);
    for _ in 0..ROUNDS {
        turn = (turn + turn.inverse().transpose()) * 0.5;
    }
    let matrix3 = DMat3::from_cols(turn.x_axis * x, turn.y_axis * y, turn.z_axis * z);
    let translation = space.world_from_voxel.translation;
    Space::new(space.shape, DAffine3 { matrix3, translation })
}

#[cfg(test)]
mod tests {
    use glam::DVec3;

    use super::*;

    /// What SimpleITK 2.5.7 wrote for these directions, in RAS.
    #[test]
    fn sheared_spaces_are_squared_as_itk_does() {
        let matrix3 = DMat3::from_cols(
            DVec3::new(-0.7, 0.0, 0.0),
            DVec3::new(-0.08, -0.795_989_949_685_296, 0.0),
            DVec3::new(0.0, -0.51, 2.956_332_187_018_231_7),
        );
        let affine = DAffine3 { matrix3, translation: DVec3::new(-1.0, -2.0, 3.0) };
        let own = squared(&Space::new([5, 4, 3], affine));
        let written = [
            DVec3::new(-0.699_114_2, 0.034_914_59, 0.004_502_75),
            DVec3::new(-0.040_196_4, -0.796_061_99, -0.068_333_86),
            DVec3::new(0.006_421_17, -0.256_897_33, 2.988_973_62),
        ];
        let m = own.world_from_voxel.matrix3;
        for (column, written) in [m.x_axis, m.y_axis, m.z_axis].into_iter().zip(written) {
            assert!(column.abs_diff_eq(written, 1e-6), "{column} {written}");
        }
    }
}
