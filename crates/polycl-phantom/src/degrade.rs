//! Masks made worse on purpose, as networks get organs wrong: to measure what a correction is worth.

use polycl_base::rng::{Purpose, rng};
use polycl_image::edt::squared_distances;
use polycl_image::preprocess::Grid;
use rand::Rng;

/// A kind of mistake. Strengths are 1 to 5; lengths are in millimetres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Degradation {
    /// The margin is lost, 1.5 mm of it per strength.
    Erosion,
    /// A margin is added, as wide.
    Dilation,
    /// As many round holes as the strength says, each as large as a tenth of the organ.
    Holes,
    /// A round piece of the neighbour, its radius a tenth of the organ's extent per strength.
    Spill,
    /// Moved in some direction by 2.5 mm per strength.
    Shift,
    /// One end is missing, an eighth of the area per strength.
    MissedPart,
}

impl Degradation {
    pub const ALL: [Self; 6] =
        [Self::Erosion, Self::Dilation, Self::Holes, Self::Spill, Self::Shift, Self::MissedPart];

    pub fn name(self) -> &'static str {
        match self {
            Self::Erosion => "erosion",
            Self::Dilation => "dilation",
            Self::Holes => "holes",
            Self::Spill => "spill",
            Self::Shift => "shift",
            Self::MissedPart => "missed-part",
        }
    }

    /// A plane of one organ, [ny, nx], made worse; random choices depend on `seed` alone.
    pub fn apply(self, organ: &[bool], grid: Grid, strength: u32, seed: u64) -> Vec<bool> {
        let mut plane = Plane { organ, grid, random: Random::new(seed, self, strength) };
        let strength = f64::from(strength);
        match self {
            Self::Erosion => plane.margin(-1.5 * strength),
            Self::Dilation => plane.margin(1.5 * strength),
            Self::Holes => plane.holes(strength),
            Self::Spill => plane.spill(0.1 * strength),
            Self::Shift => plane.shift(2.5 * strength),
            Self::MissedPart => plane.without_end(0.125 * strength),
        }
    }
}

struct Random(rand_chacha::ChaCha8Rng);

impl Random {
    fn new(seed: u64, kind: Degradation, strength: u32) -> Self {
        Self(rng(seed, Purpose::Degrade, [kind as u64, u64::from(strength)]))
    }

    /// Uniform in 0..1.
    fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }
}

struct Plane<'a> {
    organ: &'a [bool],
    grid: Grid,
    random: Random,
}

