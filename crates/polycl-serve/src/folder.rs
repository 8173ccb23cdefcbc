//! The scans of a folder, as the queue lists them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use polycl_base::{Result, hex};
use polycl_data::pairs::Label;
use polycl_data::{Salt, from_dicom, pairs};
use polycl_image::files::{self, Format};
use polycl_image::orient::Reorientation;
use polycl_image::{Input, dicom, names};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::document::Facts;
use crate::journal;
use crate::locked::locked;
use crate::queue::Greys;

/// The word for the format of scans that a client has sent.
const SENT: &str = "sent";

/// A scan in the queue.
pub struct Entry {
    /// Hex digits that say nothing of the file.
    pub id: String,
    /// The case's name, in which DICOM's patients are hashed.
    pub name: String,
    format: &'static str,
    pub input: Input,
    /// The mask to begin with, if there is one.
    pub label: Option<Label>,
    /// The place of its document.
    pub folder: PathBuf,
    row: Mutex<Row>,
}

/// The part of a row that changes.
#[derive(Default)]
struct Row {
    /// Canonical shape and spacing.
    grid: Option<([usize; 3], [f64; 3])>,
    reason: Option<String>,
    facts: Option<Summary>,
    open: bool,
}

struct Summary {
    state: &'static str,
    who: Option<String>,
    when: Option<u64>,
    doubt: f64,
    note: String,
    labels: Vec<String>,
    /// Reviewed, and without any voxel.
    empty: bool,
}

/// A folder's scans.
pub struct Listing {
    /// By id.
    pub entries: BTreeMap<String, Arc<Entry>>,
    /// Sentences about what was passed over.
    pub notes: Vec<String>,
    /// Label values of masks to begin with that are one file for each structure.
    pub structures: BTreeMap<String, u16>,
}

