//! Files for the tests of several crates. Nothing but tests depends on it.

pub mod dicom;
pub mod zip;
