//! Which prediction belongs to which reference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, Kind, Mask, Result, Space, nifti};

/// Corners of two masks of one image lie within this many mm of each other.
const SAME_PLACE: f64 = 0.01;

/// A reference mask and the prediction for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub case: String,
    pub reference: PathBuf,
    pub prediction: PathBuf,
}

/// Every reference with its prediction, sorted by case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    pub pairs: Vec<Pair>,
    /// Predictions for which there is no reference.
    pub extra: Vec<PathBuf>,
}

impl Pairs {
    /// Pairs two folders of NIfTI masks by case name, or two files whatever their names, and
    /// checks by their headers that the masks of every pair share one space.
    ///
    /// # Errors
    /// `Pairing` where a reference lacks its prediction, where a case is there twice, and where
    /// there is no reference at all; `Geometry` as [`same_space`]; `Request` for a file and a folder.
    pub fn find(reference: &Path, prediction: &Path) -> Result<Self> {
        let found = match (reference.is_dir(), prediction.is_dir()) {
            (true, true) => Self::in_folders(reference, prediction)?,
            (false, false) => Self::of_files(reference, prediction)?,
            (folder, _) => {
                let (expected, found) = if folder { ("a folder", "a file") } else { ("a file", "a folder") };
                let expected = format!("{expected}, as the reference is");
                return Err(Error::new(prediction, Kind::Request, expected, found));
            }
        };
        for pair in &found.pairs {
            let spaces = [&pair.reference, &pair.prediction].map(|file| nifti::read_space(file));
            let [reference, prediction] = spaces;
            same_space(&reference?, &prediction?, pair)?;
        }
        Ok(found)
    }

    fn of_files(reference: &Path, prediction: &Path) -> Result<Self> {
        let case = nifti::case_name(reference)
            .ok_or_else(|| Error::new(reference, Kind::Format, "a .nii or .nii.gz file", "another name"))?;
        let pair = Pair { case, reference: reference.to_owned(), prediction: prediction.to_owned() };
        Ok(Self { pairs: vec![pair], extra: Vec::new() })
    }

    fn in_folders(reference: &Path, prediction: &Path) -> Result<Self> {
        let references = masks(reference)?;
        if references.is_empty() {
            return Err(Error::new(reference, Kind::Pairing, "reference masks (.nii, .nii.gz)", "none"));
        }
        let mut predictions = masks(prediction)?;
        let (mut pairs, mut missing) = (Vec::new(), Vec::new());
        for (case, reference) in references {
            match predictions.remove(&case) {
                Some(prediction) => pairs.push(Pair { case, reference, prediction }),
                None => missing.push(case),
            }
        }
        if !missing.is_empty() {
            let expected = format!("a prediction for each of {} references", pairs.len() + missing.len());
            let found = format!("none for {}", some(&missing));
            return Err(Error::new(prediction, Kind::Pairing, expected, found).hint(
                "a prediction has its reference's file name; a case without one is never left out of the means",
            ));
        }
        Ok(Self { pairs, extra: predictions.into_values().collect() })
    }
}

impl Pair {
    /// Reads both masks.
    pub fn read(&self) -> Result<(Mask, Mask)> {
        let (reference, prediction) =
            (nifti::read_mask(&self.reference)?, nifti::read_mask(&self.prediction)?);
        same_space(&reference.space, &prediction.space, self)?;
        Ok((reference, prediction))
    }
}

/// Refuses a prediction with another shape than its reference, or with a corner more than 0.01 mm
/// from the reference's.
pub fn same_space(reference: &Space, prediction: &Space, pair: &Pair) -> Result<()> {
    let error = |expected, found| {
        Err(Error::new(&pair.prediction, Kind::Geometry, expected, found)
            .hint(format!("write it on the grid of its reference, {}", pair.reference.display())))
    };
    if reference.shape != prediction.shape {
        let [expected, found] = [reference, prediction].map(|space| {
            let [x, y, z] = space.shape;
            format!("{x} × {y} × {z} voxels")
        });
        return error(expected, found);
    }
    let moved = reference.corner_distance(prediction);
    if moved <= SAME_PLACE {
        return Ok(());
    }
    error("the affine of its reference".to_owned(), format!("one that moves a corner by {moved:.2} mm"))
}

/// The NIfTI files of a folder by case name.
fn masks(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let failed = |e: std::io::Error| Error::io(dir, "list its files", &e);
    let mut masks = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(case) = nifti::case_name(&path) else { continue };
        if let Some(other) = masks.insert(case.clone(), path) {
            return Err(Error::new(other, Kind::Pairing, format!("one file for case {case}"), "two"));
        }
    }
    Ok(masks)
}

/// The first few of a list and how many there are beyond.
fn some(cases: &[String]) -> String {
    let shown = cases.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    match cases.len().saturating_sub(5) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
