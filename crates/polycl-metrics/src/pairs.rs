//! Which prediction belongs to which reference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, some};
use polycl_image::dicom::structures::{Drawn, Structures};
use polycl_image::files::{self, Reading};
use polycl_image::grid::{self, Fit};
use polycl_image::names::{self, Names};
use polycl_image::{Mask, Space};
use serde::{Deserialize, Serialize};

const LIES_OTHERWISE: &str = "the prediction is not on the same grid as its reference";

/// A reference mask and the prediction for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub case: String,
    pub reference: PathBuf,
    pub prediction: PathBuf,
    /// Kept in no record of scores.
    #[serde(skip)]
    pub reading: Reading,
}

/// The grid on which a pair is scored.
enum Grid {
    OfReference,
    OfPrediction,
}

/// Every reference with its prediction, sorted by case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    pub pairs: Vec<Pair>,
    /// Predictions for which there is no reference.
    pub extra: Vec<PathBuf>,
}

impl Pairs {
    /// Pairs two folders of masks by case name, or two files whatever their names. `is_truth` refuses a reference that nobody
    /// drew by hand.
    ///
    /// # Errors
    /// `Pairing` where a reference lacks its prediction, where a case is there twice, and where
    /// there is no reference at all; `Request` for a file and a folder;
    /// `Io` for what is not there; and what `is_truth` says of a reference.
    pub fn find(
        reference: &Path,
        prediction: &Path,
        reading: Reading,
        mut is_truth: impl FnMut(&Path) -> Result<()>,
    ) -> Result<Self> {
        for path in [reference, prediction] {
            path.metadata().map_err(|e| files::hinted(path, Error::io(path, "read it", &e)))?;
        }
        let both = [alone(reference, prediction)?, alone(prediction, reference)?];
        let [reference, prediction] = both.each_ref().map(PathBuf::as_path);
        let found = match (reference.is_dir(), prediction.is_dir()) {
            (true, true) => Self::in_folders(reference, prediction, reading)?,
            (false, false) => Self::of_files(reference, prediction, reading)?,
            (folder, _) => {
                let (expected, found) = if folder { ("a folder", "a file") } else { ("a file", "a folder") };
                let expected = format!("{expected}, as the reference is");
                return Err(Error::new(prediction, Kind::Request, expected, found));
            }
        };
        for pair in &found.pairs {
            is_truth(&pair.reference)?;
        }
        Ok(found)
    }

    fn of_files(reference: &Path, prediction: &Path, reading: Reading) -> Result<Self> {
        let case = files::case_name(reference)
            .or_else(|| files::dicom_name(reference))
            .ok_or_else(|| Error::new(reference, Kind::Format, "a .nii or .nii.gz file", "another name"))?;
        let (reference, prediction) = (reference.to_owned(), prediction.to_owned());
        let pair = Pair { case, reference, prediction, reading };
        Ok(Self { pairs: vec![pair], extra: Vec::new() })
    }

    fn in_folders(reference: &Path, prediction: &Path, reading: Reading) -> Result<Self> {
        let references = masks(reference)?;
        if references.is_empty() {
            return Err(Error::new(
                reference,
                Kind::Pairing,
                "reference masks (.nii, .nii.gz)",
                "no such file",
            ));
        }
        let mut predictions = masks(prediction)?;
        let (mut pairs, mut missing) = (Vec::new(), Vec::new());
        for (case, reference) in references {
            match predictions.remove(&case) {
                Some(prediction) => pairs.push(Pair { case, reference, prediction, reading }),
                None => missing.push(case),
            }
        }
        if !missing.is_empty() {
            let expected = format!("a prediction for each of {} references", pairs.len() + missing.len());
            let found = format!("no prediction for {}", some(&missing));
            let hint = if predictions.is_empty() {
                "make the masks that are missing, or leave their references out of the folder"
            } else {
                "give a prediction the file name of its reference; a case without one is never left out of the means"
            };
            return Err(Error::new(prediction, Kind::Pairing, expected, found).hint(hint));
        }
        Ok(Self { pairs, extra: predictions.into_values().collect() })
    }
}

