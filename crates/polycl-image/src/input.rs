//! A scan as a person points at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use polycl_base::Result;
use serde::{Deserialize, Serialize};

use crate::dicom::{self, Series};
use crate::files::{self, Format};
use crate::{Image, Space};

/// A file that went into the data set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub path: PathBuf,
    /// Of a DICOM series in the folder `path`: the digest of its UID, which itself could be traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    pub sha256: String,
}

/// Where a scan is.
#[derive(Debug, Clone)]
pub enum Input {
    File(PathBuf),
    /// A DICOM series, and the folder (or the file) in which it was found.
    Series {
        found_in: PathBuf,
        series: Arc<Series>,
    },
}

impl Input {
    /// A file of a format whose ending it has, or else a DICOM file or a folder of such files. Of several
    /// series one must be named, by its UID or the [`dicom::digest`] of it.
    ///
    /// # Errors
    /// As [`dicom::find`] and [`dicom::choose`]; [`polycl_base::Kind::Format`] for a file of neither kind. Whether a
    /// file can be read is found when it is.
    pub fn open(path: &Path, series: Option<&str>) -> Result<Self> {
        if series.is_none() && !path.is_dir() && (files::is_scan(path) || !path.exists()) {
            Format::of(path)?;
            return Ok(Self::File(path.to_path_buf()));
        }
        let mut found = dicom::find(path)?;
        if found.series.is_empty() && found.damaged.is_empty() && path.is_file() {
            Format::of(path)?;
        }
        let uid = dicom::choose(&found, path, series)?.uid.clone();
        found.series.retain(|series| series.uid == uid);
        Ok(Self::series(path, found.series.remove(0)))
    }

    /// A scan that went into a data set.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn at(source: &Source) -> Result<Self> {
        Self::open(&source.path, source.series.as_deref())
    }

    pub fn series(found_in: &Path, series: Series) -> Self {
        Self::Series { found_in: found_in.to_path_buf(), series: Arc::new(series) }
    }

    /// What a data set tells of the scan.
    pub fn source(&self, sha256: String) -> Source {
        let series = match self {
            Self::File(_) => None,
            Self::Series { series, .. } => Some(dicom::digest(&series.uid)),
        };
        Source { path: self.path().to_path_buf(), series, sha256 }
    }

    /// The file, or where the series was found.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Series { found_in, .. } => found_in,
        }
    }

    /// The files that it is read from; of a file whose voxels are in another, the first.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::File(path) => vec![path],
            Self::Series { series, .. } => series.files(),
        }
    }

    /// Where its voxels lie, by its headers alone.
    ///
    /// # Errors
    /// As [`files::read_space`] and [`Series::space`].
    pub fn space(&self) -> Result<Space> {
        match self {
            Self::File(path) => files::read_space(path),
            Self::Series { series, .. } => series.space(),
        }
    }

    /// The scan in HU.
    ///
    /// # Errors
    /// As [`files::read_image`] and [`Series::read`].
    pub fn image(&self) -> Result<Image> {
        match self {
            Self::File(path) => files::read_image(path),
            Self::Series { series, .. } => series.read(),
        }
    }

    /// The scan, and the SHA-256 (lower-case hex) of the bytes that it was read from.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn image_hashed(&self) -> Result<(Image, String)> {
        match self {
            Self::File(path) => files::read_image_hashed(path),
            Self::Series { series, .. } => series.read_hashed(),
        }
    }

    /// What is odd about it by its headers, and worth telling.
    ///
    /// # Errors
    /// As [`files::notes`].
    pub fn notes(&self) -> Result<Vec<String>> {
        match self {
            Self::File(path) => files::notes(path),
            Self::Series { series, .. } => Ok(series.notes()),
        }
    }
}