impl Plane<'_> {
    /// Position of pixel `i` in millimetres.
    fn at(&self, i: usize) -> [f64; 2] {
        let nx = self.grid.shape[0];
        [(i % nx) as f64 * self.grid.spacing[0], (i / nx) as f64 * self.grid.spacing[1]]
    }

    fn pixels(&self) -> Vec<usize> {
        (0..self.organ.len()).filter(|&i| self.organ[i]).collect()
    }

    fn area(&self) -> f64 {
        self.pixels().len() as f64 * self.grid.spacing[0] * self.grid.spacing[1]
    }

    /// One of the organ's pixels.
    fn some_pixel(&mut self) -> Option<usize> {
        let pixels = self.pixels();
        let i = (self.random.unit() * pixels.len() as f64) as usize;
        pixels.get(i).copied()
    }

    /// A margin of so many millimetres more, or less.
    fn margin(&self, width: f64) -> Vec<bool> {
        let ([nx, ny], [dx, dy]) = (self.grid.shape, self.grid.spacing);
        let sites: Vec<bool> = self.organ.iter().map(|&inside| inside == (width > 0.0)).collect();
        let distances = squared_distances(&sites, [nx, ny, 1], [dx, dy, 1.0]);
        let near = |squared: &f64| *squared <= width * width;
        distances.iter().map(|d| near(d) == (width > 0.0)).collect()
    }

    fn disc(&self, centre: [f64; 2], radius: f64) -> impl Fn(usize) -> bool {
        let (nx, spacing) = (self.grid.shape[0], self.grid.spacing);
        move |i| {
            let (x, y) = ((i % nx) as f64 * spacing[0] - centre[0], (i / nx) as f64 * spacing[1] - centre[1]);
            x * x + y * y <= radius * radius
        }
    }

    fn holes(&mut self, count: f64) -> Vec<bool> {
        let radius = (self.area() / 10.0 / std::f64::consts::PI).sqrt();
        let mut organ = self.organ.to_vec();
        for _ in 0..count as usize {
            let Some(centre) = self.some_pixel() else { break };
            let hole = self.disc(self.at(centre), radius);
            organ.iter_mut().enumerate().for_each(|(i, inside)| *inside &= !hole(i));
        }
        organ
    }

    fn spill(&mut self, part: f64) -> Vec<bool> {
        let radius = part * (self.area() / std::f64::consts::PI).sqrt() * 2.0;
        let edge: Vec<usize> = self.pixels().into_iter().filter(|&i| self.on_edge(i)).collect();
        let i = (self.random.unit() * edge.len() as f64) as usize;
        let Some(&centre) = edge.get(i) else { return self.organ.to_vec() };
        let blot = self.disc(self.at(centre), radius);
        self.organ.iter().enumerate().map(|(i, &inside)| inside || blot(i)).collect()
    }

    fn on_edge(&self, i: usize) -> bool {
        let [nx, ny] = self.grid.shape;
        let (x, y) = (i % nx, i / nx);
        let inner = x > 0 && y > 0 && x + 1 < nx && y + 1 < ny;
        !inner || [i - 1, i + 1, i - nx, i + nx].iter().any(|&i| !self.organ[i])
    }

    fn shift(&mut self, length: f64) -> Vec<bool> {
        let angle = std::f64::consts::TAU * self.random.unit();
        let [nx, ny] = self.grid.shape;
        let steps = [angle.cos() / self.grid.spacing[0], angle.sin() / self.grid.spacing[1]]
            .map(|step| (length * step).round() as isize);
        let from = |i: usize| {
            let (x, y) = ((i % nx) as isize - steps[0], (i / nx) as isize - steps[1]);
            let within = (0..nx as isize).contains(&x) && (0..ny as isize).contains(&y);
            within && self.organ[y as usize * nx + x as usize]
        };
        (0..self.organ.len()).map(from).collect()
    }

    fn without_end(&mut self, part: f64) -> Vec<bool> {
        let angle = std::f64::consts::TAU * self.random.unit();
        let along = |i: usize| {
            let [x, y] = self.at(i);
            x * angle.cos() + y * angle.sin()
        };
        let mut heights: Vec<f64> = self.pixels().into_iter().map(along).collect();
        heights.sort_by(f64::total_cmp);
        let kept = heights.len() - (heights.len() as f64 * part).round() as usize;
        let Some(&last) = heights.get(kept.saturating_sub(1)) else { return self.organ.to_vec() };
        self.organ.iter().enumerate().map(|(i, &inside)| inside && kept > 0 && along(i) <= last).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc of radius 20 mm among pixels of 1 by 2 mm.
    fn disc() -> (Vec<bool>, Grid) {
        let grid = Grid { shape: [80, 40], spacing: [1.0, 2.0] };
        let inside = |i: usize| {
            let (x, y) = ((i % 80) as f64 - 40.0, 2.0 * (i / 80) as f64 - 40.0);
            x * x + y * y <= 400.0
        };
        ((0..3200).map(inside).collect(), grid)
    }

    fn area(plane: &[bool]) -> usize {
        plane.iter().filter(|&&inside| inside).count()
    }

    #[test]
    fn lengths_are_millimetres_and_strengths_grow() {
        let (organ, grid) = disc();
        let of = |kind: Degradation, strength| kind.apply(&organ, grid, strength, 1);
        // Discs of 17 and 23 mm, in pixels of 2 mm².
        let near = |found: usize, radius: f64| {
            let expected = std::f64::consts::PI * radius * radius / 2.0;
            assert!((found as f64 - expected).abs() < 0.08 * expected, "{found}, not {expected}");
        };
        near(area(&of(Degradation::Erosion, 2)), 17.0);
        near(area(&of(Degradation::Dilation, 2)), 23.0);
        assert_eq!(area(&of(Degradation::Shift, 1)), area(&organ));
        let missed = area(&of(Degradation::MissedPart, 4)) as f64 / area(&organ) as f64;
        assert!((0.4..0.55).contains(&missed), "{missed}");
        for kind in Degradation::ALL {
            let wrong = |strength| of(kind, strength).iter().zip(&organ).filter(|(a, b)| a != b).count();
            assert!(wrong(1) > 0 && wrong(5) > wrong(1), "{}: {} {}", kind.name(), wrong(1), wrong(5));
            assert_eq!(of(kind, 3), of(kind, 3));
        }
    }

    #[test]
    fn an_absent_organ_stays_absent() {
        let (_, grid) = disc();
        for kind in Degradation::ALL {
            assert_eq!(area(&kind.apply(&[false; 3200], grid, 3, 1)), 0, "{}", kind.name());
        }
    }
}
