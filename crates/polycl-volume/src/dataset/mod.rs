//! A data set: `index.json`, which a person can read, and `slices.zarr`, from which any slice is
//! read without touching the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::preprocess::Preprocess;

/// The whole of `index.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Version of the layout; this code writes and reads 1.
    pub polycl_dataset: u32,
    pub preprocess: Preprocess,
    /// Name of each label value; background (0) is not listed.
    pub labels: BTreeMap<u16, String>,
    /// Sorted by case.
    pub scans: Vec<Scan>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Name of the scan, unique in the data set: the image file's name without its endings.
    pub case: String,
    pub patient: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Slices in the store, from the patient's feet to the head.
    pub slices: usize,
    /// Voxels of the source file along its own three axes.
    pub shape: [usize; 3],
    /// Millimetres between voxel centres along the same axes.
    pub spacing: [f64; 3],
    pub image: Source,
    /// The mask file, or one file per structure; empty where nothing is drawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<Source>,
    /// For each organ about which something is known: the store's slices that show it, as
    /// inclusive ranges. An organ known to be absent has no ranges; an unknown one is not listed.
    pub presence: BTreeMap<String, Vec<[usize; 2]>>,
}

/// A file that went into the data set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub path: PathBuf,
    pub sha256: String,
}

impl Scan {
    /// Whether `organ` is in slice `slice` of the store; `None` where nobody has said.
    pub fn shows(&self, organ: &str, slice: usize) -> Option<bool> {
        let ranges = self.presence.get(organ)?;
        Some(ranges.iter().any(|&[first, last]| (first..=last).contains(&slice)))
    }

    pub fn labelled(&self) -> bool {
        !self.masks.is_empty()
    }
}

/// An opened data set.
pub struct Dataset {
    pub dir: PathBuf,
    pub index: Index,
}

impl Dataset {
    pub fn open(dir: &Path) -> Result<Self> {
        let _ = dir;
        todo!()
    }

    /// Slice `slice` of scan number `scan` as the network sees it (normalised), rows from anterior
    /// to posterior, columns from the patient's right to left: [size, size].
    pub fn image(&self, scan: usize, slice: usize) -> Result<Vec<f32>> {
        let _ = (scan, slice);
        todo!()
    }

    /// The label values of the same slice: [size, size].
    pub fn mask(&self, scan: usize, slice: usize) -> Result<Vec<u16>> {
        let _ = (scan, slice);
        todo!()
    }
}
