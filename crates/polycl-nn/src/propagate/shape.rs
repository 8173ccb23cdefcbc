//! Outlines of an object in a slice, as signed distances on the decoder's grid.

use polycl_volume::metrics::squared_distances;

use crate::sam::Lattice;

/// The distance of nowhere: farther than any patient is wide.
const FAR: f32 = 1e4;

/// Millimetres from each pixel of the decoder's grid to the object's border; above zero is inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub distance: Vec<f32>,
}

impl Shape {
    /// What is above zero.
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

    /// Dice of what is inside; 1 where neither has anything.
    pub fn dice(&self, other: &Self) -> f32 {
        dice(&self.distance, &other.distance)
    }
}

/// Dice of what is above zero; 1 where nothing is.
pub fn dice(a: &[f32], b: &[f32]) -> f32 {
    let (mut both, mut sum) = (0u32, 0u32);
    for (&a, &b) in a.iter().zip(b) {
        both += u32::from(a > 0.0 && b > 0.0);
        sum += u32::from(a > 0.0) + u32::from(b > 0.0);
    }
    if sum == 0 { 1.0 } else { 2.0 * both as f32 / sum as f32 }
}
