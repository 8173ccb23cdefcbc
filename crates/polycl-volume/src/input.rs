//! A scan as a person points at it.

use std::path::{Path, PathBuf};

use crate::dataset::Source;
use crate::{Image, Result, Space, nifti};

/// Where a scan is.
#[derive(Debug, Clone)]
pub enum Input {
    File(PathBuf),
}

impl Input {
    /// A scan that went into a data set.
    pub fn at(source: &Source) -> Result<Self> {
        Ok(Self::File(source.path.clone()))
    }

    /// What a data set tells of the scan.
    pub(crate) fn source(&self, sha256: String) -> Source {
        Source { path: self.path().to_path_buf(), series: None, sha256 }
    }

    /// The file, or the folder in which the series was found.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
        }
    }

    /// Where its voxels lie, by its headers alone.
    pub fn space(&self) -> Result<Space> {
        match self {
            Self::File(path) => nifti::read_space(path),
        }
    }

    /// The scan in HU.
    pub fn image(&self) -> Result<Image> {
        match self {
            Self::File(path) => nifti::read_image(path),
        }
    }

    /// The scan, and the SHA-256 (lower-case hex) of the bytes that it was read from.
    pub fn image_hashed(&self) -> Result<(Image, String)> {
        match self {
            Self::File(path) => nifti::read_image_hashed(path),
        }
    }
}
