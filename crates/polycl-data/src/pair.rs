//! A scan and what is drawn on it, by the files that hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_image::Input;
use polycl_image::files::Reading;
use polycl_image::legend::Legend;
use polycl_image::nifti::Form;

use super::Origin;

/// A scan and what is drawn on it.
#[derive(Debug, Clone)]
pub struct Pair {
    pub case: String,
    pub patient: String,
    /// The placeholder in the scan's tags where a patient's ID and name should stand; empty where the tags hold nothing.
    pub unnamed: Option<String>,
    pub domain: Option<String>,
    pub image: Input,
    pub label: Option<Label>,
    /// Who drew the label, where that is stated; else the files beside the masks tell.
    pub origin: Option<Origin>,
    /// The way to read the files of the label.
    pub reading: Reading,
}

impl Pair {
    /// The same, its NIfTI files read by the form of their headers that is trusted.
    pub fn trusting(self, trust: Option<Form>) -> Self {
        Self { image: self.image.trusting(trust), reading: Reading { trust, ..self.reading }, ..self }
    }

    /// The same, with shapes interpolated in slices without a contour between others.
    pub fn filling_gaps(self, fill_gaps: bool) -> Self {
        Self { reading: Reading { fill_gaps, ..self.reading }, ..self }
    }
}

#[derive(Debug, Clone)]
pub enum Label {
    /// One file of label values, and what they mean.
    Map(PathBuf, Legend),
    /// One file per structure, by structure name; whatever is not 0 belongs to it.
    Structures(BTreeMap<String, PathBuf>),
}

impl Label {
    /// The file, or the folder of the files.
    pub fn path(&self) -> &Path {
        match self {
            Self::Map(path, _) => path,
            Self::Structures(files) => {
                files.values().next().and_then(|file| file.parent()).unwrap_or(Path::new(""))
            }
        }
    }

    /// Every organ that the label could draw, with its file and its value there; where the file is one
    /// organ whatever its values, none.
    pub(super) fn parts(&self) -> Vec<(&str, &Path, Option<u16>)> {
        match self {
            Self::Map(path, legend) => legend
                .names
                .iter()
                .map(|(&value, name)| (name.as_str(), path.as_path(), Some(value)))
                .collect(),
            Self::Structures(files) => {
                files.iter().map(|(name, path)| (name.as_str(), path.as_path(), None)).collect()
            }
        }
    }

    /// Names of all that the label could draw.
    pub fn organs(&self) -> BTreeSet<&str> {
        self.parts().into_iter().map(|(organ, ..)| organ).collect()
    }
}
