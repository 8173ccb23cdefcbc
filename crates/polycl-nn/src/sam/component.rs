//! Components that prompt the network: the connected parts of each organ in a slice.

use std::collections::BTreeMap;

use glam::DAffine3;
use polycl_image::components::{Connectivity, components};
use polycl_image::preprocess::{Grid, labels_of};
use polycl_image::{Space, Volume};

/// A connected part (8 neighbours) of one organ in one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    pub label: u16,
    /// Its pixels by number, in ascending order.
    pub pixels: Vec<usize>,
    /// First and last column, first and last row: x0, y0, x1, y1.
    pub bounds: [usize; 4],
}

impl Component {
    /// All components of a plane of labels, [ny, nx], label by label.
    pub fn all(plane: &[u16], shape: [usize; 2]) -> Vec<Self> {
        let space = Space::new([shape[0], shape[1], 1], DAffine3::IDENTITY);
        let mask = Volume { space, voxels: plane.to_vec() };
        let mut all = Vec::new();
        for label in labels_of(plane) {
            let found = components(&mask, |l| l == label, Connectivity::Corners);
            let mut parts: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for (i, &number) in found.numbers.iter().enumerate().filter(|(_, number)| **number != 0) {
                parts.entry(number).or_default().push(i);
            }
            all.extend(parts.into_values().map(|pixels| Self::new(label, pixels, shape[0])));
        }
        all
    }

    /// # Panics
    /// If there are no pixels.
    pub fn new(label: u16, pixels: Vec<usize>, nx: usize) -> Self {
        let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
        for at in pixels.iter().map(|i| [i % nx, i / nx]) {
            low = [low[0].min(at[0]), low[1].min(at[1])];
            high = [high[0].max(at[0]), high[1].max(at[1])];
        }
        assert!(!pixels.is_empty(), "a component has pixels");
        Self { label, pixels, bounds: [low[0], low[1], high[0], high[1]] }
    }

    /// In mm².
    pub fn area(&self, grid: Grid) -> f64 {
        self.pixels.len() as f64 * grid.spacing[0] * grid.spacing[1]
    }

    /// The box around it, each corner moved out by `margin` of the box's sides, within the plane.
    pub fn moved(&self, margin: [f32; 4], shape: [usize; 2]) -> [f32; 4] {
        let corners = self.bounds.map(|corner| corner as f32);
        let sides = [corners[2] - corners[0] + 1.0, corners[3] - corners[1] + 1.0];
        let outward = [-1.0, -1.0, 1.0, 1.0];
        let last = [shape[0] as f32 - 1.0, shape[1] as f32 - 1.0];
        [0, 1, 2, 3].map(|i| (corners[i] + outward[i] * margin[i] * sides[i % 2]).clamp(0.0, last[i % 2]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_their_boxes() {
        #[rustfmt::skip]
        let plane = [
            1, 1, 0, 0, 0,
            0, 0, 1, 0, 2,
            0, 0, 0, 0, 2,
            1, 0, 0, 0, 0,
        ];
        let found = Component::all(&plane, [5, 4]);
        let seen: Vec<_> = found.iter().map(|c| (c.label, c.pixels.len(), c.bounds)).collect();
        assert_eq!(seen, [(1, 3, [0, 0, 2, 1]), (1, 1, [0, 3, 0, 3]), (2, 2, [4, 1, 4, 2])]);
        assert_eq!(found[0].moved([0.5; 4], [5, 4]), [0.0, 0.0, 3.5, 2.0]);
        assert!(Component::all(&[0; 20], [5, 4]).is_empty());
    }
}
