//! Contours around the voxels of one plane: marching squares, with their holes on keyholes.
//!
//! W. Lorensen, H. Cline, "Marching cubes", SIGGRAPH 1987, in two dimensions. A contour runs between inside voxels and
//! outside ones, halfway from centre to centre, with the inside on its right where y grows downwards. Inside voxels that
//! touch by a corner alone are apart. [`super::fill`] draws the very voxels again.

use super::fill::Point;

const NONE: u32 = u32::MAX;

/// The contours of a plane of `across` by `down` voxels, each with its holes.
pub(super) fn trace(inside: &[bool], [across, down]: [usize; 2]) -> Vec<Vec<Point>> {
    let plane = Plane { inside, across, down };
    let mut net = Net { plane, next: vec![NONE; plane.places()], copies: Vec::new() };
    net.march();
    net.hang_holes();
    net.rings().iter().map(|ring| straightened(ring)).collect()
}

/// Voxels, and the places between them: those left and right of voxels, then those above and below.
#[derive(Clone, Copy)]
struct Plane<'a> {
    inside: &'a [bool],
    across: usize,
    down: usize,
}

impl Plane<'_> {
    /// True for an inside voxel, whose indices are one too high here; beyond the plane all is outside.
    fn has(self, i: usize, j: usize) -> bool {
        let within = (1..=self.across).contains(&i) && (1..=self.down).contains(&j);
        within && self.inside[i - 1 + self.across * (j - 1)]
    }

    /// Places left and right of voxels.
    fn beside(self) -> usize {
        (self.across + 1) * self.down
    }

    fn places(self) -> usize {
        self.beside() + self.across * (self.down + 1)
    }

    fn left_of(self, i: usize, j: usize) -> usize {
        i + (self.across + 1) * j
    }

    fn above(self, i: usize, j: usize) -> usize {
        self.beside() + i + self.across * j
    }

    fn point(self, place: usize) -> Point {
        let apart = |place: usize, width: usize| ((place % width) as f64, (place / width) as f64);
        match place.checked_sub(self.beside()) {
            None => {
                let (i, j) = apart(place, self.across + 1);
                [i - 0.5, j]
            }
            Some(place) => {
                let (i, j) = apart(place, self.across);
                [i, j - 0.5]
            }
        }
    }
}

struct Net<'a> {
    plane: Plane<'a>,
    /// The place that follows each on its contour; after the places, their copies.
    next: Vec<u32>,
    /// The places that copies are of.
    copies: Vec<u32>,
}

impl Net<'_> {
    /// Joins the places around the corners of voxels.
    fn march(&mut self) {
        let plane = self.plane;
        for j in 0..=plane.down {
            for i in 0..=plane.across {
                let corners = [(i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1)].map(|(i, j)| plane.has(i, j));
                if corners.iter().any(|corner| *corner != corners[0]) {
                    self.join(corners, i, j);
                }
            }
        }
    }

    /// Joins the places around one corner, by the voxels above it and below it.
    fn join(&mut self, corners: [bool; 4], i: usize, j: usize) {
        let plane = self.plane;
        // A place beyond the plane has the outside on both sides and is never joined.
        let top = plane.left_of(i, j.saturating_sub(1));
        let left = plane.above(i.saturating_sub(1), j);
        let (bottom, right) = (plane.left_of(i, j), plane.above(i, j));
        let links: &[(usize, usize)] = match corners {
            [true, false, false, false] => &[(top, left)],
            [false, true, false, false] => &[(right, top)],
            [false, false, true, false] => &[(left, bottom)],
            [false, false, false, true] => &[(bottom, right)],
            [false, true, true, true] => &[(left, top)],
            [true, false, true, true] => &[(top, right)],
            [true, true, false, true] => &[(bottom, left)],
            [true, true, true, false] => &[(right, bottom)],
            [true, true, false, false] => &[(right, left)],
            [false, false, true, true] => &[(left, right)],
            [true, false, true, false] => &[(top, bottom)],
            [false, true, false, true] => &[(bottom, top)],
            [true, false, false, true] => &[(top, left), (bottom, right)],
            [false, true, true, false] => &[(right, top), (left, bottom)],
            _ => &[],
        };
        links.iter().for_each(|&(from, to)| self.next[from] = to as u32);
    }

    /// Joins each hole to the contour left of it, by a channel along a row that is walked both ways. Channels go left only and
    /// through the inside only, so that all end at an outer contour and none crosses another.
    fn hang_holes(&mut self) {
        let beside = self.plane.beside();
        let mut seen = vec![false; self.next.len()];
        let mut channels = Vec::new();
        for start in 0..beside {
            if self.next[start] == NONE || seen[start] {
                continue;
            }
            let ring: Vec<usize> = self.ring(start, &mut seen);
            let leftmost = ring.iter().filter(|&&place| place < beside);
            let leftmost = leftmost.min_by_key(|&&place| place % (self.plane.across + 1));
            if let Some(&hole) = leftmost.filter(|&&place| self.is_right_side(place)) {
                channels.push((self.side_left_of(hole), hole));
            }
        }
        channels.into_iter().for_each(|(outer, hole)| self.dig(outer, hole));
    }

    /// True where the inside lies left of a place, as it does of the leftmost of a hole.
    fn is_right_side(&self, place: usize) -> bool {
        let width = self.plane.across + 1;
        self.plane.has(place % width, place / width + 1)
    }

    /// The place in the same row at which the inside left of `place` begins.
    fn side_left_of(&self, place: usize) -> usize {
        let width = self.plane.across + 1;
        let (i, j) = (place % width, place / width);
        let begin = (0..=i).rev().find(|&i| !self.plane.has(i, j + 1)).unwrap_or(0);
        self.plane.left_of(begin, j)
    }

    /// Leads the outer contour to the hole, around it, and back.
    fn dig(&mut self, outer: usize, hole: usize) {
        let hole_again = self.copy(hole, self.next[hole]);
        let outer_again = self.copy(outer, self.next[outer]);
        self.next[outer] = hole_again;
        self.next[hole] = outer_again;
    }

    fn copy(&mut self, place: usize, next: u32) -> u32 {
        self.copies.push(place as u32);
        self.next.push(next);
        self.next.len() as u32 - 1
    }

    fn ring(&self, start: usize, seen: &mut [bool]) -> Vec<usize> {
        let mut ring = Vec::new();
        let mut place = start;
        while !seen[place] {
            seen[place] = true;
            ring.push(place);
            place = self.next[place] as usize;
        }
        ring
    }

    fn rings(&self) -> Vec<Vec<Point>> {
        let places = self.plane.places();
        let point = |place: usize| match place.checked_sub(places) {
            None => self.plane.point(place),
            Some(copy) => self.plane.point(self.copies[copy] as usize),
        };
        let mut seen = vec![false; self.next.len()];
        let mut rings = Vec::new();
        for start in 0..self.plane.beside() {
            if self.next[start] != NONE && !seen[start] {
                rings.push(self.ring(start, &mut seen).into_iter().map(point).collect());
            }
        }
        rings
    }
}

