//! Requests, and how one is told from another.

use std::ops::RangeInclusive;

use polycl_image::{Image, Mask, Plane};
use serde::{Deserialize, Serialize};

use super::follower::Follower;
use super::object::Object;

/// The way to go from the shown slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Both,
    /// Towards the head; through planes of another kind, as [`Plane`] counts them.
    Up,
    /// The other way.
    Down,
}

/// Objects to follow through a scan, from plane to plane: planes of any kind are the slices.
pub struct Request<'a> {
    pub image: &'a Image,
    pub plane: Plane,
    /// In the scan's grid.
    pub annotation: Option<&'a Mask>,
    pub objects: &'a [Object],
    /// Slices (from the feet, or as [`Plane`] counts) that may be filled.
    pub range: RangeInclusive<usize>,
    pub direction: Direction,
}

/// Equal where a network would answer equally: scan, its place, planes, annotation, prompts, weights, and device.
pub fn fingerprint(follower: &Follower, request: &Request<'_>) -> String {
    let Request { image, plane, annotation, objects, range, direction } = request;
    let place = image.space.world_from_voxel.to_cols_array();
    let drawn = annotation.map_or(0, |mask| {
        let chunks = mask.voxels.chunks(1 << 14);
        chunks.fold(0, |crc, voxels| {
            let bytes: Vec<u8> = voxels.iter().flat_map(|voxel| voxel.to_le_bytes()).collect();
            crc32c::crc32c_append(crc, &bytes)
        })
    });
    format!(
        "{} {place:?} {plane} {drawn:08x} {objects:?} {range:?} {direction:?} {}",
        image.fingerprint(),
        follower.fingerprint()
    )
}
