//! Scans of the folder known again by their voxels, in whatever order another program keeps them.

use std::time::Duration;

use polycl_image::Image;
use polycl_image::orient::Reorientation;
use rayon::prelude::*;

use crate::desk::Desk;

/// Orders of axes: that of files first, in which most programs keep them, and then the opposite one.
const AXES: [[usize; 3]; 6] = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1]];
/// Between looks at whether the scans are listed.
const PAUSE: Duration = Duration::from_millis(20);

/// A scan of the folder that has the voxels of an array.
pub struct Recognised {
    pub id: String,
    /// From the order of the scan's file to that of the array.
    pub order: Reorientation,
}

/// Finds the scan that has these voxels, which come with the first axis fastest. Files are read of scans with the array's
/// sides alone, those that are open first.
pub fn recognise(desk: &Desk, shape: [usize; 3], voxels: &[f32]) -> Option<Recognised> {
    while !desk.is_listed() {
        std::thread::sleep(PAUSE);
    }
    let sides = sorted(shape);
    let mut entries = desk.entries();
    entries.retain(|entry| entry.shape().map(sorted) == Some(sides));
    entries.sort_by_key(|entry| desk.opened(&entry.id).is_none());
    entries.into_iter().find_map(|entry| {
        let order = match desk.opened(&entry.id) {
            Some(scan) => order_of(&scan.image, shape, voxels),
            // A scan that cannot be read has no voxels to be known by.
            None => order_of(&entry.input.image().ok()?, shape, voxels),
        };
        Some(Recognised { id: entry.id.clone(), order: order? })
    })
}

fn sorted(mut shape: [usize; 3]) -> [usize; 3] {
    shape.sort_unstable();
    shape
}

/// The order in which an image has these voxels, if there is one.
fn order_of(image: &Image, shape: [usize; 3], voxels: &[f32]) -> Option<Reorientation> {
    let pixels = shape[0] * shape[1];
    let flips = (0..8_u8).map(|bits| [0, 1, 2].map(|axis| bits >> axis & 1 == 1));
    let orders = flips.flat_map(|flip| AXES.map(|axes| Reorientation { axes, flip }));
    let fits = |order: &Reorientation| order.axes.map(|axis| image.space.shape[axis]) == shape;
    orders.filter(fits).find(|order| {
        let same = |k: usize| {
            let own = order.plane(image, k);
            own.iter().zip(&voxels[k * pixels..(k + 1) * pixels]).all(|(own, other)| are_same(*own, *other))
        };
        // Most orders are wrong from their first plane on.
        same(0) && (1..shape[2]).into_par_iter().all(same)
    })
}

/// True for values that are equal but for the last bits, which the arithmetic of a file's slope may have rounded.
fn are_same(own: f32, other: f32) -> bool {
    own == other || (own - other).abs() <= 2.0 * f32::EPSILON * own.abs()
}

#[cfg(test)]
mod tests {
    use glam::{DAffine3, DMat3, DVec3};
    use polycl_image::{Space, Volume};

    use super::*;

    #[test]
    fn voxels_are_known_in_every_order() {
        let affine = DAffine3::from_mat3(DMat3::from_diagonal(DVec3::new(-0.8, 0.8, 2.0)));
        let space = Space::new([4, 4, 3], affine);
        let image = Volume { voxels: (0..48).map(|at| (at * at % 101) as f32).collect(), space };
        for flip in [[false; 3], [true, false, true]] {
            for axes in AXES {
                let order = Reorientation { axes, flip };
                let array = order.apply(&image);
                let found = order_of(&image, array.space.shape, &array.voxels);
                assert_eq!(found, Some(order), "{order:?}");
            }
        }
        let mut other = image.voxels.clone();
        other[47] += 1.0;
        assert_eq!(order_of(&image, [4, 4, 3], &other), None);
        // Of voxels that are the same in several orders, the file's own order is meant.
        let flat = Volume { voxels: vec![1.0; 48], ..image };
        let order = order_of(&flat, [4, 4, 3], &[1.0; 48]).unwrap();
        assert_eq!(order, Reorientation { axes: [0, 1, 2], flip: [false; 3] });
    }
}
