//! Voxels as they lie in files, whatever the format: numbers of some kind and byte order, plain or
//! compressed.
//!
//! No header is trusted with memory or time. Memory grows with what has been decoded; no volume has
//! more than [`MOST`](limits::MOST) voxels, which is what a gzip bomb can make us take; and no more than
//! [`TRAILING`](limits::TRAILING) bytes are decoded behind the last voxel.

mod beside;
mod error;
mod limits;
mod lines;
mod number;
mod read;
mod source;
mod stream;
mod text;
mod voxel;

use std::path::Path;

use glam::{DAffine3, DMat3, DVec3};
use polycl_base::{Error, Kind, Result};

use crate::Space;
pub(crate) use error::{list, truncated, unreadable};
pub(crate) use lines::Lines;
pub(crate) use number::{Datatype, Encoding, Order};
pub(crate) use read::{complete, fill, reserve, skip, to_end, voxels};
pub(crate) use source::{CHUNK, Source};
pub(crate) use stream::{GZIP, Stream};
pub(crate) use text::text;
pub(crate) use voxel::Voxel;

/// A determinant below this share of the product of the columns' lengths is called singular.
const SINGULAR: f64 = 1e-6;
/// Millimetres between voxels that any device could have meant.
const LENGTHS: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

/// True if an affine says where voxels lie: finite, and the three axes span the space.
pub(crate) fn spans_space(world_from_voxel: &DAffine3) -> bool {
    let m = world_from_voxel.matrix3;
    let lengths = [m.x_axis, m.y_axis, m.z_axis].map(DVec3::length);
    let volume = lengths.iter().product::<f64>();
    // Numbers whose squares are nothing have no direction.
    lengths.iter().all(|length| LENGTHS.contains(length))
        && world_from_voxel.is_finite()
        && m.determinant().abs() > SINGULAR * volume
}

/// The affine to RAS+ of axes and an origin in LPS+, the convention of DICOM and ITK.
pub(crate) fn from_lps(axes: DMat3, origin: DVec3) -> DAffine3 {
    let flip = DMat3::from_diagonal(DVec3::new(-1.0, -1.0, 1.0));
    DAffine3 { matrix3: flip * axes, translation: flip * origin }
}

/// A space of checked shape and affine.
pub(crate) fn space(shape: [usize; 3], world_from_voxel: DAffine3, path: &Path) -> Result<Space> {
    if shape.contains(&0) {
        return Err(Error::new(path, Kind::Geometry, "at least one voxel along each axis", list(&shape))
            .hint("export the scan again: its header is damaged"));
    }
    if !spans_space(&world_from_voxel) {
        let expected = "axes that span the space";
        return Err(Error::new(path, Kind::Geometry, expected, "a singular or infinite geometry")
            .hint("export the scan again: its header does not say where voxels lie"));
    }
    Ok(Space::new(shape, world_from_voxel))
}

/// The header of a file as far as it tells of the voxels, and what had to be assumed or contradicts itself.
pub(crate) struct Head {
    pub space: Space,
    pub encoding: Encoding,
    pub notes: Vec<String>,
}

/// A hint about several volumes in one file, by its axes from the fastest on.
pub(crate) fn several(axes: &[i64]) -> String {
    let beyond = axes.iter().skip(3).filter(|&&n| n > 1).count();
    if axes.get(2) == Some(&1) && beyond == 1 {
        return "make the last axis the third if it holds the slices: numpy.squeeze(data); take one time point if it holds those"
            .to_owned();
    }
    let channels = axes.iter().filter(|&&n| n > 1).min().copied().unwrap_or(1);
    format!(
        "give each volume of a series as a file of its own; of a mask with a channel for each label (one-hot), save \
         numpy.argmax along the axis of {channels}"
    )
}

/// Found by fuzzing: the length of such an axis is zero.
#[test]
fn axes_too_short_to_have_a_direction_span_no_space() {
    let axes = |z: f64| DAffine3::from_mat3(DMat3::from_diagonal(DVec3::new(1.0, 1.0, z)));
    assert!(spans_space(&axes(1e-3)));
    assert!(!spans_space(&axes(1e-200)));
    assert!(!spans_space(&axes(f64::INFINITY)));
}
