//! A series of images, and what can be asked of it.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use polycl_base::{Error, Kind, Result};

use super::charset;
use super::instance::Instance;
use super::patient::Patient;
use super::place::Place;
use super::read;
use super::scan::Element;
use super::select::CAPTURES;
use super::slice::{Shot, parse};
use super::source::{Head, open};
use super::stack::{Stack, stack};
use crate::{Image, Space};

/// Most images without a place that are screens and protocols rather than slices.
const FEW: u32 = 3;
/// Images nearer to each other than this, in mm, show one place at several times.
const ONE_PLACE_MM: f64 = 0.01;

/// The images of one series, in no order yet: each question below puts them in order by their headers.
pub struct Series {
    pub uid: String,
    pub description: String,
    pub modality: String,
    /// Study Instance UID.
    pub study: String,
    /// UID of the frame of reference; empty where there is none.
    pub frame_of_reference: String,
    pub patient: Patient,
    /// What errors of the series as a whole name.
    root: PathBuf,
    shots: Vec<Shot>,
    warnings: Vec<String>,
}

/// Without the patient.
impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series")
            .field("uid", &self.uid)
            .field("images", &self.shots.len())
            .finish_non_exhaustive()
    }
}

impl Series {
    /// `shots` are the series' files, at least one; `damaged` those of the whole path that cannot be read, and `empty`
    /// those without a byte.
    pub(super) fn new(
        uid: String,
        root: &Path,
        shots: Vec<Shot>,
        damaged: &[&Path],
        empty: &[PathBuf],
    ) -> Self {
        let first = &shots[0];
        let folders: HashSet<_> = shots.iter().map(|shot| shot.path.parent()).collect();
        let endings: HashSet<_> = shots.iter().map(|shot| shot.path.extension()).collect();
        let damaged = damaged.iter().filter(|path| folders.contains(&path.parent())).count();
        let alike = |path: &&PathBuf| folders.contains(&path.parent()) && endings.contains(&path.extension());
        let empty = empty.iter().filter(alike).count();
        let mut warnings = Vec::new();
        for (count, what) in [(damaged, "damaged DICOM"), (empty, "empty")] {
            if count > 0 {
                let files = if count == 1 { "file" } else { "files" };
                warnings.push(format!("{count} {what} {files} beside it: slices of it may be missing"));
            }
        }
        let others = |shot: &Shot| shot.study != first.study || !shot.patient.may_be(&first.patient);
        if shots.iter().any(others) {
            warnings.push("its images name several studies or patients".to_owned());
        }
        let scans = shots.iter().filter(|shot| !shot.localizer);
        let frames: HashSet<&str> =
            scans.map(|shot| shot.frame_of_reference.as_str()).filter(|uid| !uid.is_empty()).collect();
        if frames.len() > 1 {
            warnings.push("its images have several frames of reference".to_owned());
        }
        Self {
            uid,
            description: first.description.clone(),
            modality: first.modality.clone(),
            study: first.study.clone(),
            frame_of_reference: first.frame_of_reference.clone(),
            patient: first.patient.clone(),
            root: root.to_owned(),
            warnings,
            shots,
        }
    }

