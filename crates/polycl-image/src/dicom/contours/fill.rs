//! The voxels inside closed contours of one plane, by even-odd and exact area.
//!
//! Each row of voxels is cut into bands at the heights where an edge begins, ends or crosses another. Within a band no two
//! edges cross, so those of even and of odd place from the left bound the inside, and the area between them in each voxel
//! is that of trapezoids. A hole may be a contour of its own, or hang on a keyhole: the two sides of its channel cancel.

/// A place in voxels: the centre of voxel (i, j) is at (i, j).
pub(super) type Point = [f64; 2];

/// A voxel is inside where at least this part of it is covered.
const HALF: f64 = 0.5;
/// Coverage this near to [`HALF`] is a tie, which rounding would decide.
const TIE: f64 = 1e-4;
/// In a tie, the inside counts where it comes this near to the voxel's centre.
const TOUCH: f64 = 1e-3;
/// Heights closer than this are one.
const FLAT: f64 = 1e-12;
/// Edges looked at in one row; what is left of a row that takes more is cut into [`LINES`] bands, within which edges count
/// as upright.
const EFFORT: usize = 1 << 22;
const LINES: usize = 64;

/// An edge from its upper end to its lower one; y grows downwards.
#[derive(Debug, Clone, Copy)]
struct Edge {
    top: Point,
    bottom: Point,
}

impl Edge {
    fn at(&self, y: f64) -> f64 {
        let part = ((y - self.top[1]) / (self.bottom[1] - self.top[1])).clamp(0.0, 1.0);
        self.top[0] + part * (self.bottom[0] - self.top[0])
    }

    fn spans(&self, y: f64) -> bool {
        self.top[1] < y && y < self.bottom[1]
    }
}

/// True for each voxel of a plane of `across` by `down` that lies inside, the first index fastest.
pub(super) fn fill(contours: &[&[Point]], [across, down]: [usize; 2]) -> Vec<bool> {
    let mut inside = vec![false; across * down];
    let mut edges: Vec<Edge> = contours.iter().flat_map(|contour| edges(contour)).collect();
    edges.retain(|edge| edge.bottom[1] > -HALF && edge.top[1] < down as f64 - HALF);
    edges.sort_by(|a, b| a.top[1].total_cmp(&b.top[1]));
    let (mut active, mut next): (Vec<Edge>, usize) = (Vec::new(), 0);
    for (j, row) in inside.chunks_mut(across.max(1)).enumerate() {
        let y = j as f64;
        active.retain(|edge| edge.bottom[1] > y - HALF);
        while edges.get(next).is_some_and(|edge| edge.top[1] < y + HALF) {
            active.extend(Some(edges[next]).filter(|edge| edge.bottom[1] > y - HALF));
            next += 1;
        }
        if !active.is_empty() {
            fill_row(&active, y, row);
        }
    }
    inside
}

/// The edges of a closed contour, without level ones: these bound no area in a band.
fn edges(contour: &[Point]) -> impl Iterator<Item = Edge> + '_ {
    let ends = contour.iter().skip(1).chain(contour.first());
    contour
        .iter()
        .zip(ends)
        .filter(|(a, b)| (a[1] - b[1]).abs() > FLAT)
        .map(|(&a, &b)| if a[1] < b[1] { Edge { top: a, bottom: b } } else { Edge { top: b, bottom: a } })
}

fn fill_row(active: &[Edge], y: f64, row: &mut [bool]) {
    let covered = cover(active, y, row.len());
    let ties = |part: &f64| (part - HALF).abs() <= TIE;
    let near = covered.iter().any(ties).then(|| Near::new(active, y));
    for (i, (voxel, part)) in row.iter_mut().zip(&covered).enumerate() {
        *voxel = match &near {
            Some(near) if ties(part) => near.touches(i as f64),
            _ => *part > HALF,
        };
    }
}

