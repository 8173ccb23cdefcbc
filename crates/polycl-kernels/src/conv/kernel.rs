//! Kernels of convolutions, and the maps that they make.

use crate::shape::Shape;

/// A square kernel, its stride and its zero padding on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Conv {
    /// True if [`Self::output`] exists: the kernel must fit into the padded map.
    pub fn fits(self, input: Shape) -> bool {
        let side = |length: usize| length > 0 && length + 2 * self.padding >= self.kernel;
        self.kernel > 0 && self.stride > 0 && side(input.h) && side(input.w)
    }

    pub fn output(self, input: Shape, channels: usize) -> Shape {
        let side = |length: usize| (length + 2 * self.padding - self.kernel) / self.stride + 1;
        Shape { n: input.n, h: side(input.h), w: side(input.w), c: channels }
    }
}
