//! CPU kernels for convolutional networks, forward and backward, on plain slices; no tensor
//! framework. `docs/cpu-kernels.md` tells the plan behind them: which operations a training step
//! consists of and how often each byte moves.
//!
//! Activations are float32 in [N, H, W, C] order ([`Shape`]), so that channels fill vector
//! registers; weights are PyTorch's [C_out, C_in, k, k]. A convolution's inputs are [`Source`]s:
//! they are normalised, activated, dropped out, resampled and concatenated while they are read, so
//! that only the raw results of convolutions are ever stored.
//!
//! Results are the same to the bit for any number of threads: work is cut by shape alone, and
//! partial sums are added in a fixed order.

#![expect(clippy::needless_range_loop, reason = "one index goes through registers and memory together")]

#[macro_use]
mod simd;
mod adam;
pub mod conv;
mod dropout;
mod fused;
mod loss;
mod moments;
mod parallel;
mod read;
mod scratch;
mod shape;
pub mod transformer;

pub use adam::{Adam, adam};
pub use conv::{Conv, Weights};
pub use dropout::Dropout;
pub use fused::{ConvGradient, Wanted, convolve, convolve_backward, materialise, materialise_backward};
pub use loss::{DiceLoss, NO_TARGET, soft_dice, soft_dice_backward};
pub use moments::{Over, moments};
pub use read::{Norm, Resample, Source, SourceGradient};
pub use shape::Shape;
pub use simd::{instruction_set, keep_to, peak_operations};