/// The covered part of each voxel of a row, by the edges in it, the highest first.
fn cover(active: &[Edge], y: f64, across: usize) -> Vec<f64> {
    let mut row = Row { steps: vec![0.0; across + 1], across: across as f64 };
    let (top, bottom) = (y - HALF, y + HALF);
    let ends = active.iter().flat_map(|edge| [edge.top[1], edge.bottom[1]]);
    let mut heights: Vec<f64> = ends.filter(|&y| y > top && y < bottom).chain([top, bottom]).collect();
    heights.sort_by(f64::total_cmp);
    heights.dedup_by(|a, b| *a - *b <= FLAT);
    let (mut spanning, mut next, mut effort): (Vec<Edge>, usize, usize) = (Vec::new(), 0, EFFORT);
    for band in heights.windows(2) {
        let middle = f64::midpoint(band[0], band[1]);
        spanning.retain(|edge| edge.bottom[1] > middle);
        while active.get(next).is_some_and(|edge| edge.top[1] < middle) {
            spanning.extend(Some(active[next]).filter(|edge| edge.bottom[1] > middle));
            next += 1;
        }
        if effort == 0 {
            row.lines(active, [band[0], bottom]);
            break;
        }
        row.band(&spanning, [band[0], band[1]], &mut effort);
    }
    let mut sum = 0.0;
    let running = row.steps.iter().take(across).map(|step| {
        sum += step;
        sum
    });
    running.collect()
}

/// A row's coverage as the steps from each voxel to the next.
struct Row {
    steps: Vec<f64>,
    across: f64,
}

impl Row {
    /// Adds the inside of a band in which no edge begins or ends. Where edges cross, it is cut there.
    fn band(&mut self, spanning: &[Edge], band: [f64; 2], effort: &mut usize) {
        let mut bands = vec![band];
        while let Some([top, bottom]) = bands.pop() {
            let mut sides: Vec<[f64; 2]> =
                spanning.iter().map(|edge| [edge.at(top), edge.at(bottom)]).collect();
            sides.sort_by(|a, b| (a[0] + a[1]).total_cmp(&(b[0] + b[1])));
            *effort = effort.saturating_sub(spanning.len());
            let cuts = sides.windows(2).filter_map(|pair| crossing(pair[0], pair[1]));
            let mut cuts = cuts.map(|part| top + part * (bottom - top));
            match cuts.find(|&cut| cut - top > FLAT && bottom - cut > FLAT && *effort > 0) {
                Some(cut) => bands.extend([[top, cut], [cut, bottom]]),
                None => self.add(&sides, bottom - top),
            }
        }
    }

    /// Adds rows' worth of thin bands, in which edges count as upright.
    fn lines(&mut self, active: &[Edge], [top, bottom]: [f64; 2]) {
        let height = (bottom - top) / LINES as f64;
        for line in 0..LINES {
            let y = top + (line as f64 + 0.5) * height;
            let mut sides: Vec<[f64; 2]> =
                active.iter().filter(|edge| edge.spans(y)).map(|edge| [edge.at(y); 2]).collect();
            sides.sort_by(|a, b| a[0].total_cmp(&b[0]));
            self.add(&sides, height);
        }
    }

    /// Adds what lies right of each side of even place, and takes away what lies right of each of odd place.
    fn add(&mut self, sides: &[[f64; 2]], height: f64) {
        for (place, side) in sides.iter().enumerate() {
            let height = if place % 2 == 0 { height } else { -height };
            // Voxels begin at whole numbers here.
            self.right_of(side[0].min(side[1]) + HALF, side[0].max(side[1]) + HALF, height);
        }
    }

