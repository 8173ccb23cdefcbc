//! Images that clients send: known again among the folder's scans, or worked on in the order of their indices.

use std::sync::Arc;

use glam::{DAffine3, DMat3, DVec3};
use polycl_base::{Error, Result};
use polycl_image::orient::Reorientation;
use polycl_image::{Image, Space, nifti};

use crate::desk::Desk;
use crate::folder::Entry;
use crate::recognise::{Recognised, recognise};
use crate::refusal::Answer;
use crate::scan::Scan;

/// Hex digits of the name of an image that no file is known for.
const DIGITS: usize = 16;

/// A scan as a client sees it.
pub struct Upload {
    pub scan: Arc<Scan>,
    /// From the order of the client's array to the canonical one.
    pub order: Reorientation,
    pub is_known: bool,
}

/// Opens the scan that a client has sent for its tab. Sides and millimetres are those of the array, first the axis that
/// runs fastest.
///
/// # Errors
/// As [`Desk::enter`]; what writing an image says that is no scan of the folder.
pub fn open(
    desk: &Desk,
    tab: &str,
    shape: [usize; 3],
    spacing: [f64; 3],
    voxels: Vec<f32>,
) -> Answer<Upload> {
    if let Some(Recognised { id, order }) = recognise(desk, shape, &voxels) {
        let scan = desk.enter(&id, tab, false)?;
        let order = then(&order.inverse(), &scan.order);
        return Ok(Upload { scan, order, is_known: true });
    }
    let id = keep(desk, shape, spacing, voxels)?;
    let scan = desk.enter(&id, tab, false)?;
    let order = scan.order;
    Ok(Upload { scan, order, is_known: false })
}

/// Keeps an image, whose indices run to the patient's left, back and head for want of knowledge; gives its id.
fn keep(desk: &Desk, shape: [usize; 3], spacing: [f64; 3], voxels: Vec<f32>) -> Result<String> {
    let steps = DMat3::from_diagonal(DVec3::from_array(spacing) * DVec3::new(-1.0, -1.0, 1.0));
    let image = Image { space: Space::new(shape, DAffine3::from_mat3(steps)), voxels };
    let mut id = image.fingerprint();
    id.truncate(DIGITS);
    if desk.entry(&id).is_ok() {
        return Ok(id);
    }
    let folder = desk.sent_folder().join(&id);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "make the folder", &e))?;
    let file = folder.join("scan.nii");
    nifti::write_image(&file, &image)?;
    desk.take_in(Entry::sent(id.clone(), file, folder));
    Ok(id)
}

/// One reorientation after the other.
fn then(first: &Reorientation, second: &Reorientation) -> Reorientation {
    let axes = second.axes.map(|axis| first.axes[axis]);
    let flip = [0, 1, 2].map(|new| second.flip[new] != first.flip[second.axes[new]]);
    Reorientation { axes, flip }
}

#[cfg(test)]
mod tests {
    use polycl_image::Volume;

    use super::*;

    #[test]
    fn reorientations_follow_one_another() {
        let volume = Volume { space: Space::new([2, 3, 4], DAffine3::IDENTITY), voxels: (0..24).collect() };
        let first = Reorientation { axes: [2, 0, 1], flip: [true, false, true] };
        let second = Reorientation { axes: [1, 0, 2], flip: [false, true, true] };
        let one_by_one = second.apply(&first.apply(&volume));
        assert_eq!(then(&first, &second).apply(&volume).voxels, one_by_one.voxels);
    }
}
