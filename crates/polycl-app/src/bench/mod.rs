//! Speed of reading and computing here, and the worth of refinement and propagation against masks that people drew.

pub mod propagate;
pub mod refine;
mod timing;

pub use timing::{Read, Reading, Sam2Steps, Sam2Times, SamSteps, SamTimes, StepTimes, Steps};
