//! Contours that run through the centres of voxels.
//!
//! OpenCV draws them so, and who writes its contours as they are (rt-utils, TotalSegmentator) means the voxels on them to be
//! inside: by area, every organ would lose half a voxel all around.

use super::fill::Point;

/// Points within this part of a voxel of a centre are there.
const NEAR: f64 = 0.01;

/// True where every point is the centre of a voxel.
pub(super) fn through_centres(contours: &[&[Point]]) -> bool {
    let is_whole = |number: &f64| (number - number.round()).abs() <= NEAR;
    contours.iter().flat_map(|contour| contour.iter().flatten()).all(is_whole)
}

/// Adds the voxels whose centres lie on a contour through centres.
pub(super) fn add(inside: &mut [bool], contours: &[&[Point]], [across, down]: [usize; 2]) {
    for contour in contours {
        for (from, to) in contour.iter().zip(contour.iter().cycle().skip(1)) {
            let [[x, y], end] = [from, to].map(|point| point.map(|number| number.round() as i64));
            let steps = divisor(end[0] - x, end[1] - y).max(1);
            let (right, below) = ((end[0] - x) / steps, (end[1] - y) / steps);
            // Contours may reach far beyond the plane.
            let first = skipped(x, right, across).max(skipped(y, below, down));
            for step in (first..steps).take(across + down) {
                let [i, j] = [x + step * right, y + step * below];
                if let (Ok(i), Ok(j)) = (usize::try_from(i), usize::try_from(j))
                    && i < across
                    && j < down
                {
                    inside[i + across * j] = true;
                }
            }
        }
    }
}

/// Steps from `at` before the first that may be in a plane of `side` voxels.
fn skipped(at: i64, step: i64, side: usize) -> i64 {
    match step {
        0 => 0,
        1.. => (-at).max(0) / step,
        _ => (at - side as i64).max(0) / -step,
    }
}

/// The greatest common divisor, 0 of two zeros.
fn divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::super::fill::fill;
    use super::*;

    #[test]
    fn voxels_on_a_contour_are_added() {
        // As cv2.findContours has a disc of 21 voxels.
        let disc =
            [[2.0, 0.0], [0.0, 2.0], [0.0, 3.0], [1.0, 4.0], [3.0, 4.0], [4.0, 3.0], [4.0, 1.0], [3.0, 0.0]];
        let contours = [&disc[..]];
        assert!(through_centres(&contours));
        let mut inside = fill(&contours, [6, 6]);
        add(&mut inside, &contours, [6, 6]);
        let rows: Vec<usize> =
            inside.chunks(6).map(|row| row.iter().filter(|inside| **inside).count()).collect();
        assert_eq!(rows, [2, 4, 5, 5, 3, 0]);
        assert!(!through_centres(&[&[[2.0, 0.0], [0.5, 2.0], [1.0, 4.0]]]));
    }

    #[test]
    fn what_lies_beyond_the_plane_is_left_out() {
        let contour = [[-1e6, 1.0], [1e6, 1.0], [1e6, 3.0], [-1e6, 3.0]];
        let mut inside = vec![false; 25];
        add(&mut inside, &[&contour], [5, 5]);
        assert!((0..25).all(|n| inside[n] == [1, 3].contains(&(n / 5))));
    }
}
