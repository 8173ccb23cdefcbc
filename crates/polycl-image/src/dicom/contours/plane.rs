//! The planes of a scan, and the contours that lie in them.

use glam::{DAffine3, DVec3};

use super::fill::Point;
use super::skipped::Skipped;
use crate::Space;

/// Points of one contour lie within this part of the distance between slices of each other.
const LEVEL: f64 = 0.5;
/// A contour of two points in one place or more has no area below this, in voxels.
const FLAT: f64 = 1e-9;
/// In voxels; what lies farther from the first is no place in a patient.
const FAR: f64 = 1e7;

/// The slices of a scan along one of its axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    voxel_from_world: DAffine3,
    shape: [usize; 3],
    spacing: [f64; 3],
    /// From slice to slice, then the two within one.
    axes: [usize; 3],
}

/// A contour in the plane of a slice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Flat {
    pub slice: usize,
    /// From the slice, in slices.
    pub off: f64,
    pub points: Vec<Point>,
}

impl Planes {
    /// The slices along `axis` of the scan's voxels.
    pub fn along(scan: &Space, axis: usize) -> Self {
        let axes = [[0, 1, 2], [1, 0, 2], [2, 0, 1]][axis];
        let voxel_from_world = scan.world_from_voxel.inverse();
        Self { voxel_from_world, shape: scan.shape, spacing: scan.spacing(), axes }
    }

    /// The axis to which a contour (in RAS+ mm) stands most upright; none for one of no extent.
    pub fn axis_of(scan: &Space, points: &[DVec3]) -> Option<usize> {
        let planes = Self::along(scan, 2);
        let voxels = points.iter().map(|&point| planes.voxel_from_world.transform_point3(point));
        let (low, high) = voxels.fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(low, high), voxel| {
            (low.min(voxel), high.max(voxel))
        });
        let extent = (high - low).to_array();
        let least = (0..3).rev().min_by(|&a, &b| extent[a].total_cmp(&extent[b]))?;
        let others = (0..3).filter(|&axis| axis != least);
        (extent[least] <= LEVEL && others.map(|axis| extent[axis]).all(|mm| mm > FLAT)).then_some(least)
    }

    /// Voxels across a plane and down it.
    pub fn shape(&self) -> [usize; 2] {
        [self.shape[self.axes[1]], self.shape[self.axes[2]]]
    }

    pub fn spacing(&self) -> [f64; 2] {
        [self.spacing[self.axes[1]], self.spacing[self.axes[2]]]
    }

    /// Between slices, in mm.
    pub fn step(&self) -> f64 {
        self.spacing[self.axes[0]]
    }

    /// The place in the volume of a voxel of a slice's plane.
    pub fn voxel(&self, slice: usize, at: usize) -> usize {
        let across = self.shape[self.axes[1]];
        let mut index = [0; 3];
        (index[self.axes[0]], index[self.axes[1]], index[self.axes[2]]) = (slice, at % across, at / across);
        index[0] + self.shape[0] * (index[1] + self.shape[1] * index[2])
    }

    /// Brings a contour in RAS+ mm to the nearest slice.
    pub fn flat(&self, contour: &[DVec3]) -> Result<Flat, Skipped> {
        let voxels = || contour.iter().map(|&point| self.voxel_from_world.transform_point3(point));
        if contour.len() < 3 {
            return Err(Skipped::TooShort);
        }
        if !voxels().all(|voxel| voxel.abs().max_element() < FAR) {
            return Err(Skipped::NoNumbers);
        }
        let [through, across, down] = self.axes;
        let (low, high) = voxels().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), voxel| {
            (low.min(voxel[through]), high.max(voxel[through]))
        });
        if high - low > LEVEL {
            return Err(Skipped::Oblique);
        }
        let middle = voxels().map(|voxel| voxel[through]).sum::<f64>() / contour.len() as f64;
        let points: Vec<Point> = voxels().map(|voxel| [voxel[across], voxel[down]]).collect();
        if is_line(&points) {
            return Err(Skipped::NoArea);
        }
        // From half a slice before the first to half a slice behind the last.
        let slice = (middle - 1e-6).round();
        if slice < 0.0 || slice >= self.shape[through] as f64 || self.is_beyond(&points) {
            return Err(Skipped::Beyond);
        }
        Ok(Flat { slice: slice as usize, off: middle - slice, points })
    }

    /// True for a contour that has no point in the plane and none around it.
    fn is_beyond(&self, points: &[Point]) -> bool {
        let shape = self.shape();
        (0..2).any(|axis| {
            let end = shape[axis] as f64 - 0.5;
            points.iter().all(|point| point[axis] <= -0.5) || points.iter().all(|point| point[axis] >= end)
        })
    }

    /// True for a contour with a point beyond the voxels of the plane.
    pub fn leaves(&self, points: &[Point]) -> bool {
        let [across, down] = self.shape().map(|side| -0.5 - 1e-6..=side as f64 - 0.5 + 1e-6);
        points.iter().any(|[x, y]| !across.contains(x) || !down.contains(y))
    }
}

/// True where all points lie on one line.
fn is_line(points: &[Point]) -> bool {
    let [x, y] = points[0];
    let from = |point: &Point| [point[0] - x, point[1] - y];
    let length = |[x, y]: Point| x.hypot(y);
    let Some(far) = points.iter().map(from).max_by(|a, b| length(*a).total_cmp(&length(*b))) else {
        return true;
    };
    let off = |[x, y]: Point| (x * far[1] - y * far[0]).abs();
    length(far) <= FLAT || points.iter().map(from).all(|point| off(point) <= FLAT * length(far))
}
