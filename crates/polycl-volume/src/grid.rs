//! Whether a mask lies on the voxels of its image: on the same lattice of points, whatever order of axes its file has.

use std::path::Path;

use crate::orient::Reorientation;
use crate::{Error, Kind, Result, Space, Volume};

/// How the voxels of one volume lie on those of another. No voxel is interpolated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// From either order to the common one; `None` where both have the same.
    orders: Option<[Reorientation; 2]>,
    /// mm between the corners that lie farthest apart.
    moved: f64,
}

/// mm between corners from which a person is told; less is what single precision leaves.
const TOLD: f64 = 0.01;

/// How `other` lies on `grid`; where it does not, what was expected and what was found.
pub fn fit(grid: &Space, other: &Space) -> std::result::Result<Fit, (String, String)> {
    let Some(disagreement) = grid.disagreement(other) else {
        return Ok(Fit { orders: None, moved: grid.corner_distance(other) });
    };
    let orders = [grid, other].map(Reorientation::to_canonical);
    let [ours, theirs] = [orders[0].space(grid), orders[1].space(other)];
    if ours.disagreement(&theirs).is_some() {
        return Err(disagreement);
    }
    Ok(Fit { orders: Some(orders), moved: ours.corner_distance(&theirs) })
}

impl Fit {
    /// What a person should know; `None` where the grids are the same.
    pub fn note(&self) -> Option<String> {
        let reordered = self.orders.is_some().then(|| "its axes run in another order; reordered".to_owned());
        let moved = (self.moved > TOLD).then(|| format!("its corners are up to {:.2} mm away", self.moved));
        let said = Vec::from_iter([reordered, moved].into_iter().flatten());
        (!said.is_empty()).then(|| said.join(", and "))
    }

    /// The voxels of `other` in the order of `grid`, whose space they take over.
    ///
    /// # Panics
    /// If the spaces are not those that were fitted.
    pub fn apply<T: Copy>(&self, other: Volume<T>, grid: &Space) -> Volume<T> {
        match self.orders {
            None => Volume { space: grid.clone(), voxels: other.voxels },
            Some([ours, theirs]) => ours.invert(&theirs.apply(&other), grid),
        }
    }
}

/// As [`fit`], for the file of a mask that must lie on the voxels of its image; `whose` names the image.
///
/// # Errors
/// [`Kind::Geometry`] where it does not.
pub fn on_image(grid: &Space, mask: &Space, path: &Path, whose: &str, hint: &str) -> Result<Fit> {
    fit(grid, mask).map_err(|(expected, found)| {
        Error::new(path, Kind::Geometry, format!("{expected} of {whose}"), found).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use glam::{DAffine3, DMat3, DVec3};

    use super::*;

    fn rotated() -> Space {
        let turn = DMat3::from_euler(glam::EulerRot::XYZ, 0.1, -0.07, 0.2);
        let matrix3 = turn * DMat3::from_diagonal(DVec3::new(-0.7, -0.7, 3.0));
        Space::new([5, 4, 3], DAffine3 { matrix3, translation: DVec3::new(10.0, -20.0, 30.0) })
    }

    fn volume() -> Volume<u16> {
        Volume { space: rotated(), voxels: (0..60).collect() }
    }

    #[test]
    fn every_order_of_axes_comes_back_to_the_same_voxels() {
        let permutations = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for axes in permutations {
            for flips in 0..8_u8 {
                let order = Reorientation { axes, flip: [0, 1, 2].map(|axis| flips >> axis & 1 == 1) };
                let other = order.apply(&volume());
                let fit = fit(&rotated(), &other.space).unwrap();
                assert_eq!(fit.apply(other, &rotated()).voxels, volume().voxels, "{order:?}");
                let same = axes == [0, 1, 2] && flips == 0;
                assert_eq!(fit.note().is_none(), same, "{order:?}");
            }
        }
    }

    #[test]
    fn a_tenth_of_a_voxel_is_told_and_more_refused() {
        let moved = |mm: f64| {
            let mut space = rotated();
            space.world_from_voxel.translation += DVec3::X * mm;
            fit(&rotated(), &space)
        };
        assert_eq!(moved(0.005).unwrap().note(), None);
        assert_eq!(moved(0.06).unwrap().note().unwrap(), "its corners are up to 0.06 mm away");
        assert_eq!(moved(0.08).unwrap_err().1, "a corner 0.08 mm away");
        assert!(moved(f64::NAN).is_err());
        // Half a slice away, in another order of axes, is another place all the same.
        let order = Reorientation { axes: [1, 0, 2], flip: [false, true, true] };
        let mut other = order.apply(&volume()).space;
        other.world_from_voxel.translation += DVec3::Z * 1.5;
        assert!(fit(&rotated(), &other).is_err());
    }
}