impl Pair {
    /// Checks by the headers that both masks share one space.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn check(&self) -> Result<()> {
        self.fit(&self.space(&self.reference)?, &self.space(&self.prediction)?).map(drop)
    }

    /// Reads the reference and, on its voxels, the prediction; with sentences where they lie in different ways, and where
    /// a header contradicts itself.
    ///
    /// # Errors
    /// As [`Reading::mask`]; `Geometry` where the prediction does not lie on the reference's voxels,
    /// whatever the order of its axes.
    pub fn read(&self) -> Result<(Mask, Mask, Vec<String>)> {
        let mut notes = self.odd()?;
        let [reference, prediction] = [&self.reference, &self.prediction].map(|path| self.mask(path));
        let (
            Drawn { mask: reference, notes: of_reference },
            Drawn { mask: prediction, notes: of_prediction },
        ) = (reference?, prediction?);
        let whose = [("reference", of_reference), ("prediction", of_prediction)];
        let told =
            whose.into_iter().flat_map(|(whose, notes)| notes.into_iter().map(move |note| (whose, note)));
        notes.extend(told.map(|(whose, note)| format!("{}, its {whose}: {note}", self.case)));
        let (fit, grid) = self.fit(&reference.space, &prediction.space)?;
        notes.extend(fit.note().map(|note| format!("{}: {LIES_OTHERWISE}: {note}", self.case)));
        let (reference, prediction) = match grid {
            Grid::OfReference => {
                let prediction = fit.apply(prediction, &reference.space);
                (reference, prediction)
            }
            Grid::OfPrediction => (fit.apply(reference, &prediction.space), prediction),
        };
        Ok((reference, prediction, notes))
    }

    /// Reads one of the two; a DICOM object on the voxels of the other.
    fn mask(&self, path: &Path) -> Result<Drawn> {
        match self.grid(path)? {
            Some((grid, wanted)) => self.reading.mask_on(path, &grid, Some(&wanted)),
            None => Ok(Drawn { mask: self.reading.mask(path)?, notes: Vec::new() }),
        }
    }

    /// The space that [`Self::mask`] has, by headers alone.
    fn space(&self, path: &Path) -> Result<Space> {
        match self.grid(path)? {
            Some((grid, wanted)) => self.reading.space_on(path, &grid, Some(&wanted)),
            None => self.reading.space(path),
        }
    }

    /// The grid on which one of the two is drawn if it is a DICOM object, and the structures that the other has as well, or
    /// all where that has no names.
    fn grid(&self, path: &Path) -> Result<Option<(Space, Names)>> {
        let Some(object) = Structures::at(path)? else { return Ok(None) };
        let other = if path == self.reference { &self.prediction } else { &self.reference };
        let grid = match Structures::at(other)? {
            Some(other) => object.space_with(&other)?,
            None => self.reading.space(other)?,
        };
        let mut wanted = object.names();
        let named = names::beside(other).map(|legend| legend.all());
        if let Ok(named) = named {
            wanted.retain(|_, name| named.values().any(|other| other == name));
        }
        Ok(Some((grid, if wanted.is_empty() { object.names() } else { wanted })))
    }

    /// Sentences about the headers; what both say is said once.
    fn odd(&self) -> Result<Vec<String>> {
        let [reference, prediction] =
            [&self.reference, &self.prediction].map(|path| self.reading.notes_of_mask(path));
        let (reference, prediction) = (reference?, prediction?);
        let whose = |note: &String| if prediction.contains(note) { "both masks" } else { "its reference" };
        let of_reference = reference.iter().map(|note| format!("{}, {}: {note}", self.case, whose(note)));
        let alone = prediction.iter().filter(|note| !reference.contains(note));
        let of_prediction = alone.map(|note| format!("{}, its prediction: {note}", self.case));
        Ok(of_reference.chain(of_prediction).collect())
    }

    /// The fit of one of the two on the grid of the other: that of the reference, unless it is a segmentation of 3D Slicer,
    /// which may hold a part of the scan.
    fn fit(&self, reference: &Space, prediction: &Space) -> Result<(Fit, Grid)> {
        if files::is_segmentation(&self.reference)
            && let Ok(fit) = grid::fit(prediction, reference, &self.reference)
        {
            return Ok((fit, Grid::OfPrediction));
        }
        let whose = format!("its reference {}", self.reference.display());
        let hint = "resample the prediction onto the voxels of its reference";
        Ok((grid::on_image(reference, prediction, &self.prediction, &whose, hint)?, Grid::OfReference))
    }
}

/// A DICOM object that lies alone in a folder, where the other one of a pair is a file; else the path as it is.
fn alone(path: &Path, other: &Path) -> Result<PathBuf> {
    let object = if path.is_dir() && !other.is_dir() { Structures::at(path)? } else { None };
    Ok(object.map_or_else(|| path.to_owned(), |object| object.path))
}

/// The masks of a folder by case name.
fn masks(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut masks = BTreeMap::new();
    for (case, path) in files::masks(dir)? {
        if let Some(other) = masks.insert(case.clone(), path) {
            return Err(Error::new(other, Kind::Pairing, format!("one file for case {case}"), "two files"));
        }
    }
    Ok(masks)
}
