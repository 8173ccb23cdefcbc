//! Which voxels of a scan the pixels of a frame are.

use glam::{DAffine3, DVec3};

use crate::Space;
use crate::dicom::place::Place;
use crate::dicom::stack::FITTED_MM;

/// How far pixels may lie from voxels, as a part of these: what [`Space::disagreement`] allows.
const OFF: f64 = 0.1;
/// Slices may lie unevenly by this many mm, however near they are to each other.
const OFF_MM: f64 = FITTED_MM;

/// The voxels of a frame: where its first pixel lies, and the way to the next column and the next row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    pub first: [i64; 3],
    pub along: [[i64; 3]; 2],
    /// From the farthest of its corners to its voxel, in mm.
    pub off: f64,
}

/// Finds voxels for the pixels of a frame.
pub(super) struct Placer {
    world_from_voxel: DAffine3,
    voxel_from_world: DAffine3,
    /// By axis, as a part of a voxel.
    allowed: [f64; 3],
    corner: [f64; 2],
}

impl Placer {
    pub fn new(scan: &Space, columns: u32, rows: u32) -> Self {
        let spacing = scan.spacing();
        Self {
            world_from_voxel: scan.world_from_voxel,
            voxel_from_world: scan.world_from_voxel.inverse(),
            allowed: spacing.map(|mm| OFF.max(OFF_MM / mm).min(0.5)),
            corner: [columns, rows].map(|side| f64::from(side) - 1.0),
        }
    }

    /// `Err` says what is wrong with it.
    pub fn place(&self, place: &Place) -> Result<Placed, String> {
        let [across, down] = place.spacing;
        let [position, row, column] = [place.position, place.row * across, place.column * down].map(ras);
        let step = |vector: DVec3| self.voxel_from_world.transform_vector3(vector);
        let steps = [row, column].map(step);
        let Some(along) = whole(steps[0]).zip(whole(steps[1])).map(|(a, b)| [a, b]) else {
            let [a, b] = [place.spacing[0], place.spacing[1]];
            return Err(format!(
                "pixels of {a:.4} x {b:.4} mm, or turned, so that they are no voxels of the scan"
            ));
        };
        let at = self.voxel_from_world.transform_point3(position);
        let first = at.round();
        if !(at - first).is_finite() || first.abs().max_element() > 1e6 {
            return Err("a frame beyond the scan".to_owned());
        }
        let far = steps[0] * self.corner[0] + steps[1] * self.corner[1];
        let exact = vector(along[0]) * self.corner[0] + vector(along[1]) * self.corner[1];
        let (near, far) = (at - first, at + far - first - exact);
        let off = [near, far].map(|off| self.world_from_voxel.transform_vector3(off).length());
        let off = off[0].max(off[1]);
        let fits =
            |off: DVec3| off.to_array().iter().zip(self.allowed).all(|(off, allowed)| off.abs() <= allowed);
        if !fits(near) || !fits(far) {
            return Err(format!("a frame {off:.2} mm from the nearest voxels of the scan"));
        }
        Ok(Placed { first: first.to_array().map(|i| i as i64), along, off })
    }
}

fn ras(v: DVec3) -> DVec3 {
    DVec3::new(-v.x, -v.y, v.z)
}

fn vector(step: [i64; 3]) -> DVec3 {
    DVec3::from_array(step.map(|i| i as f64))
}

/// The axis and direction of a step from voxel to voxel; `None` for another step.
fn whole(step: DVec3) -> Option<[i64; 3]> {
    let nearest = step.round();
    let one = nearest.abs().element_sum() == 1.0;
    (one && step.distance(nearest) < OFF).then(|| nearest.to_array().map(|i| i as i64))
}