/// Lists the files of formats that we know in a folder, and the DICOM series in it and below. Headers alone are read; a
/// scan whose header cannot be read is listed with the reason.
///
/// # Errors
/// [`polycl_base::Kind::Io`] for a folder that cannot be listed; as [`pairs::masks_in`] for the masks.
pub fn list(folder: &Path, labels: Option<&Path>, work: &Path, salt: &Salt) -> Result<Listing> {
    let mut masks = labels.map(pairs::masks_in).transpose()?.unwrap_or_default();
    let structures =
        masks.values().filter(|label| matches!(label, Label::Structures(_))).flat_map(Label::organs);
    let structures = names::unite(&[], &structures.collect());
    let mut scans: Vec<(String, &'static str, Input)> = Vec::new();
    for path in files::scans(folder)?.into_iter().filter(|path| !files::is_segmentation(path)) {
        let Some(case) = files::case_name(&path) else { continue };
        let format = Format::of(&path).map_or("other", name_of);
        let case = case.strip_suffix("_0000").map(str::to_owned).unwrap_or(case);
        scans.push((case, format, Input::file(path)));
    }
    let mut notes = Vec::new();
    // A folder without DICOM is no error here, nor is one whose series are all of other kinds.
    if let Ok((series, told)) = from_dicom(folder, &[], salt) {
        scans.extend(series.into_iter().map(|pair| (pair.case, "dicom", pair.image)));
        notes = told;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    scans.iter().for_each(|(case, ..)| *counts.entry(case.clone()).or_default() += 1);
    let entry = |(case, format, input): (String, &'static str, Input)| {
        let id = id_of(folder, &input);
        let label = masks.remove(&case);
        // Masks are called after their cases, of which each must have its own.
        let name = if counts[&case] == 1 { case } else { format!("{case}-{}", &id[..4]) };
        let folder = work.join(&id);
        let entry = Entry { name, format, input, label, folder, row: Mutex::default(), id };
        entry.look();
        (entry.id.clone(), Arc::new(entry))
    };
    Ok(Listing { entries: scans.into_iter().map(entry).collect(), notes, structures })
}

fn name_of(format: Format) -> &'static str {
    match format {
        Format::Nifti => "nifti",
        Format::Nrrd => "nrrd",
        Format::MetaImage => "metaimage",
        Format::Npz => "npz",
    }
}

fn id_of(folder: &Path, input: &Input) -> String {
    let mut hash = Sha256::new();
    match input {
        Input::File { path, .. } => {
            hash.update(path.strip_prefix(folder).unwrap_or(path).as_os_str().as_encoded_bytes());
        }
        Input::Series { series, .. } => hash.update(dicom::digest(&series.uid)),
    }
    hex(&hash.finalize()[..8])
}

impl Entry {
    /// A scan that a client has sent, with its document beside it.
    pub fn sent(id: String, file: PathBuf, folder: PathBuf) -> Self {
        let name = format!("sent {}", &id[..4]);
        let entry = Self {
            id,
            name,
            format: SENT,
            input: Input::file(file),
            label: None,
            folder,
            row: Mutex::default(),
        };
        entry.look();
        entry
    }

    /// True of a scan that is in no folder, and whose mask is for the client alone that sent it.
    pub fn is_sent(&self) -> bool {
        self.format == SENT
    }

    /// Reads the header of the scan, and the facts of its document.
    fn look(&self) {
        let mut row = locked(&self.row);
        match self.input.space() {
            Ok(space) => {
                let space = Reorientation::to_canonical(&space).space(&space);
                row.grid = Some((space.shape, space.spacing()));
            }
            Err(error) => row.reason = Some(error.to_string()),
        }
        match journal::facts(&self.folder) {
            Ok(facts) => row.facts = facts.as_ref().map(Summary::of),
            Err(error) => row.reason = Some(error.to_string()),
        }
    }

    pub fn summarise(&self, facts: &Facts) {
        locked(&self.row).facts = Some(Summary::of(facts));
    }

    /// Notes if a tab has the scan open; true if that is new.
    pub fn set_open(&self, open: bool) -> bool {
        std::mem::replace(&mut locked(&self.row).open, open) != open
    }

    pub fn fail(&self, reason: String) {
        locked(&self.row).reason = Some(reason);
    }

    /// Takes the reason back: the scan was read.
    pub fn mend(&self) {
        locked(&self.row).reason = None;
    }

    /// The kind of its file, in words.
    pub fn kind(&self) -> &'static str {
        match self.format {
            "nifti" => "a NIfTI file",
            "nrrd" => "an NRRD file",
            "metaimage" => "a MetaImage file",
            "npz" => "an NPZ file",
            "dicom" => "a DICOM series",
            _ => "a file of another format",
        }
    }

    /// The canonical shape, where the header could be read.
    pub fn shape(&self) -> Option<[usize; 3]> {
        locked(&self.row).grid.map(|grid| grid.0)
    }

    pub fn reason(&self) -> Option<String> {
        locked(&self.row).reason.clone()
    }

    pub fn state(&self) -> &'static str {
        let row = locked(&self.row);
        match (&row.reason, &row.facts) {
            (Some(_), _) => "unreadable",
            (None, Some(facts)) => facts.state,
            // What a mask to begin with makes of it, which is read when the scan is opened.
            (None, None) if self.label.is_some() => "predicted",
            (None, None) => "untouched",
        }
    }

    pub fn thumbnail(&self) -> PathBuf {
        self.folder.join("thumbnail.png")
    }

    /// The row as the page gets it.
    pub fn row(&self) -> Value {
        let (state, thumbnail) = (self.state(), self.thumbnail().is_file());
        let row = locked(&self.row);
        let facts = row.facts.as_ref();
        json!({
            "id": self.id,
            "name": self.name,
            "shape": row.grid.map(|grid| grid.0),
            "spacing": row.grid.map(|grid| grid.1),
            "format": self.format,
            "state": state,
            "reason": row.reason,
            "who": facts.and_then(|facts| facts.who.clone()),
            "when": facts.and_then(|facts| facts.when),
            "doubt": facts.map_or(0.0, |facts| facts.doubt),
            "note": facts.map_or("", |facts| facts.note.as_str()),
            "labels": facts.map_or(&[][..], |facts| &facts.labels),
            "thumbnail": thumbnail,
            "empty": facts.is_some_and(|facts| facts.empty),
            "open": row.open,
        })
    }

    pub fn greys_file(&self) -> PathBuf {
        self.folder.join("greys")
    }

    /// The greys of its small picture, once that is made.
    pub fn greys(&self) -> Option<Greys> {
        std::fs::read(self.greys_file()).ok()?.try_into().ok()
    }

    /// The group in the queue, and the pixels in doubt, most of them first; done scans and unreadable ones are last.
    pub fn rank(&self) -> (u8, f64) {
        let doubt = locked(&self.row).facts.as_ref().map_or(0.0, |facts| facts.doubt);
        let group = match self.state() {
            "predicted" | "propagated" => 0,
            "drawn" => 1,
            "untouched" => 2,
            "reviewed" => 3,
            _ => 4,
        };
        (group, -doubt)
    }
}

impl Summary {
    fn of(facts: &Facts) -> Self {
        let has = |value: &u16| {
            facts
                .marks
                .get(value)
                .is_some_and(|marks| marks.text().contains(['d', 'e', 'c', 'b', 'v', 'k', 'p']))
        };
        let labels = facts.labels.iter().filter(|label| has(&label.value)).map(|label| label.name.clone());
        Self {
            state: facts.state(),
            who: facts.who.clone(),
            when: facts.when,
            doubt: facts.doubt(),
            note: facts.note.clone(),
            labels: labels.collect(),
            empty: facts.review.as_ref().is_some_and(|review| review.empty),
        }
    }
}
