//! One image of a stack.

use polycl_base::{Error, Kind};

use super::place::Place;
use super::slice::{Frame, Shot};

/// Positions closer than this, in mm, are the same place.
pub(super) const SAME_POSITION: f64 = 1e-3;

/// One plane of the stack: a frame of a file.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub shot: &'a Shot,
    pub frame: u32,
    pub says: Frame,
    pub place: Place,
}

/// The reason that an image has no place.
pub(super) fn nowhere(shot: &Shot) -> Error {
    match &shot.lack {
        Some(lack) => lack.error(&shot.path),
        None => Error::new(&shot.path, Kind::Geometry, "a slice of a scan", "a screen capture")
            .hint("name the series of the scan itself"),
    }
}