/// A closed contour without the points at which it goes straight on.
fn straightened(ring: &[Point]) -> Vec<Point> {
    let before = ring.iter().cycle().skip(ring.len() - 1);
    let after = ring.iter().cycle().skip(1);
    let turns = ring.iter().zip(before).zip(after).filter(|((point, before), after)| {
        let (to, from) =
            ([point[0] - before[0], point[1] - before[1]], [after[0] - point[0], after[1] - point[1]]);
        let straight = to[0] * from[1] == to[1] * from[0] && to[0] * from[0] + to[1] * from[1] > 0.0;
        !straight
    });
    turns.map(|((point, _), _)| *point).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fill::fill;
    use super::*;

    fn plane(text: &str) -> (Vec<bool>, [usize; 2]) {
        let rows: Vec<&str> = text.split_whitespace().collect();
        let inside = rows.iter().flat_map(|row| row.bytes().map(|byte| byte == b'#')).collect();
        (inside, [rows[0].len(), rows.len()])
    }

    fn again(inside: &[bool], shape: [usize; 2]) -> usize {
        let contours = trace(inside, shape);
        let slices: Vec<&[Point]> = contours.iter().map(Vec::as_slice).collect();
        assert!(contours.iter().all(|contour| contour.len() >= 3));
        assert_eq!(fill(&slices, shape), inside);
        contours.len()
    }

    #[test]
    fn contours_are_drawn_as_they_were_traced() {
        for (text, contours) in [
            ("#", 1),
            ("....", 0),
            ("####", 1),
            ("#.#.#", 3),
            ("#. .#", 2),
            (".# #.", 2),
            ("###### #....# #.##.# #.##.# #....# ######", 2),
            ("##### #.#.# ##### #.#.# #####", 1),
            ("####### #.....# #.###.# #.#.#.# #.###.# #.....# #######", 2),
            ("####. #.#.# ##### .#.##", 1),
            ("#.#.# .#.#. #.#.#", 8),
        ] {
            let (inside, shape) = plane(text);
            assert_eq!(again(&inside, shape), contours, "{text}");
        }
    }

    #[test]
    fn noise_of_any_density_comes_back() {
        let mut state = 3u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 40
        };
        for shape in [[1, 30], [30, 1], [17, 23], [64, 64]] {
            for part in [1, 3, 8, 13, 15] {
                let inside: Vec<bool> = (0..shape[0] * shape[1]).map(|_| random() % 16 < part).collect();
                again(&inside, shape);
            }
        }
    }

    #[test]
    fn a_contour_has_no_point_but_where_it_turns() {
        let (inside, shape) = plane("#### #### ####");
        assert_eq!(trace(&inside, shape)[0].len(), 8, "four corners, each cut");
        let (inside, shape) = plane("##### ##### ##.## ##### #####");
        let ring = &trace(&inside, shape)[0];
        assert_eq!(
            ring.len(),
            8 + 2 + 5,
            "the channel begins between corners, and ends at one of the hole's"
        );
        assert_eq!(ring.iter().filter(|point| **point == [-0.5, 2.0]).count(), 2);
        assert_eq!(ring.iter().filter(|point| **point == [1.5, 2.0]).count(), 2);
    }
}
