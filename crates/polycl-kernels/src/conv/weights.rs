//! Weights of a convolution, and parts of them.

use super::kernel::Conv;
use crate::shape::Shape;

/// Weights [C_out, C_in, k, k] and, where there is one, a bias `[C_out]`.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    pub values: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub channels_out: usize,
    pub channels_in: usize,
    pub kernel: usize,
}

impl Weights<'_> {
    pub(super) fn check(&self, conv: Conv, input: Shape) {
        assert!(self.kernel == conv.kernel && self.channels_in == input.c && conv.fits(input));
        assert_eq!(self.values.len(), self.channels_out * self.channels_in * self.taps());
        assert!(self.bias.is_none_or(|bias| bias.len() == self.channels_out));
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Channels that are read and written: the other way round on the way back.
    pub(super) fn channels(&self, transposed: bool) -> (usize, usize) {
        match transposed {
            false => (self.channels_in, self.channels_out),
            true => (self.channels_out, self.channels_in),
        }
    }

    /// From one channel read to `width` of those written, from `first` on: [tap][width], zero beyond
    /// the last. On the way back the taps come in reverse.
    pub(super) fn block(&self, transposed: bool, channel: usize, first: usize, width: usize, to: &mut [f32]) {
        let (taps, (_, columns)) = (self.taps(), self.channels(transposed));
        let [at, step] = match transposed {
            false => [channel * taps, self.channels_in * taps],
            true => [channel * columns * taps, taps],
        };
        to.fill(0.0);
        for column in first..columns.min(first + width) {
            let from = &self.values[at + column * step..][..taps];
            for (tap, &value) in from.iter().enumerate() {
                let tap = if transposed { taps - 1 - tap } else { tap };
                to[tap * width + column - first] = value;
            }
        }
    }
}