    /// The images of a series that nobody meant as a volume, such as localizers; `None` of one that may be one.
    pub fn no_volume(&self) -> Option<&'static str> {
        let shots: Vec<&Shot> = self.shots.iter().filter(|shot| !shot.localizer).collect();
        let frames: u32 = shots.iter().map(|shot| shot.layout.frames).sum();
        let places = || shots.iter().flat_map(|shot| &shot.frames).filter_map(|frame| frame.place);
        let Some(first) = places().next() else {
            let screens = shots.iter().all(|shot| shot.class.starts_with(CAPTURES));
            return match () {
                () if shots.is_empty() => Some("localizers"),
                // Of many, a person should hear that their places were lost.
                () if screens || frames <= FEW => Some("images without a place"),
                () => None,
            };
        };
        let at_first = |place: Place| place.position.distance(first.position) < ONE_PLACE_MM;
        (places().count() > 1 && places().all(at_first)).then_some("images at one place")
    }

    fn stack(&self) -> Result<Stack<'_>> {
        stack(&self.shots, &self.root)
    }

    /// Slices of the volume; where the images make none, the images.
    pub fn slices(&self) -> usize {
        self.stack().map_or_else(|_| self.shots.len(), |stack| stack.planes.len())
    }

    /// Where the voxels lie, from headers alone.
    ///
    /// # Errors
    /// `Geometry` where the images do not lie on one regular grid.
    pub fn space(&self) -> Result<Space> {
        Ok(self.stack()?.space)
    }

    /// Reads the scan: values as in the files, slope and intercept of each slice applied in f64.
    ///
    /// # Errors
    /// As [`Series::space`]; `Format`, `Truncated`, `Voxels` and `Io` for files that cannot be decoded.
    pub fn read(&self) -> Result<Image> {
        let stack = self.stack()?;
        let voxels = read::voxels(&stack, &self.root)?;
        Ok(Image { space: stack.space, voxels })
    }

    /// As [`Series::read`], with the SHA-256 (lower-case hex) of the files' bytes in slice order.
    pub fn read_hashed(&self) -> Result<(Image, String)> {
        let stack = self.stack()?;
        let (voxels, hash) = rayon::join(|| read::voxels(&stack, &self.root), || read::hash(&stack));
        Ok((Image { voxels: voxels?, space: stack.space }, hash?))
    }

    /// The files of its images, each once.
    pub fn files(&self) -> Vec<&Path> {
        let files: BTreeSet<&Path> = self.shots.iter().map(|shot| shot.path.as_path()).collect();
        files.into_iter().collect()
    }

    /// What is odd about the series and worth telling, such as images left out; nothing of the patient.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.warnings.clone();
        notes.extend(self.stack().map(|stack| stack.notes).unwrap_or_default());
        notes
    }

    /// The standard elements of the first slice's data set, without pixel data; text is decoded, whatever character sets it
    /// was written in.
    ///
    /// # Errors
    /// As [`Series::space`], and where the file is gone or damaged.
    pub fn header(&self) -> Result<InMemDicomObject> {
        let stack = self.stack()?;
        let path = &stack.planes[0].shot.path;
        let head = open(path)?
            .ok_or_else(|| Error::new(path, Kind::Format, "a DICOM file", "another kind of file"))?;
        header(path, &head)
    }

    /// SOP Instance UIDs of its images, those among them that make no slice.
    pub fn uids(&self) -> impl Iterator<Item = &str> {
        self.shots.iter().map(|shot| shot.instance.as_str())
    }

    /// Where each slice comes from, along the volume's third axis; empty where the images make no volume.
    pub fn instances(&self) -> Vec<Instance> {
        let Ok(stack) = self.stack() else { return Vec::new() };
        let instance = |plane: &super::plane::Plane| Instance {
            sop_class: plane.shot.class.clone(),
            sop_instance: plane.shot.instance.clone(),
            frame: (plane.shot.layout.frames > 1).then_some(plane.frame + 1),
        };
        stack.planes.iter().map(instance).collect()
    }
}

/// Text is read as Latin-1, which loses nothing, and decoded then.
fn header(path: &Path, head: &Head) -> Result<InMemDicomObject> {
    let is_sets = |element: &Element| element.tag == tags::SPECIFIC_CHARACTER_SET;
    let declared = charset::declared(&parse(path, head, is_sets)?);
    let is_sequence = |element: &Element| element.vr == VR::SQ || element.length.is_none();
    // Private elements have odd groups; no one else can say what they mean.
    let mut object =
        parse(path, head, |element| element.tag.0 % 2 == 0 && !is_sets(element) && !is_sequence(element))?;
    // A character set within one sequence would change the reading of all that follows it, and one that cannot be read is
    // left out.
    for sequence in head.scan.elements.iter().filter(|e| e.tag.0 % 2 == 0 && is_sequence(e)) {
        let alone = parse(path, head, |element| element.start == sequence.start);
        alone.into_iter().flatten().for_each(|element| drop(object.put(element)));
    }
    charset::decode_all(&mut object, &declared);
    object.put_str(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    Ok(object)
}
