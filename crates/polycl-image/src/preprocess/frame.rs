//! The place of a plane within the square slice, and the resampling there and back.

use serde::{Deserialize, Serialize};

use super::grid::Grid;
use crate::resize::antialiased;

/// The way in which a plane that is not square becomes a square slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Stretch both sides to the size.
    Stretch,
    /// Keep the aspect in millimetres and pad with the lower end of the window, evenly on both
    /// sides.
    Pad,
}

/// A plane of `shape` = [nx, ny] fills the rectangle of `content` pixels at `offset` of a slice.
pub(super) struct Frame {
    shape: [usize; 2],
    size: usize,
    pub(super) content: [usize; 2],
    pub(super) offset: [usize; 2],
}

impl Frame {
    pub(super) fn new(Grid { shape, spacing }: Grid, size: usize, fit: Fit) -> Self {
        let content = match fit {
            Fit::Stretch => [size; 2],
            Fit::Pad => {
                let sides = [0, 1].map(|axis| shape[axis] as f64 * spacing[axis]);
                let scale = size as f64 / sides[0].max(sides[1]);
                sides.map(|side| ((side * scale).round() as usize).clamp(1, size))
            }
        };
        Self { shape, size, content, offset: content.map(|n| (size - n) / 2) }
    }

    pub(super) fn is_identity(&self) -> bool {
        self.shape == [self.size; 2] && self.content == self.shape
    }

    /// Values of the plane on the slice's grid; 0 where the slice is padded.
    pub(super) fn forth(&self, plane: impl ExactSizeIterator<Item = f32>) -> Vec<f32> {
        assert_eq!(plane.len(), self.shape[0] * self.shape[1], "a plane of another shape");
        let plane: Vec<f32> = plane.collect();
        let content = antialiased(&plane, self.shape, self.content);
        if self.content == [self.size; 2] {
            return content;
        }
        let mut slice = vec![0.0; self.size * self.size];
        let rows = slice.chunks_exact_mut(self.size).skip(self.offset[1]);
        for (row, values) in rows.zip(content.chunks_exact(self.content[0])) {
            row[self.offset[0]..][..self.content[0]].copy_from_slice(values);
        }
        slice
    }

    /// Values of the slice on the plane's grid. Padding is cut away first: resizing a part of a
    /// larger picture would mix in what lies beside it.
    pub(super) fn back(&self, slice: &[f32]) -> Vec<f32> {
        assert_eq!(slice.len(), self.size * self.size, "a slice of another size");
        let rows = slice.chunks_exact(self.size).skip(self.offset[1]).take(self.content[1]);
        let content: Vec<f32> =
            rows.flat_map(|row| &row[self.offset[0]..][..self.content[0]]).copied().collect();
        antialiased(&content, self.content, self.shape)
    }
}
