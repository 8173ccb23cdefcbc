//! The planes in which people draw, and in which a scan is walked through.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::orient::Reorientation;
use crate::{Mask, Space};

/// Least sides of a drawing in sagittal or coronal planes, in voxels: of one in a single plane, and for each plane of
/// one in neighbouring planes, which may as well be a thin organ.
const LEAST: usize = 3;
const LEAST_PER_PLANE: usize = 8;

/// Parallel planes of a scan, by the canonical axis that runs through them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// Counted from the patient's right.
    Sagittal,
    /// Counted from the front.
    Coronal,
    /// Slices, counted from the feet.
    #[default]
    Axial,
}

impl Plane {
    const ALL: [Self; 3] = [Self::Sagittal, Self::Coronal, Self::Axial];

    /// From the voxel order of `space` to one whose slices are these planes, as radiologists see them: axial ones from
    /// the feet with the front up, the others with the head up.
    pub fn order(self, space: &Space) -> Reorientation {
        let canonical = Reorientation::to_canonical(space);
        let Reorientation { axes: [x, y, z], flip: [left, back, up] } = canonical;
        match self {
            Self::Axial => canonical,
            Self::Coronal => Reorientation { axes: [x, z, y], flip: [left, !up, back] },
            Self::Sagittal => Reorientation { axes: [y, z, x], flip: [back, !up, left] },
        }
    }

    /// The word for one of them.
    pub fn word(self) -> &'static str {
        match self {
            Self::Axial => "slice",
            Self::Coronal => "coronal plane",
            Self::Sagittal => "sagittal plane",
        }
    }

    /// The planes in which the labels of a mask were drawn: axial ones, unless a label is thin across sagittal or
    /// coronal ones, and all others fit to that.
    ///
    /// # Errors
    /// Two labels that were drawn in planes of different kinds.
    pub fn of_drawing(mask: &Mask) -> Result<Self, [(u16, Self); 2]> {
        let runs = runs(mask);
        let mut others = runs.iter().map(|(&label, &runs)| (label, Self::of_runs(runs)));
        let Some(first) = others.find(|(_, plane)| *plane != Self::Axial) else { return Ok(Self::Axial) };
        // A line or a single voxel may be a part of a drawing in any planes.
        let fits = |runs: [usize; 3]| Self::of_runs(runs) == first.1 || runs[first.1 as usize] == 1;
        match runs.iter().find(|(_, runs)| !fits(**runs)) {
            Some((&other, &runs)) => Err([first, (other, Self::of_runs(runs))]),
            None => Ok(first.1),
        }
    }

    /// The planes in which a label was drawn of which so many neighbouring planes have voxels, by canonical axis.
    fn of_runs(runs: [usize; 3]) -> Self {
        let is_thin = |plane: &Self| {
            let own = runs[*plane as usize];
            let least = if own == 1 { LEAST } else { LEAST_PER_PLANE * own };
            Self::ALL.iter().all(|other| other == plane || runs[*other as usize] >= least)
        };
        [Self::Sagittal, Self::Coronal].into_iter().find(is_thin).unwrap_or_default()
    }
}

/// The most neighbouring planes that have voxels of a label, by label and canonical axis.
fn runs(mask: &Mask) -> BTreeMap<u16, [usize; 3]> {
    let axes = Reorientation::to_canonical(&mask.space).axes;
    let shape = mask.space.shape;
    let mut shown: BTreeMap<u16, [Vec<bool>; 3]> = BTreeMap::new();
    for (at, &label) in mask.voxels.iter().enumerate().filter(|(_, label)| **label > 0) {
        let voxel = [at % shape[0], at / shape[0] % shape[1], at / shape[0] / shape[1]];
        let own = shown.entry(label).or_insert_with(|| axes.map(|axis| vec![false; shape[axis]]));
        own.iter_mut().zip(axes).for_each(|(planes, axis)| planes[voxel[axis]] = true);
    }
    let longest = |planes: Vec<bool>| {
        let runs = planes.chunk_by(|one, next| one == next).filter(|run| run[0]);
        runs.map(<[bool]>::len).max().unwrap_or(0)
    };
    shown.into_iter().map(|(label, planes)| (label, planes.map(longest))).collect()
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        })
    }
}

