//! The fit of a mask on the voxels of its image: on the same lattice of points, whatever order of axes its file has.

use std::path::Path;

use glam::{DAffine3, DMat3, DVec3};
use polycl_base::{Error, Kind, Result};

use crate::orient::Reorientation;
use crate::{Space, Volume, files};

/// The voxels of one volume among those of another. No voxel is interpolated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// From either order to the common one; `None` where both have the same.
    orders: Option<[Reorientation; 2]>,
    /// The place of a volume that holds a part of the grid alone.
    part: Option<Part>,
    /// mm between the corners that lie farthest apart.
    moved: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    /// The place of its first voxel in the common order.
    first: [i64; 3],
    /// The shapes of the part and of the whole, where a person does not expect a part.
    told: Option<[[usize; 3]; 2]>,
    /// Some of it lies outside the whole.
    beyond: bool,
}

/// mm between corners from which a person is told; less is what single precision leaves.
const TOLD: f64 = 0.01;

/// The fit of a file's volume on `grid`; where there is none, what was expected and what was found. It may hold a part of the
/// grid: a segmentation of 3D Slicer ends where its segments do, and people save the slice alone that they drew.
pub fn fit(grid: &Space, other: &Space, path: &Path) -> std::result::Result<Fit, (String, String)> {
    let Some(disagreement) = grid.disagreement(other) else {
        return Ok(Fit { orders: None, part: None, moved: grid.corner_distance(other) });
    };
    let orders = [grid, other].map(Reorientation::to_canonical);
    let [ours, theirs] = [orders[0].space(grid), orders[1].space(other)];
    if ours.disagreement(&theirs).is_none() {
        return Ok(Fit { orders: Some(orders), part: None, moved: ours.corner_distance(&theirs) });
    }
    let part = (!is_placeless(other)).then(|| part(&ours, &theirs)).flatten();
    // Only 3D Slicer draws beyond a scan, on the grid of another one.
    let part = part.filter(|(_, _, beyond)| !beyond || files::is_segmentation(path));
    let (first, moved, beyond) = part.ok_or(disagreement)?;
    let told = (!files::is_segmentation(path)).then_some([other.shape, grid.shape]);
    Ok(Fit { orders: Some(orders), part: Some(Part { first, told, beyond }), moved })
}

/// The place of a part's first voxel in the whole, how far its corners are away from there, and whether some of it lies
/// outside.
fn part(whole: &Space, part: &Space) -> Option<([i64; 3], f64, bool)> {
    let at = whole.world_from_voxel.inverse().transform_point3(part.world_from_voxel.translation).round();
    let first = at.to_array();
    let inside =
        |axis: usize| first[axis] >= 0.0 && first[axis] + part.shape[axis] as f64 <= whole.shape[axis] as f64;
    let overlaps =
        |axis: usize| first[axis] < whole.shape[axis] as f64 && first[axis] + part.shape[axis] as f64 > 0.0;
    // Written so that a place that is no number is refused as well.
    if ![0, 1, 2].into_iter().all(overlaps) {
        return None;
    }
    let beyond = ![0, 1, 2].into_iter().all(inside);
    let mut place = Space::new(part.shape, whole.world_from_voxel);
    place.world_from_voxel.translation = whole.world_from_voxel.transform_point3(DVec3::from_array(first));
    place.disagreement(part).is_none().then(|| (first.map(|i| i as i64), place.corner_distance(part), beyond))
}

impl Fit {
    /// A note for a person; `None` where the grids are the same. That 3D Slicer keeps parts is nothing to know.
    pub fn note(&self) -> Option<String> {
        let reordered = self.orders.is_some() && self.part.is_none();
        let reordered = reordered.then(|| "same voxels, axes in another order: reordered".to_owned());
        let beyond = self.part.is_some_and(|part| part.beyond);
        let beyond = beyond.then(|| "the part beyond the scan is left out".to_owned());
        let part = self.part.and_then(|part| part.told).map(|[part, whole]| {
            format!("only {part:?} of {whole:?} voxels are there, and the others count as background")
        });
        let moved = (self.moved > TOLD).then(|| format!("the corners are up to {:.2} mm apart", self.moved));
        let said = Vec::from_iter([reordered, part, beyond, moved].into_iter().flatten());
        (!said.is_empty()).then(|| said.join(", and "))
    }

    /// True if slices of the two files have other numbers.
    pub fn is_reordered(&self) -> bool {
        self.orders.is_some()
    }

    /// The voxels of `other` in the order of `grid`, whose space they take over.
    ///
    /// # Panics
    /// If the spaces are not those that were fitted.
    pub fn apply<T: Copy + Default>(&self, other: Volume<T>, grid: &Space) -> Volume<T> {
        let Some([ours, theirs]) = self.orders else {
            return Volume { space: grid.clone(), voxels: other.voxels };
        };
        let other = theirs.apply(&other);
        let Some(Part { first: [x, y, z], .. }) = self.part else { return ours.invert(&other, grid) };
        let space = ours.space(grid);
        let mut whole = Volume { voxels: vec![T::default(); space.voxels()], space };
        let ([nx, ny, _], [width, height, _]) = (other.space.shape, whole.space.shape);
        let depth = whole.space.shape[2];
        let within = |at: i64, side: usize| usize::try_from(at).ok().filter(|&at| at < side);
        let skipped = usize::try_from(-x).unwrap_or(0).min(nx);
        let from = usize::try_from(x).unwrap_or(0);
        let held = (nx - skipped).min(width.saturating_sub(from));
        for (row, voxels) in other.voxels.chunks_exact(nx.max(1)).enumerate() {
            let (j, k) = (within(y + (row % ny) as i64, height), within(z + (row / ny) as i64, depth));
            let (Some(j), Some(k)) = (j, k) else { continue };
            whole.voxels[from + width * (j + height * k)..][..held]
                .copy_from_slice(&voxels[skipped..][..held]);
        }
        ours.invert(&whole, grid)
    }
}

