//! What is to be done, and how one request is told from another.

use std::ops::RangeInclusive;

use polycl_volume::{Image, Mask};

use super::object::Object;
use super::tracker::Tracker;
use crate::device::Device;
use crate::sam::computer;

/// Which way to go from the shown slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Both,
    /// Towards the head.
    Up,
    /// Towards the feet.
    Down,
}

/// What is to be done.
pub struct Request<'a> {
    pub image: &'a Image,
    /// In the scan's grid.
    pub annotation: Option<&'a Mask>,
    pub objects: &'a [Object],
    /// Slices (from the feet) that may be filled.
    pub range: RangeInclusive<usize>,
    pub direction: Direction,
}

/// Equal where a tracker would answer equally: scan, its place, annotation, prompts, weights, and device.
pub fn fingerprint(tracker: &Tracker, request: &Request<'_>, device: Device) -> String {
    let Request { image, annotation, objects, range, direction } = request;
    let place = image.space.world_from_voxel.to_cols_array();
    let drawn = annotation.map_or(0, |mask| {
        let chunks = mask.voxels.chunks(1 << 14);
        chunks.fold(0, |crc, voxels| {
            let bytes: Vec<u8> = voxels.iter().flat_map(|voxel| voxel.to_le_bytes()).collect();
            crc32c::crc32c_append(crc, &bytes)
        })
    });
    format!(
        "{} {place:?} {drawn:08x} {objects:?} {range:?} {direction:?} {} {}",
        image.fingerprint(),
        tracker.fingerprint(),
        computer(device)
    )
}
