//! The grid that frames span, where no scan is at hand: as many slices as lie between the first and the last.

use std::path::Path;

use glam::{DAffine3, DMat3, DVec3};
use polycl_base::{Error, Kind, Result};

use super::frames::Frames;
use crate::Space;
use crate::dicom::place::Place;
use crate::dicom::stack::FITTED_MM;

/// Nobody is longer, in mm, and no scan has thinner slices: a header that says so would claim memory for nothing.
const LONGEST: f64 = 4000.0;
const THINNEST: f64 = 0.05;
/// Positions closer than this are one slice, in mm.
const SAME: f64 = 0.01;

/// A grid has at most this many voxels for each byte of the file, beyond the first 64 million: few frames may lie far apart.
const VOXELS_FOR_BYTE: u64 = 1 << 12;
const VOXELS_FREE: u64 = 1 << 26;

pub(super) fn of(path: &Path, held: u64, frames: &Frames) -> Result<Space> {
    let refused = |expected: &str, found: String| {
        Error::new(path, Kind::Geometry, expected, found)
            .hint("name the scan that it was drawn on, too, or export it again")
    };
    let Some(first) = frames.all.first().map(|frame| frame.place) else {
        return Err(refused("frames", "no frame".to_owned()));
    };
    let normal = first.row.cross(first.column).normalize();
    let along = |place: &Place| place.position.dot(normal);
    let mut places: Vec<Place> = frames.all.iter().map(|frame| frame.place).collect();
    places.sort_by(|a, b| along(a).total_cmp(&along(b)));
    places.dedup_by(|a, b| along(a) - along(b) < SAME);
    let (low, high) = (places[0], places[places.len() - 1]);
    if places.iter().any(|place| !alike(place, &first)) {
        return Err(refused("frames of one orientation and pixel spacing", "several".to_owned()));
    }
    let least = places.windows(2).map(|two| along(&two[1]) - along(&two[0])).fold(f64::INFINITY, f64::min);
    let length = along(&high) - along(&low);
    // The header's word first; where frames do not lie so, that of their positions, of which some slices may have none.
    let steps = match places.len() {
        1 => vec![frames.between.or(frames.thickness).unwrap_or(1.0)],
        _ => [frames.between, Some(least), frames.thickness, Some(least / 2.0), Some(least / 3.0)]
            .into_iter()
            .flatten()
            .collect(),
    };
    let usable = |step: &f64| (THINNEST..=LONGEST).contains(step) && length <= LONGEST;
    let way = |step: f64| {
        let slices = (length / step).round();
        let way = if slices > 0.0 { (high.position - low.position) / slices } else { normal * step };
        let off = |place: &Place| {
            let slice = (along(place) - along(&low)) / way.dot(normal);
            place.position.distance(low.position + slice.round() * way)
        };
        // Written so that a distance that is no number is refused as well.
        places
            .iter()
            .all(|place| off(place) <= (0.1 * step).max(FITTED_MM).min(step / 4.0))
            .then_some((slices, way))
    };
    let Some((slices, way)) = steps.into_iter().filter(usable).find_map(way) else {
        return Err(refused(
            "frames that lie a whole number of slices apart",
            format!("{} places over {length:.2} mm", places.len()),
        ));
    };
    let ras = |v: DVec3| DVec3::new(-v.x, -v.y, v.z);
    let [across, down] = first.spacing;
    let matrix3 = DMat3::from_cols(ras(first.row * across), ras(first.column * down), ras(way));
    let shape = [frames.layout.columns as usize, frames.layout.rows as usize, slices as usize + 1];
    let voxels = shape.iter().fold(1u64, |n, &side| n.saturating_mul(side as u64));
    if voxels > held.saturating_mul(VOXELS_FOR_BYTE).saturating_add(VOXELS_FREE) {
        let found = format!("a file of {held} bytes");
        return Err(Error::new(path, Kind::Truncated, format!("frames on {shape:?} voxels"), found)
            .hint("copy or export the file again: it is damaged, or was not copied to its end"));
    }
    Ok(Space::new(shape, DAffine3 { matrix3, translation: ras(low.position) }))
}

fn alike(a: &Place, b: &Place) -> bool {
    let near = |x: f64, y: f64| (x - y).abs() <= 1e-3 * y;
    a.row.distance(b.row) < 1e-3
        && a.column.distance(b.column) < 1e-3
        && near(a.spacing[0], b.spacing[0])
        && near(a.spacing[1], b.spacing[1])
}
