//! The parts that all DICOM objects of ours share, whichever of segmentation and contours they are.
//!
//! Equal input gives an equal file: dates are the scan's, and the object's own UIDs are hashes of everything else that is in
//! it.

pub(super) mod codes;
pub(super) mod element;
pub(super) mod header;
mod how;
pub(super) mod reference;
pub(super) mod save;
pub(super) mod shown;
mod source;
pub(super) mod uid;

pub use how::{Automation, How};
pub use source::Source;
