//! Pictures, curves and reports as data, for whoever shows them.

pub mod curve;
pub mod montage;
pub mod picture;
pub mod report;
mod surface;
