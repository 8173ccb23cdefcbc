//! CT volumes without a tensor framework: geometry, files of every format, resampling, label names.
//!
//! World coordinates are RAS+ millimetres everywhere; other conventions are converted at the
//! edge where a file is read or written. Transforms are named by space, as in
//! [`Space::world_from_voxel`].

pub mod automation;
pub mod components;
pub mod dicom;
pub mod edt;
pub mod files;
pub mod folder;
mod given;
pub mod grid;
mod input;
pub mod labels;
pub mod legend;
mod metaimage;
pub mod names;
mod native;
pub mod nifti;
mod npz;
mod nrrd;
pub mod odd;
pub mod orient;
mod plane;
pub mod preprocess;
mod raw;
pub mod resize;
mod space;
mod volume;

pub use folder::Folder;
pub use given::{Given, Spellings};
pub use input::{Input, Source};
pub use plane::Plane;
pub use space::Space;
pub use volume::{Image, Mask, Volume};