    /// Adds the area right of a side that runs evenly from one x to the other over `height`.
    fn right_of(&mut self, from: f64, to: f64, height: f64) {
        let part = |a: f64, b: f64| if to > from { height * (b - a) / (to - from) } else { height };
        if from < 0.0 {
            self.steps[0] += if to > 0.0 { part(from, 0.0) } else { height };
        }
        let (first, last) = (from.clamp(0.0, self.across), to.clamp(0.0, self.across));
        if to <= 0.0 && from < 0.0 || from >= self.across {
            return;
        }
        let mut left = first;
        loop {
            let voxel = left.floor().min(self.across - 1.0);
            let right = last.min(voxel + 1.0);
            let height = part(left, right);
            let after = f64::midpoint(left, right) - voxel;
            self.steps[voxel as usize] += height * (1.0 - after);
            self.steps[voxel as usize + 1] += height * after;
            if right >= last {
                return;
            }
            left = right;
        }
    }
}

/// The part of a band's height at which two sides cross, where they do.
fn crossing(a: [f64; 2], b: [f64; 2]) -> Option<f64> {
    let (above, below) = (b[0] - a[0], b[1] - a[1]);
    (above.min(below) < 0.0 && above.max(below) > 0.0).then(|| above / (above - below))
}

/// The inside close above, at and close below the middle of a row: the places where it begins and ends.
struct Near([Vec<f64>; 3]);

impl Near {
    fn new(active: &[Edge], y: f64) -> Self {
        Self([y - TOUCH, y, y + TOUCH].map(|y| {
            let through = active.iter().filter(|edge| edge.top[1] <= y && y < edge.bottom[1]);
            let mut places: Vec<f64> = through.map(|edge| edge.at(y)).collect();
            places.sort_by(f64::total_cmp);
            places
        }))
    }

