//! The place of an image in the patient, as its elements say it.

use dicom_core::Tag;
use dicom_object::InMemDicomObject;
use glam::DVec3;

use super::elements::numbers;

/// Where a plane lies, in DICOM's LPS millimetres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub position: DVec3,
    /// Unit vectors along a row (index i grows) and down a column (index j grows).
    pub row: DVec3,
    pub column: DVec3,
    /// Between voxels along the row, and between rows.
    pub spacing: [f64; 2],
}

/// The numbers of the first of `levels` that has some, in the functional group that is for them or directly.
pub(super) fn within(levels: &[&InMemDicomObject], group: Tag, tag: Tag) -> Vec<f64> {
    let of = |level: &&InMemDicomObject| -> Vec<f64> {
        let item = level.get(group).and_then(|element| element.items()).and_then(<[_]>::first);
        item.map(|item| numbers(item, tag))
            .filter(|found| !found.is_empty())
            .unwrap_or_else(|| numbers(level, tag))
    };
    levels.iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
}

/// `None` where something is missing or impossible.
pub(super) fn place(position: &[f64], orientation: &[f64], spacing: &[f64]) -> Option<Place> {
    let [row, column] = directions(orientation)?;
    Some(Place { position: point(position)?, row, column, spacing: sides(spacing)? })
}

pub(super) fn point(position: &[f64]) -> Option<DVec3> {
    let &[x, y, z] = position else { return None };
    Some(DVec3::new(x, y, z)).filter(|position| position.is_finite())
}

/// Unit vectors along a row and down a column, if they stand at right angles.
pub(super) fn directions(orientation: &[f64]) -> Option<[DVec3; 2]> {
    let &[a, b, c, d, e, f] = orientation else { return None };
    let (row, column) = (DVec3::new(a, b, c), DVec3::new(d, e, f));
    let unit = |v: DVec3| (v.length() - 1.0).abs() < 0.01;
    let right = row.dot(column).abs() < 0.01;
    (unit(row) && unit(column) && right).then(|| [row.normalize(), column.normalize()])
}

/// Distances between voxels along a row, and between rows, of which Pixel Spacing holds the latter first.
pub(super) fn sides(spacing: &[f64]) -> Option<[f64; 2]> {
    let &[rows, columns] = spacing else { return None };
    [rows, columns].iter().all(|&mm| mm > 0.0 && mm.is_finite()).then_some([columns, rows])
}
