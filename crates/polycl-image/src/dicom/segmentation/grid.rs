//! Where frames lie, in DICOM's coordinates: LPS+ millimetres.

use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use glam::DVec3;
use polycl_base::{Error, Kind, Result};

use crate::Space;
use crate::dicom::write::element::decimals;

/// Cosines of angles between axes that count as right angles: what highdicom allows between rows
/// and columns (which readers take for exact), and between slices and their normal (where positions
/// are written for every frame and what scanners round stays what it is).
const IN_PLANE: f64 = 1e-4;
const THROUGH_PLANE: f64 = 1e-3;

/// Nothing in a scanner is further away, in mm; keeps decimals exact and text short.
const FAR: f64 = 1e6;

const HINT: &str = "write the mask as NIfTI or as contours instead, which can hold any grid";

pub(super) struct Grid {
    shape: [usize; 3],
    spacing: [f64; 3],
    /// Directions in which columns and rows are counted.
    along: [DVec3; 2],
    first: DVec3,
    step: DVec3,
}

impl Grid {
    pub(super) fn new(path: &Path, space: &Space) -> Result<Self> {
        let refuse =
            |expected: &str, found: String| Err(Error::new(path, Kind::Geometry, expected, found).hint(HINT));
        let lps = |v: DVec3| DVec3::new(-v.x, -v.y, v.z);
        let axes = space.world_from_voxel.matrix3;
        let spacing = space.spacing();
        let usable = spacing.iter().all(|&s| s > 1e-6 && s < FAR);
        if !usable || !space.corners().iter().all(|corner| corner.abs().max_element() < FAR) {
            return refuse("distances between voxels in mm", format!("{spacing:?}"));
        }
        if space.shape.iter().any(|&side| side == 0 || side > usize::from(u16::MAX)) {
            return refuse("1 to 65535 rows, columns and slices", format!("{:?}", space.shape));
        }
        let [i, j, k] = [axes.x_axis, axes.y_axis, axes.z_axis].map(DVec3::normalize);
        let through = if space.shape[2] == 1 { 0.0 } else { i.dot(k).abs().max(j.dot(k).abs()) };
        let (in_plane, straight) = (i.dot(j).abs(), through <= THROUGH_PLANE);
        if in_plane > IN_PLANE || !straight {
            let angle = in_plane.max(through).acos().to_degrees();
            return refuse("a grid with right angles", format!("a sheared one with {angle:.2} degrees"));
        }
        let first = lps(space.world_from_voxel.translation);
        Ok(Self { shape: space.shape, spacing, along: [lps(i), lps(j)], first, step: lps(axes.z_axis) })
    }

    pub(super) fn columns(&self) -> usize {
        self.shape[0]
    }

    pub(super) fn rows(&self) -> usize {
        self.shape[1]
    }

    /// Where the centre of the first voxel of a slice lies.
    pub(super) fn put_position(&self, object: &mut InMemDicomObject, slice: usize) {
        let position = self.first + slice as f64 * self.step;
        decimals(object, tags::IMAGE_POSITION_PATIENT, &position.to_array());
    }

    pub(super) fn put_orientation(&self, object: &mut InMemDicomObject) {
        let cosines = self.along.map(|axis| axis.to_array()).concat();
        decimals(object, tags::IMAGE_ORIENTATION_PATIENT, &cosines);
    }

    /// Distances of rows, columns and slices; the slices' thickness may be another than their distance.
    pub(super) fn put_measures(&self, object: &mut InMemDicomObject, thickness: Option<f64>) {
        let [column, row, slice] = self.spacing;
        decimals(object, tags::SLICE_THICKNESS, &[thickness.unwrap_or(slice)]);
        decimals(object, tags::SPACING_BETWEEN_SLICES, &[slice]);
        decimals(object, tags::PIXEL_SPACING, &[row, column]);
    }
}
