//! Slices without a contour between slices with one.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::edt::squared_distances;

/// Drawn planes by their slices.
pub(super) type Slices = BTreeMap<usize, Vec<bool>>;

/// The first and last slice of each gap.
pub(super) fn gaps(drawn: &[usize]) -> Vec<[usize; 2]> {
    drawn.windows(2).filter(|pair| pair[1] - pair[0] > 1).map(|pair| [pair[0] + 1, pair[1] - 1]).collect()
}

/// Interpolates the shape in each gap from the slices that bound it: the signed distance to the border goes evenly from that
/// of one to that of the other (G. Herman, J. Zheng, C. Bucholtz, "Shape-based interpolation", IEEE CG&A 12 (1992)).
pub(super) fn fill_gaps(slices: &mut Slices, gaps: &[[usize; 2]], shape: [usize; 2], spacing: [f64; 2]) {
    let between = |&[first, last]: &[usize; 2]| {
        let [before, after] = [first - 1, last + 1].map(|slice| signed(&slices[&slice], shape, spacing));
        let width = (last - first + 2) as f64;
        let filled = (first..=last).map(|slice| {
            let part = (slice + 1 - first) as f64 / width;
            let each = before.iter().zip(&after);
            (slice, each.map(|(before, after)| before + part * (after - before) >= 0.0).collect())
        });
        filled.collect::<Vec<_>>()
    };
    let filled: Vec<(usize, Vec<bool>)> = gaps.par_iter().flat_map_iter(between).collect();
    slices.extend(filled);
}

/// Millimetres to the nearest voxel of the other side, above zero inside.
fn signed(inside: &[bool], [across, down]: [usize; 2], [dx, dy]: [f64; 2]) -> Vec<f64> {
    // Farther than any patient is wide, where there is no other side.
    let away = |sites: &[bool]| {
        let squared = squared_distances(sites, [across, down, 1], [dx, dy, 1.0]);
        squared.into_iter().map(|squared| squared.sqrt().min(1e4))
    };
    let outside: Vec<bool> = inside.iter().map(|inside| !inside).collect();
    away(&outside).zip(away(inside)).map(|(to_outside, to_inside)| to_outside - to_inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc of `radius` mm in the middle of a plane.
    fn disc(radius: f64, shape: [usize; 2], spacing: [f64; 2]) -> Vec<bool> {
        let at = |n: usize, axis: usize| {
            let index = if axis == 0 { n % shape[0] } else { n / shape[0] };
            (index as f64 - (shape[axis] / 2) as f64) * spacing[axis]
        };
        (0..shape[0] * shape[1]).map(|n| at(n, 0).hypot(at(n, 1)) <= radius).collect()
    }

    #[test]
    fn a_cone_is_filled_in() {
        let (shape, spacing) = ([101, 61], [1.0, 2.0]);
        let area = |radius: f64| disc(radius, shape, spacing).iter().filter(|inside| **inside).count() as f64;
        let mut slices = Slices::from([(3, disc(20.0, shape, spacing)), (7, disc(40.0, shape, spacing))]);
        slices.insert(9, disc(40.0, shape, spacing));
        let drawn: Vec<usize> = slices.keys().copied().collect();
        let gaps = gaps(&drawn);
        assert_eq!(gaps, [[4, 6], [8, 8]]);
        fill_gaps(&mut slices, &gaps, shape, spacing);
        assert_eq!(slices.keys().copied().collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
        for (slice, radius) in [(4, 25.0), (5, 30.0), (6, 35.0), (8, 40.0)] {
            let found = slices[&slice].iter().filter(|inside| **inside).count() as f64;
            assert!((found / area(radius) - 1.0).abs() < 0.03, "slice {slice}: {found} for {}", area(radius));
        }
    }

    #[test]
    fn two_things_apart_are_not_joined() {
        let shape = [40, 10];
        let square =
            |from: usize| (0..400).map(|n| (from..from + 5).contains(&(n % 40))).collect::<Vec<bool>>();
        let mut slices = Slices::from([(0, square(2)), (4, square(30))]);
        fill_gaps(&mut slices, &[[1, 3]], shape, [1.0, 1.0]);
        assert!(slices[&2].iter().all(|inside| !inside));
    }
}
