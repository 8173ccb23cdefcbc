//! Adam, gradient clipping and learning-rate schedules, with PyTorch's semantics.

mod adam;
mod clip;
mod schedule;

pub use adam::{Adam, Moments};
pub use clip::{clip_scale, global_norm};
pub use schedule::{Schedule, warmed_up};
