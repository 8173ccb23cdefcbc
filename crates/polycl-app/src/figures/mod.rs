//! Pictures, curves and reports as data, for whoever shows them.

pub mod curve;
mod digits;
pub mod montage;
pub mod picture;
pub mod report;
pub mod surface;
