//! A scan as a person points at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use polycl_base::{Error, Kind, Result, some};
use serde::{Deserialize, Serialize};

use crate::dicom::{self, Series};
use crate::files::{self, Format, Reading};
use crate::folder::{self, Folder};
use crate::nifti::Form;
use crate::{Image, Space};

/// A file that went into the data set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub path: PathBuf,
    /// Series of a DICOM scan in the folder `path`: the digest of its UID, which itself could be traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    pub sha256: String,
    /// The form of its NIfTI header that a person trusted, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Form>,
    /// Shapes were interpolated in slices without a contour between others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fill_gaps: bool,
}

impl Source {
    /// The way in which it was read.
    pub fn reading(&self) -> Reading {
        Reading { trust: self.trust, fill_gaps: self.fill_gaps }
    }

    /// True if other programs take its voxels to be where they were taken to be.
    pub fn is_read_as_others_do(&self) -> bool {
        self.trust != Some(Form::Qform)
    }

    /// Refuses a path that leads nowhere: it stands as it was given, and data sets are moved.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn check(&self) -> Result<()> {
        self.path.metadata().map(drop).map_err(|e| {
            let hint = if self.path.is_relative() {
                "work in the folder that `polycl import` was run in, or import again: the data set keeps its paths as they were given"
            } else {
                "put the imported files back where they were, or import again"
            };
            Error::io(&self.path, "find the file that was imported", &e).hint(hint)
        })
    }
}

/// The place of a scan.
#[derive(Debug, Clone)]
pub enum Input {
    File {
        path: PathBuf,
        reading: Reading,
    },
    /// A DICOM series, and the folder (or the file) in which it was found.
    Series {
        found_in: PathBuf,
        series: Arc<Series>,
        /// Files of other formats that lie beside it.
        left_out: Vec<PathBuf>,
    },
}

impl Input {
    /// A file of a format whose ending it has, or else a DICOM file or a [`Folder`]. Of several series one must be named,
    /// by its UID or the [`dicom::digest`] of it.
    ///
    /// # Errors
    /// As [`dicom::find`] and [`dicom::choose`]; [`Kind::Format`] for a file of neither kind; [`Kind::Request`] for a folder
    /// of several files. Whether a file can be read is found when it is.
    pub fn open(path: &Path, series: Option<&str>) -> Result<Self> {
        if series.is_none() && !path.is_dir() && (files::is_scan(path) || !path.exists()) {
            Format::of(path)?;
            return Ok(Self::file(path.to_path_buf()));
        }
        let mut left_out = Vec::new();
        if series.is_none() && path.is_dir() {
            match Folder::of(path)? {
                Folder::Files(files) => return only(files, path).map(Self::file),
                Folder::Dicom { left_out: files } => left_out = files,
            }
        }
        let mut found = dicom::find(path)?;
        if !found.is_dicom() && path.is_file() {
            Format::of(path)?;
        }
        let uid = dicom::choose(&found, path, series)?.uid.clone();
        found.series.retain(|series| series.uid == uid);
        let (found_in, series) = (path.to_path_buf(), Arc::new(found.series.remove(0)));
        Ok(Self::Series { found_in, series, left_out })
    }

    /// A scan that went into a data set.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn at(source: &Source) -> Result<Self> {
        source.check()?;
        Ok(Self::open(&source.path, source.series.as_deref())?.trusting(source.trust))
    }

    /// A file, read by nibabel's choice.
    pub fn file(path: PathBuf) -> Self {
        Self::File { path, reading: Reading::default() }
    }

    /// The same, read by the form of its NIfTI header that is trusted; other formats have one alone.
    pub fn trusting(self, trust: Option<Form>) -> Self {
        match self {
            Self::File { path, .. } => Self::File { path, reading: Reading::trusting(trust) },
            series => series,
        }
    }

    /// The form of its header that is trusted, where one is.
    pub fn trust(&self) -> Option<Form> {
        match self {
            Self::File { reading, .. } => reading.trust,
            Self::Series { .. } => None,
        }
    }

    pub fn series(found_in: &Path, series: Series) -> Self {
        Self::Series { found_in: found_in.to_path_buf(), series: Arc::new(series), left_out: Vec::new() }
    }

    /// The source of the scan, for a data set.
    pub fn source(&self, sha256: String) -> Source {
        let series = match self {
            Self::File { .. } => None,
            Self::Series { series, .. } => Some(dicom::digest(&series.uid)),
        };
        Source { path: self.path().to_path_buf(), series, sha256, trust: self.trust(), fill_gaps: false }
    }

    /// The file, or where the series was found.
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } => path,
            Self::Series { found_in, .. } => found_in,
        }
    }

    /// The files that it is read from; of a file whose voxels are in another, the first.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::File { path, .. } => vec![path],
            Self::Series { series, .. } => series.files(),
        }
    }

    /// The space of its voxels, by its headers alone.
    ///
    /// # Errors
    /// As [`Reading::space`] and [`Series::space`].
    pub fn space(&self) -> Result<Space> {
        match self {
            Self::File { path, reading } => reading.space(path),
            Self::Series { series, .. } => series.space(),
        }
    }

    /// The scan in HU.
    ///
    /// # Errors
    /// As [`Reading::image`] and [`Series::read`].
    pub fn image(&self) -> Result<Image> {
        match self {
            Self::File { path, reading } => reading.image(path),
            Self::Series { series, .. } => series.read(),
        }
    }

    /// The scan, and the SHA-256 (lower-case hex) of the bytes that it was read from.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn image_hashed(&self) -> Result<(Image, String)> {
        match self {
            Self::File { path, reading } => reading.image_hashed(path),
            Self::Series { series, .. } => series.read_hashed(),
        }
    }

    /// The labels that its values are, if they can be; a DICOM series is never a mask.
    ///
    /// # Errors
    /// As [`Reading::labels`].
    pub fn labels(&self, image: &Image) -> Result<Option<Vec<u16>>> {
        match self {
            Self::File { path, reading } => reading.labels(path, &image.voxels),
            Self::Series { .. } => Ok(None),
        }
    }

    /// As [`Self::notes`], where its values are labels.
    ///
    /// # Errors
    /// As [`Reading::notes_of_mask`].
    pub fn notes_of_mask(&self) -> Result<Vec<String>> {
        match self {
            Self::File { path, reading } => reading.notes_of_mask(path),
            Self::Series { .. } => Ok(Vec::new()),
        }
    }

    /// Oddities by its headers, worth telling.
    ///
    /// # Errors
    /// As [`Reading::notes`].
    pub fn notes(&self) -> Result<Vec<String>> {
        match self {
            Self::File { path, reading } => reading.notes(path),
            Self::Series { series, left_out, .. } => {
                Ok(series.notes().into_iter().chain(folder::left_out(left_out)).collect())
            }
        }
    }
}

/// The one scan of a folder of files.
fn only(files: Vec<PathBuf>, folder: &Path) -> Result<PathBuf> {
    if let [file] = files.as_slice() {
        return Ok(file.clone());
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let found = format!("{} files: {}", files.len(), some(&names));
    Err(Error::new(folder, Kind::Request, "one scan", found)
        .hint("name one of the files; `polycl import` reads and checks all of them"))
}