impl FromStr for Plane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |plane: &Self| plane.to_string() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| "expected axial, coronal or sagittal".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use glam::{DAffine3, DMat3, DVec3};

    use super::*;

    fn space() -> Space {
        Space::new([20; 3], DAffine3::from_mat3(DMat3::from_diagonal(DVec3::new(-1.0, -1.0, 3.0))))
    }

    /// Boxes of labels, each from its first voxel up to its end, later ones over earlier ones.
    fn mask(boxes: &[(u16, [usize; 3], [usize; 3])]) -> Mask {
        let space = space();
        let label = |at: usize| {
            let voxel = [at % 20, at / 20 % 20, at / 400];
            let holds = |(_, low, high): &&(u16, [usize; 3], [usize; 3])| {
                (0..3).all(|axis| (low[axis]..high[axis]).contains(&voxel[axis]))
            };
            boxes.iter().rev().find(holds).map_or(0, |(label, ..)| *label)
        };
        Mask { voxels: (0..space.voxels()).map(label).collect(), space }
    }

    #[test]
    fn drawings_are_thin_across_their_planes() {
        use Plane::{Axial, Coronal, Sagittal};
        // A box that spans these columns, rows and slices.
        let cases = [
            ([4..5, 2..11, 2..12], Sagittal),
            ([2..11, 4..5, 2..12], Coronal),
            ([2..11, 2..11, 4..5], Axial),
            // Neighbouring planes; too short ones may be a thin organ.
            ([4..6, 0..16, 2..18], Sagittal),
            ([4..6, 0..16, 2..17], Axial),
            ([2..11, 2..11, 4..7], Axial),
            // Thick slices, of which a lesion has three, or two.
            ([4..5, 2..11, 2..5], Sagittal),
            ([4..5, 2..11, 2..4], Axial),
            // Lines and voxels.
            ([4..5, 5..6, 2..12], Axial),
            ([4..5, 2..12, 5..6], Axial),
            ([4..5, 5..6, 6..7], Axial),
            ([2..11, 2..11, 2..12], Axial),
        ];
        for (spans, plane) in cases {
            let drawn =
                mask(&[(1, spans.clone().map(|span| span.start), spans.clone().map(|span| span.end))]);
            assert_eq!(Plane::of_drawing(&drawn), Ok(plane), "{spans:?}");
            // In any order of voxels.
            let turned = Reorientation { axes: [1, 2, 0], flip: [true, false, true] }.apply(&drawn);
            assert_eq!(Plane::of_drawing(&turned), Ok(plane), "{spans:?}");
        }
        assert_eq!(Plane::of_drawing(&mask(&[])), Ok(Axial));
        // Several planes, slices that lie apart, and a line and a voxel beside a drawing.
        let sagittal = [(1, [4, 2, 2], [5, 11, 12]), (1, [7, 2, 2], [8, 11, 12])];
        assert_eq!(Plane::of_drawing(&mask(&sagittal)), Ok(Sagittal));
        assert_eq!(
            Plane::of_drawing(&mask(&[(1, [2, 2, 4], [11, 11, 5]), (1, [2, 2, 8], [11, 11, 9])])),
            Ok(Axial)
        );
        let [drawn, _] = sagittal;
        let beside = [drawn, (2, [4, 14, 2], [5, 15, 12]), (3, [9, 16, 2], [10, 17, 3])];
        assert_eq!(Plane::of_drawing(&mask(&beside)), Ok(Sagittal));
    }

    #[test]
    fn labels_in_planes_of_different_kinds_are_named() {
        let axial = (1, [8, 2, 4], [19, 11, 5]);
        let sagittal = (2, [4, 2, 2], [5, 11, 12]);
        let coronal = (3, [8, 15, 2], [19, 16, 12]);
        let both = |one, other| Plane::of_drawing(&mask(&[one, other])).unwrap_err();
        assert_eq!(both(axial, sagittal), [(2, Plane::Sagittal), (1, Plane::Axial)]);
        assert_eq!(both(sagittal, coronal), [(2, Plane::Sagittal), (3, Plane::Coronal)]);
    }

    /// Each voxel tells where it is: left, back and up, from the first one on.
    #[test]
    fn planes_are_seen_as_radiologists_see_them() {
        let space = Space::new([2, 3, 4], space().world_from_voxel);
        let voxels = (0..24).map(|at| [at % 2, at / 2 % 3, at / 6]).collect();
        let volume = crate::Volume { space, voxels };
        for file in [[0, 1, 2], [2, 0, 1]] {
            let file = Reorientation { axes: file, flip: [true, false, true] }.apply(&volume);
            let plane = |plane: Plane| plane.order(&file.space).plane(&file, 1);
            let corners =
                |plane: Vec<[usize; 3]>, width: usize| [plane[0], plane[width - 1], plane[plane.len() - 1]];
            // The head is up; the front is left, as is the patient's right.
            assert_eq!(corners(plane(Plane::Sagittal), 3), [[1, 0, 3], [1, 2, 3], [1, 2, 0]]);
            assert_eq!(corners(plane(Plane::Coronal), 2), [[0, 1, 3], [1, 1, 3], [1, 1, 0]]);
            assert_eq!(corners(plane(Plane::Axial), 2), [[0, 0, 1], [1, 0, 1], [1, 2, 1]]);
        }
    }
}