const LOST: &str = "save the mask with the header of its image: its own holds no place but the numbers of the voxels, \
                    as of arrays that are saved without a header";

/// True if a header is what programs write that know of no place: 1 mm from the first voxel, in RAS or LPS.
fn is_placeless(space: &Space) -> bool {
    let plain = |x: f64| DAffine3::from_mat3(DMat3::from_diagonal(DVec3::new(x, x, 1.0)));
    let is = |affine: DAffine3| space.world_from_voxel.abs_diff_eq(affine, 1e-9);
    is(plain(1.0)) || is(plain(-1.0))
}

/// As [`fit`], for the file of a mask that must lie on the voxels of its image; `whose` names the image, where the hint
/// does not.
///
/// # Errors
/// [`Kind::Geometry`] where it does not.
pub fn on_image(grid: &Space, mask: &Space, path: &Path, whose: &str, hint: &str) -> Result<Fit> {
    fit(grid, mask, path).map_err(|(expected, found)| {
        let expected = if whose.is_empty() { expected } else { format!("{expected} of {whose}") };
        Error::new(path, Kind::Geometry, expected, found)
            .hint(if grid.shape == mask.shape && is_placeless(mask) { LOST } else { hint })
    })
}

#[cfg(test)]
mod tests {
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
                let fit = fit(&rotated(), &other.space, Path::new("a.nii")).unwrap();
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
            fit(&rotated(), &space, Path::new("a.nii"))
        };
        assert_eq!(moved(0.005).unwrap().note(), None);
        assert_eq!(moved(0.06).unwrap().note().unwrap(), "the corners are up to 0.06 mm apart");
        assert_eq!(moved(0.08).unwrap_err().1, "a corner 0.08 mm away");
        assert!(moved(f64::NAN).is_err());
        // Half a slice away, in another order of axes, is another place all the same.
        let order = Reorientation { axes: [1, 0, 2], flip: [false, true, true] };
        let mut other = order.apply(&volume()).space;
        other.world_from_voxel.translation += DVec3::Z * 1.5;
        assert!(fit(&rotated(), &other, Path::new("a.seg.nrrd")).is_err());
    }

    #[test]
    fn a_mask_whose_place_was_lost_is_told_from_one_that_lies_elsewhere() {
        let hint =
            |mask: Space| on_image(&rotated(), &mask, Path::new("a.nii"), "", "resample").unwrap_err().hint;
        let saved =
            |x: f64| Space::new([5, 4, 3], DAffine3::from_mat3(DMat3::from_diagonal(DVec3::new(x, x, 1.0))));
        assert_eq!([hint(saved(1.0)), hint(saved(-1.0))], [Some(LOST.to_owned()), Some(LOST.to_owned())]);
        assert_eq!(hint(saved(2.0)).unwrap(), "resample");
        assert_eq!(hint(Space { shape: [5, 4, 2], ..saved(1.0) }).unwrap(), "resample");
    }

    #[test]
    fn a_part_comes_back_to_its_place_and_is_told_where_nobody_expects_one() {
        let order = Reorientation { axes: [1, 2, 0], flip: [true, false, true] };
        let whole = order.apply(&volume());
        // Of 4 x 3 x 5 voxels the 2 x 1 x 3 from (1, 2, 1) on.
        let mut space = Space::new([2, 1, 3], whole.space.world_from_voxel);
        space.world_from_voxel.translation =
            space.world_from_voxel.transform_point3(DVec3::new(1.0, 2.0, 1.0));
        let mut expected = Volume { space: whole.space.clone(), voxels: vec![0; 60] };
        let mut voxels = Vec::new();
        for at in (1..4).flat_map(|k| [1, 2].map(|i| i + 4 * (2 + 3 * k))) {
            voxels.push(whole.voxels[at]);
            expected.voxels[at] = whole.voxels[at];
        }
        let cropped = Volume { space, voxels };
        let found = fit(&rotated(), &cropped.space, Path::new("a.nii.gz")).unwrap();
        let told = "only [2, 1, 3] of [5, 4, 3] voxels are there, and the others count as background";
        assert_eq!(found.note().unwrap(), told);
        let found = fit(&rotated(), &cropped.space, Path::new("a.seg.nrrd")).unwrap();
        assert_eq!(found.note(), None);
        assert_eq!(
            found.apply(cropped.clone(), &rotated()).voxels,
            order.invert(&expected, &rotated()).voxels
        );
        // Three voxels on, a third of it is still inside.
        let mut outside = cropped;
        outside.space.world_from_voxel.translation =
            outside.space.world_from_voxel.transform_point3(DVec3::new(0.0, 0.0, 3.0));
        assert!(fit(&rotated(), &outside.space, Path::new("a.nii.gz")).is_err());
        let found = fit(&rotated(), &outside.space, Path::new("a.seg.nrrd")).unwrap();
        assert_eq!(found.note().unwrap(), "the part beyond the scan is left out");
        let mut expected = Volume { space: whole.space.clone(), voxels: vec![0; 60] };
        for i in [1, 2] {
            expected.voxels[i + 4 * (2 + 3 * 4)] = outside.voxels[i - 1];
        }
        assert_eq!(found.apply(outside, &rotated()).voxels, order.invert(&expected, &rotated()).voxels);
    }
}
