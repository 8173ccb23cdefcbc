//! CT volumes without a tensor framework: geometry, files, data sets, metrics, phantoms.
//!
//! World coordinates are RAS+ millimetres everywhere; other conventions are converted at the
//! edge where a file is read or written. Transforms are named by space, as in
//! [`Space::world_from_voxel`].

pub mod archive;
pub mod compare;
pub mod components;
pub mod dataset;
pub mod degrade;
pub mod dicom;
mod error;
pub mod files;
pub mod grid;
mod input;
pub mod lock;
mod metaimage;
pub mod metrics;
pub mod nifti;
mod npz;
mod nrrd;
pub mod odd;
pub mod orient;
pub mod output;
pub mod phantom;
pub mod preprocess;
mod raw;
pub mod resize;
pub mod rng;
mod space;
mod volume;

pub use error::{Error, Kind, Result};
pub use input::Input;
pub use space::Space;
pub use volume::{Image, Mask, Volume};