    fn touches(&self, x: f64) -> bool {
        let inside = |places: &[f64], x: f64| places.partition_point(|&place| place < x) % 2 == 1;
        let [above, at, below] = &self.0;
        inside(above, x) || inside(below, x) || inside(at, x - TOUCH) || inside(at, x + TOUCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wanted part of each voxel, as `cover` gives it.
    fn covered(contours: &[&[Point]], [across, down]: [usize; 2]) -> Vec<f64> {
        let mut edges: Vec<Edge> = contours.iter().flat_map(|contour| edges(contour)).collect();
        edges.sort_by(|a, b| a.top[1].total_cmp(&b.top[1]));
        (0..down)
            .flat_map(|j| {
                let y = j as f64;
                let active: Vec<Edge> =
                    edges.iter().filter(|e| e.bottom[1] > y - HALF && e.top[1] < y + HALF).copied().collect();
                cover(&active, y, across)
            })
            .collect()
    }

    fn rectangle([left, top]: Point, [right, bottom]: Point) -> Vec<Point> {
        vec![[left, top], [right, top], [right, bottom], [left, bottom]]
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
    }

    #[test]
    fn rectangles_cover_what_they_cover() {
        let parts = covered(&[&rectangle([0.25, 0.75], [2.5, 2.0])], [4, 4]);
        let along = [0.25, 1.0, 1.0, 0.0];
        let down = [0.0, 0.75, 0.5, 0.0];
        for (n, part) in parts.iter().enumerate() {
            near(*part, along[n % 4] * down[n / 4]);
        }
    }

    #[test]
    fn areas_beyond_the_plane_are_cut_off() {
        let diamond = [[-4.0, 1.5], [1.5, -4.0], [7.0, 1.5], [1.5, 7.0]];
        covered(&[&diamond], [4, 4]).iter().for_each(|&part| assert!((0.0..=1.0 + 1e-12).contains(&part)));
        near(covered(&[&diamond], [4, 4]).iter().sum(), 16.0);
        near(covered(&[&rectangle([-9.0, -9.0], [-1.0, 9.0])], [4, 4]).iter().sum(), 0.0);
        near(covered(&[&rectangle([4.0, -9.0], [9.0, 9.0])], [4, 4]).iter().sum(), 0.0);
        near(covered(&[&rectangle([-9.0, -9.0], [9.0, 9.0])], [4, 4]).iter().sum(), 16.0);
    }

    /// By the formula of the area of polygons that do not cross themselves.
    #[test]
    fn a_polygon_covers_its_area() {
        let circle = |n: usize, radius: f64, [x, y]: Point| -> Vec<Point> {
            let angle = |k: usize| std::f64::consts::TAU * k as f64 / n as f64;
            (0..n).map(|k| [x + radius * angle(k).cos(), y + radius * angle(k).sin()]).collect()
        };
        let area = |n: usize, r: f64| 0.5 * n as f64 * r * r * (std::f64::consts::TAU / n as f64).sin();
        for (n, radius) in [(3, 7.0), (5, 3.3), (100, 9.1), (1000, 0.3)] {
            let parts = covered(&[&circle(n, radius, [10.2, 9.7])], [20, 20]);
            near(parts.iter().sum(), area(n, radius));
        }
        let parts = covered(&[&circle(64, 8.0, [10.0, 10.0]), &circle(64, 3.0, [11.0, 9.0])], [20, 20]);
        near(parts.iter().sum(), area(64, 8.0) - area(64, 3.0));
    }

    /// The middle of a pentagram is outside by even-odd, whichever way it turns.
    #[test]
    fn contours_that_cross_themselves_are_even_odd() {
        let corner = |k: usize| {
            let angle = std::f64::consts::TAU * k as f64 / 5.0;
            [20.0 + 15.0 * angle.cos(), 20.0 + 15.0 * angle.sin()]
        };
        let star: Vec<Point> = [0, 2, 4, 1, 3].map(corner).to_vec();
        let fifth = std::f64::consts::PI / 5.0;
        // The inner pentagon has its corners at this radius; the star around it has ten triangles.
        let inner = 15.0 * (2.0 * fifth).cos() / fifth.cos();
        let triangles = 10.0 * 0.5 * 15.0 * inner * fifth.sin();
        let pentagon = 5.0 * 0.5 * inner * inner * (2.0 * fifth).sin();
        let parts = covered(&[&star], [40, 40]);
        near(parts.iter().sum(), triangles - pentagon);
        near(parts[20 + 40 * 20], 0.0);
        let bow = [[1.0, 1.0], [5.0, 5.0], [5.0, 1.0], [1.0, 5.0]];
        near(covered(&[&bow], [7, 7]).iter().sum(), 8.0);
    }

    /// Every crossing of two edges is a cut, and the sampled rows come near.
    #[test]
    fn tangles_are_exact_and_samples_are_near() {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        };
        let tangle: Vec<Point> = (0..60).map(|_| [random() * 12.0 - 0.5, random() * 12.0 - 0.5]).collect();
        let parts = covered(&[&tangle], [12, 12]);
        let lines = 2000;
        for j in 0..12 {
            let active: Vec<Edge> = edges(&tangle).collect();
            let mut fine = [0.0; 12];
            for line in 0..lines {
                let y = f64::from(j) - 0.5 + (f64::from(line) + 0.5) / f64::from(lines);
                let mut row = Row { steps: vec![0.0; 13], across: 12.0 };
                let mut sides: Vec<[f64; 2]> =
                    active.iter().filter(|edge| edge.spans(y)).map(|edge| [edge.at(y); 2]).collect();
                sides.sort_by(|a, b| a[0].total_cmp(&b[0]));
                row.add(&sides, 1.0 / f64::from(lines));
                let mut sum = 0.0;
                fine.iter_mut().zip(&row.steps).for_each(|(part, step)| {
                    sum += step;
                    *part += sum;
                });
            }
            let mut coarse = Row { steps: vec![0.0; 13], across: 12.0 };
            coarse.lines(&active, [f64::from(j) - 0.5, f64::from(j) + 0.5]);
            let mut sum = 0.0;
            for i in 0..12 {
                sum += coarse.steps[i];
                let exact = parts[i + 12 * j as usize];
                assert!((exact - fine[i]).abs() < 2e-3, "{exact} for {}", fine[i]);
                assert!((exact - sum).abs() < 4e-2, "{exact} for {sum}");
            }
        }
    }

    #[test]
    fn a_keyhole_is_a_hole() {
        let keyhole = [
            [1.0, 1.0],
            [9.0, 1.0],
            [9.0, 9.0],
            [1.0, 9.0],
            [1.0, 5.0],
            [3.0, 5.0],
            [3.0, 7.0],
            [7.0, 7.0],
            [7.0, 3.0],
            [3.0, 3.0],
            [3.0, 5.0],
            [1.0, 5.0],
        ];
        near(covered(&[&keyhole], [11, 11]).iter().sum(), 64.0 - 16.0);
        let nested = [rectangle([1.0, 1.0], [9.0, 9.0]), rectangle([3.0, 3.0], [7.0, 7.0])];
        let nested: Vec<&[Point]> = nested.iter().map(Vec::as_slice).collect();
        assert_eq!(fill(&[&keyhole], [11, 11]), fill(&nested, [11, 11]));
    }

    #[test]
    fn ties_go_to_the_side_that_has_the_centre() {
        let diamond = [[3.5, 4.0], [4.0, 3.5], [4.5, 4.0], [4.0, 4.5]];
        let only = |inside: &[bool]| {
            inside.iter().enumerate().filter(|(_, inside)| **inside).map(|(n, _)| n).collect::<Vec<_>>()
        };
        assert_eq!(only(&fill(&[&diamond], [9, 9])), [4 + 9 * 4], "a lone voxel");
        let square = rectangle([0.5, 0.5], [7.5, 7.5]);
        let inside = fill(&[&square, &diamond], [9, 9]);
        assert_eq!(inside.iter().filter(|inside| **inside).count(), 48, "a lone hole");
        assert!(!inside[4 + 9 * 4]);
        // Contours through the centres of the outermost voxels, as OpenCV draws them.
        let through = fill(&[&rectangle([2.0, 3.0], [5.0, 6.0])], [9, 9]);
        let (columns, rows) = (2..=5, 3..=6);
        let corner = |n: usize| [2, 5].contains(&(n % 9)) && [3, 6].contains(&(n / 9));
        for (n, inside) in through.iter().enumerate() {
            let expected = columns.contains(&(n % 9)) && rows.contains(&(n / 9)) && !corner(n);
            assert_eq!(*inside, expected, "voxel {n}");
        }
    }

    #[test]
    fn a_hundred_thousand_points_are_exact() {
        let point = |n: u32| {
            let (sine, cosine) = (std::f64::consts::TAU * f64::from(n) / 1e5).sin_cos();
            [10.3 + 8.0 * cosine, 9.6 + 8.0 * sine]
        };
        let circle: Vec<Point> = (0..100_000).map(point).collect();
        near(covered(&[&circle], [20, 20]).iter().sum(), std::f64::consts::PI * 64.0 * (1.0 - 6.58e-10));
    }

    /// A zigzag whose every edge spans the plane, and one within a single row.
    #[test]
    fn many_points_take_no_time() {
        let zigzag: Vec<Point> = (0..100_000)
            .map(|n| [f64::from(n) * 1e-4, if n % 2 == 0 { 0.3 + f64::from(n) * 1e-9 } else { 9.7 }])
            .collect();
        let parts = covered(&[&zigzag], [12, 12]);
        assert!(parts.iter().all(|part| (-1e-9..=1.0 + 1e-9).contains(part)));
        let flat: Vec<Point> = (0..100_000)
            .map(|n| [f64::from(n) * 1e-4, 3.0 + if n % 2 == 0 { 0.4 } else { -0.4 } * f64::from(n) * 1e-5])
            .collect();
        let parts = covered(&[&flat], [12, 12]);
        assert!(parts.iter().all(|part| (-1e-9..=1.0 + 1e-9).contains(part)));
    }
}
