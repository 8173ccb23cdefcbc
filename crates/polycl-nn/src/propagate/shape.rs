//! Outlines of an object in a slice, as signed distances on the decoder's grid.

use polycl_image::edt::squared_distances;

use crate::sam::Lattice;

/// The distance of nowhere: farther than any patient is wide.
const FAR: f32 = 1e4;

/// Millimetres from each pixel of the decoder's grid to the object's border; above zero is inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub distance: Vec<f32>,
}

impl Shape {
    /// The shape of the pixels above zero.
    pub fn of(logits: &[f32], lattice: Lattice) -> Self {
        let inside: Vec<bool> = logits.iter().map(|&x| x > 0.0).collect();
        let outside: Vec<bool> = inside.iter().map(|inside| !inside).collect();
        let half = (lattice.spacing[0] + lattice.spacing[1]) / 4.0;
        let away = |sites: &[bool]| {
            let [dx, dy] = lattice.spacing;
            let squared = squared_distances(sites, [lattice.side, lattice.side, 1], [dx, dy, 1.0]);
            squared.into_iter().map(move |d| ((d.sqrt() - half) as f32).min(FAR))
        };
        let distance = away(&inside).zip(away(&outside)).zip(&inside);
        Self { distance: distance.map(|((to, from), inside)| if *inside { from } else { -to }).collect() }
    }

    /// Pixels inside.
    pub fn pixels(&self) -> usize {
        self.distance.iter().filter(|&&d| d > 0.0).count()
    }

    pub fn is_empty(&self) -> bool {
        !self.distance.iter().any(|&d| d > 0.0)
    }

    /// The shape `share` of the way from this one to another; either alone where the other is nothing.
    pub fn towards(&self, other: &Self, share: f32) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        let each = self.distance.iter().zip(&other.distance);
        Self { distance: each.map(|(a, b)| a + (b - a) * share).collect() }
    }

    /// The shape whose border goes on from where it was `before`, by a share of the way, but no farther
    /// than `step` mm.
    pub fn moving_on(&self, before: &Self, share: f32, step: f32) -> Self {
        let each = self.distance.iter().zip(&before.distance);
        Self { distance: each.map(|(now, then)| now + (share * (now - then)).clamp(-step, step)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATTICE: Lattice = Lattice { side: 64, content: [64, 64], spacing: [1.0, 2.0] };

    /// A disc of `radius` mm about a pixel.
    fn disc(x: f64, radius: f64) -> Shape {
        let inside = |i: usize| ((i % 64) as f64 - x).hypot(2.0 * ((i / 64) as f64 - 32.0)) < radius;
        let logits: Vec<f32> = (0..64 * 64).map(|i| if inside(i) { 1.0 } else { -1.0 }).collect();
        Shape::of(&logits, LATTICE)
    }

    /// First and last column of the middle row.
    fn ends(shape: &Shape) -> (usize, usize) {
        let row = &shape.distance[32 * 64..33 * 64];
        let inside: Vec<usize> = (0..64).filter(|&x| row[x] > 0.0).collect();
        (inside[0], inside[inside.len() - 1])
    }

    #[test]
    fn shapes_between_drawn_ones_are_of_the_size_between() {
        let (small, large) = (disc(32.0, 8.5), disc(32.0, 16.5));
        assert_eq!(ends(&small), (24, 40));
        assert_eq!(ends(&small.towards(&large, 0.5)), (20, 44));
        assert_eq!(small.towards(&large, 0.0), small);
        assert_eq!(ends(&small.towards(&large, 1.0)), ends(&large));
    }

    #[test]
    fn a_border_goes_on_moving_but_no_farther_than_a_step() {
        let (before, now) = (disc(32.0, 8.5), disc(32.0, 10.5));
        assert_eq!(ends(&now.moving_on(&before, 1.0, 5.0)), (20, 44));
        assert_eq!(ends(&now.moving_on(&before, 1.0, 1.0)), (21, 43));
    }

    #[test]
    fn nothing_is_far_from_everything() {
        let nothing = Shape::of(&[-1.0; 64 * 64], LATTICE);
        assert!(nothing.is_empty() && nothing.distance.iter().all(|d| d.is_finite()));
        let disc = disc(32.0, 8.5);
        assert_eq!(nothing.towards(&disc, 0.3), disc);
        assert_eq!(disc.towards(&nothing, 0.3), disc);
    }
}
