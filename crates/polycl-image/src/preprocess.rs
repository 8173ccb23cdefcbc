//! From a scan's voxels to network slices and back: intensity window, in-plane resize, central
//! slices. The same code serves import and prediction, so the two cannot drift apart. Planes are
//! in canonical orientation (see [`crate::orient`]): x to the patient's left, y to posterior.

mod frame;
mod grid;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use frame::Fit;
use frame::Frame;
pub use grid::Grid;

/// The preparation of slices. Saved with the data set and with every run trained on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocess {
    /// Side of the square network slice in pixels; a multiple of 32.
    pub size: usize,
    /// Intensity window in HU: its centre and its width.
    pub window: [f32; 2],
    pub fit: Fit,
    pub normalise: Normalise,
    /// Central fraction of each scan's slices that enters the data set, in (0, 1].
    pub keep: f64,
}

/// The values that the window's two ends are mapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// 0 and 1.
    Unit,
    /// As the published code does, for reproduction: (HU + 3055) / 8866 after windowing.
    Published,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self { size: 256, window: [40.0, 400.0], fit: Fit::Stretch, normalise: Normalise::Unit, keep: 1.0 }
    }
}

/// The range of true CT numbers in HU; what lies outside (padding outside the field of view,
/// metal) is clipped to it.
pub const HU_RANGE: [f32; 2] = [-1024.0, 3071.0];

/// Largest slice side that is accepted, so that a corrupt index cannot ask for all memory.
const MAX_SIZE: usize = 4096;

/// The stored value of the window's upper end; its lower end is 0.
const FULL: f32 = u16::MAX as f32;

impl Preprocess {
    /// # Errors
    /// A sentence about the first value that cannot be used.
    pub fn check(&self) -> Result<(), String> {
        let [centre, width] = self.window;
        if self.size == 0 || !self.size.is_multiple_of(32) || self.size > MAX_SIZE {
            return Err(format!("size {} is not a multiple of 32 up to {MAX_SIZE}", self.size));
        }
        if !(centre.is_finite() && width.is_finite() && width > 0.0) {
            return Err(format!("window {centre},{width} is not a centre and a width above 0 in HU"));
        }
        if !(self.keep > 0.0 && self.keep <= 1.0) {
            return Err(format!("keep {} is not a fraction above 0 and up to 1", self.keep));
        }
        Ok(())
    }

    /// The central slices that enter the data set: at least one, rounded to whole slices.
    pub fn kept(&self, slices: usize) -> Range<usize> {
        let count = ((slices as f64 * self.keep).round() as usize).clamp(1.min(slices), slices);
        let first = (slices - count) / 2;
        first..first + count
    }

    /// A plane of HU, [ny, nx] on `grid` of nx · ny pixels, as the network sees it: [size, size].
    ///
    /// # Panics
    /// If the plane does not have nx · ny values; so do the other functions of a plane.
    pub fn slice(&self, plane: &[f32], grid: Grid) -> Vec<f32> {
        self.normalised(&self.stored(plane, grid))
    }

    /// The same slice as the store holds it: 0 at the window's lower end, 65535 at its upper end.
    /// Resizing is antialiased where it shrinks; the window comes first, so that metal does not
    /// bleed into its surroundings.
    pub fn stored(&self, plane: &[f32], grid: Grid) -> Vec<u16> {
        let [centre, width] = self.window;
        let low = centre - width / 2.0;
        let fraction = |hu: f32| ((hu.clamp(HU_RANGE[0], HU_RANGE[1]) - low) / width).clamp(0.0, 1.0);
        let slice = self.frame(grid).forth(plane.iter().map(|&hu| fraction(hu)));
        slice.into_iter().map(|f| (f * FULL).round() as u16).collect()
    }

    /// Stored values as the network sees them.
    pub fn normalised(&self, stored: &[u16]) -> Vec<f32> {
        let [centre, width] = self.window;
        let (offset, scale) = match self.normalise {
            Normalise::Unit => (0.0, 1.0 / FULL),
            Normalise::Published => ((centre - width / 2.0 + 3055.0) / 8866.0, width / 8866.0 / FULL),
        };
        stored.iter().map(|&v| offset + scale * f32::from(v)).collect()
    }

    /// A plane of labels on the network's grid: [size, size]. Every label's indicator is resized
    /// like the image and the largest wins; picking the nearest pixel would shift labels by up
    /// to half a pixel of the scan.
    pub fn mask_slice(&self, plane: &[u16], grid: Grid) -> Vec<u16> {
        let frame = self.frame(grid);
        if frame.is_identity() {
            return plane.to_vec();
        }
        let mut rest = vec![1.0; self.size * self.size];
        let mut best = vec![(0.0, 0); self.size * self.size];
        for label in labels_of(plane) {
            let weights = frame.forth(plane.iter().map(|&l| f32::from(l == label)));
            for ((best, rest), weight) in best.iter_mut().zip(&mut rest).zip(weights) {
                *rest -= weight;
                if weight > best.0 {
                    *best = (weight, label);
                }
            }
        }
        let winner = |((weight, label), rest): ((f32, u16), f32)| if weight > rest { label } else { 0 };
        best.into_iter().zip(rest).map(winner).collect()
    }

    /// Brings a map on the network's grid, [size, size], back to the plane's own: [ny, nx] for
    /// `grid`. Padding is cut away first; bilinear, centres of pixels at half integers.
    pub fn restore(&self, probabilities: &[f32], grid: Grid) -> Vec<f32> {
        self.frame(grid).back(probabilities)
    }

    fn frame(&self, grid: Grid) -> Frame {
        Frame::new(grid, self.size, self.fit)
    }
}

/// The labels of a plane, or of a whole mask, in ascending order, background left out.
pub fn labels_of(plane: &[u16]) -> impl Iterator<Item = u16> {
    let mut seen = vec![false; usize::from(u16::MAX) + 1];
    plane.iter().for_each(|&l| seen[usize::from(l)] = true);
    (1..=u16::MAX).filter(move |&l| seen[usize::from(l)])
}

#[cfg(test)]
mod tests;
