//! The parts of a slice that a masked autoencoder is not shown.

use polycl_base::rng::{Purpose, rng};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Squares of every slice are hidden.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masking {
    /// The part of each slice that is hidden.
    pub hidden: f64,
    /// Slices are hidden in squares; so many of them lie along a side.
    pub patches: usize,
}

impl Default for Masking {
    /// MAE's 75%, and its 14 patches along a side, to the next that divides sides of multiples of 32.
    fn default() -> Self {
        Self { hidden: 0.75, patches: 16 }
    }
}

impl Masking {
    /// # Errors
    /// A sentence about the first value that makes no sense with slices of this size.
    pub fn check(&self, size: usize) -> std::result::Result<(), String> {
        if self.patches == 0 || !size.is_multiple_of(self.patches) {
            return Err(format!("{} patches along a side of {size} pixels", self.patches));
        }
        let count = self.count();
        if !(self.hidden < 1.0 && (1..self.patches.pow(2)).contains(&count)) {
            return Err(format!("a part of {} to hide in {} patches", self.hidden, self.patches.pow(2)));
        }
        Ok(())
    }

    /// Patches that are hidden.
    fn count(&self) -> usize {
        (self.hidden * self.patches.pow(2) as f64).round() as usize
    }

    /// 1 where a slice of `size`² pixels is hidden; the draw depends on the arguments alone.
    pub(super) fn draw(&self, size: usize, seed: u64, at: [u64; 2]) -> Vec<f32> {
        let n = self.patches;
        let mut patches: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i < self.count()))).collect();
        patches.shuffle(&mut rng(seed, Purpose::Mask, at));
        let side = size / n;
        (0..size * size).map(|i| patches[i / size / side * n + i % size / side]).collect()
    }
}
