//! Small scans and masks whose every voxel is known, and plans to import them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use glam::{DAffine3, DMat3, DVec3};
use polycl_base::{Result, Watch};
use polycl_data::{Dataset, Import, Index, Salt, pairs};
use polycl_image::preprocess::Preprocess;
use polycl_image::{Space, Volume, nifti};

/// 32 x 32 x 6 voxels of 1 x 1 x 3 mm. The axes run as `signs` say, in LPS order.
pub fn space(signs: [f64; 3]) -> Space {
    let columns = DMat3::from_diagonal(DVec3::new(-signs[0], -signs[1], 3.0 * signs[2]));
    Space::new([32, 32, 6], DAffine3 { matrix3: columns, translation: DVec3::new(7.0, -3.0, 11.0) })
}

pub const LPS: [f64; 3] = [1.0, 1.0, 1.0];
/// As LPS, but slices are stored from head to feet.
pub const LPI: [f64; 3] = [1.0, 1.0, -1.0];

/// The HU of slice `k` of the file, different in each.
pub fn hu(k: usize) -> f32 {
    -160.0 + 50.0 * (k as f32 + 1.0)
}

pub fn image(path: &Path, space: &Space) {
    shifted_image(path, space, 0.0);
}

/// Another scan: every voxel is `shift` HU away.
pub fn shifted_image(path: &Path, space: &Space, shift: f32) {
    let voxels = (0..space.voxels()).map(|at| hu(at / (32 * 32)) + shift).collect();
    nifti::write_image(path, &Volume { space: space.clone(), voxels }).unwrap();
}

/// A mask with `label` in the first rows (anterior) of the given file slices.
pub fn mask(path: &Path, space: &Space, boxes: &[(u16, [usize; 2], usize)]) {
    let mut voxels = vec![0; space.voxels()];
    for &(label, [first, last], rows) in boxes {
        for k in first..=last {
            voxels[k * 32 * 32..][..32 * rows].fill(label);
        }
    }
    nifti::write_mask(path, &Volume { space: space.clone(), voxels }).unwrap();
}

pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A path in the folder, whose parents exist.
    pub fn at(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn plan(&self) -> Result<Import> {
        let labels = self.0.path().join("labels");
        let labels = labels.is_dir().then_some(labels.as_path());
        Ok(plan(pairs::from_folders(&self.0.path().join("images"), labels, None)?.0))
    }

    /// The data set of all scans of a plan; the first reason where one cannot be used.
    pub fn import(&self, plan: &Import) -> Result<Index> {
        let mut made = plan.import(&self.0.path().join("dataset"), false, &())?;
        made.failed.pop().map_or(Ok(made.index), |(_, error)| Err(error))
    }

    pub fn dataset(&self) -> Result<Dataset> {
        Dataset::open(&self.0.path().join("dataset"))
    }
}

pub fn plan(pairs: Vec<pairs::Pair>) -> Import {
    let preprocess = Preprocess { size: 32, ..Preprocess::default() };
    Import { pairs, ranges: None, drawn: None, only: BTreeSet::new(), preprocess, shard: None }
}

pub fn notes(plan: &Import, out: &Path) -> Vec<String> {
    let heard = Heard::default();
    plan.import(out, false, &heard).unwrap();
    heard.notes()
}

/// Everything that an import tells, in order.
#[derive(Default)]
pub struct Heard(Mutex<Vec<Told>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Task(String),
    Note(String),
}

impl Heard {
    pub fn all(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }

    pub fn notes(&self) -> Vec<String> {
        let note = |told| if let Told::Note(text) = told { Some(text) } else { None };
        self.all().into_iter().filter_map(note).collect()
    }

    /// The scans that were read.
    pub fn tasks(&self) -> Vec<String> {
        let task = |told| if let Told::Task(text) = told { Some(text) } else { None };
        self.all().into_iter().filter_map(task).collect()
    }
}

impl Watch for Heard {
    fn task(&self, text: &str) {
        self.0.lock().unwrap().push(Told::Task(text.to_owned()));
    }

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(Told::Note(text.to_owned()));
    }
}

/// For tests that look at no patient's name; made where it is missing.
pub fn salt() -> Salt {
    Salt::at(&std::env::temp_dir().join("polycl-tests.salt"))
}
