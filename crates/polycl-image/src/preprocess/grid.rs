//! The pixels of a plane, by number and distance.

use crate::Space;

/// The pixels of a plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Pixels along x and y.
    pub shape: [usize; 2],
    /// Millimetres between pixel centres along x and y.
    pub spacing: [f64; 2],
}

impl Grid {
    /// The planes of a volume whose slices are stacked along its third axis, as in canonical
    /// orientation.
    pub fn of(space: &Space) -> Self {
        let ([nx, ny, _], [dx, dy, _]) = (space.shape, space.spacing());
        Self { shape: [nx, ny], spacing: [dx, dy] }
    }
}
