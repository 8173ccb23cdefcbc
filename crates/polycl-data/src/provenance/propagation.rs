//! `propagate.csv`: what `polycl propagate` tells of every slice of the masks beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, table};
use polycl_image::Space;
use polycl_image::names::Names;
use polycl_image::orient::Reorientation;
use serde::{Deserialize, Serialize};

use super::case_table::CaseTable;
use super::origin::Origin;
use super::record::Record;
use crate::presence::{Slices, in_order, ranges_of};

/// Columns that are read; any others may stand beside them.
const COLUMNS: [&str; 6] = ["case", "label", "slice", "origin", "pixels", "confidence"];

/// Columns that are written.
const TABLE: CaseTable = CaseTable {
    record: Record::Propagate,
    columns: &[
        "case",
        "label",
        "name",
        "slice",
        "origin",
        "pixels",
        "confidence",
        "predicted_iou",
        "object_score",
        "agreement",
        "continuity",
        "away",
    ],
    what: "the slices of other cases, as polycl propagate writes them",
};

/// A label in a slice in which it was drawn or looked for, as propagation leaves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub label: u16,
    /// Number along the file's slice axis, from 0.
    pub slice: usize,
    /// Who drew its pixels: a person, or propagation.
    pub origin: Origin,
    pub pixels: usize,
    /// 0 to 1.
    pub confidence: f32,
    pub predicted_iou: Option<f32>,
    /// The network's own score of whether the object is there, of networks that have one.
    pub object_score: Option<f32>,
    pub evidence: Option<Evidence>,
}

/// What speaks for a propagated slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Dice of what was found on the way up and on the way down, where both came by.
    pub agreement: Option<f32>,
    /// Mean Dice with the neighbouring slices.
    pub continuity: f32,
    /// Slices to the nearest shown one.
    pub away: f32,
}

/// Refuses a file that cannot be added to, before there is work to lose.
///
/// # Errors
/// [`Kind::Format`] for a table of another kind.
pub fn check(folder: &Path) -> Result<()> {
    TABLE.check(folder)
}

/// Writes the rows of a case, where rows of other cases stay.
///
/// # Errors
/// As [`check`]; [`Kind::Io`].
pub fn write(folder: &Path, case: &str, rows: &[Row], names: &Names) -> Result<()> {
    TABLE.write(folder, case, rows.iter().map(|row| cells(case, row, names)))
}

fn cells(case: &str, row: &Row, names: &Names) -> Vec<String> {
    let number = |value: Option<f32>| value.map_or_else(String::new, |value| format!("{value:.4}"));
    vec![
        case.to_owned(),
        row.label.to_string(),
        names.get(&row.label).cloned().unwrap_or_default(),
        row.slice.to_string(),
        row.origin.to_string(),
        row.pixels.to_string(),
        number(Some(row.confidence)),
        number(row.predicted_iou),
        number(row.object_score),
        number(row.evidence.and_then(|e| e.agreement)),
        number(row.evidence.map(|e| e.continuity)),
        row.evidence.map_or_else(|| "0".to_owned(), |e| e.away.to_string()),
    ]
}

/// How far the slices of an organ can be believed that no person has drawn in all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Of each slice of the store, from 0 to 1; nothing where nobody has looked. Beyond an end at which
    /// the organ was looked for and not found it is over, and those slices are believed as that end is.
    pub confidence: Vec<Option<f32>>,
    /// The slices that a person has drawn, as inclusive ranges.
    pub by_hand: Slices,
}

impl Trust {
    /// Of an organ whose slices are all believed in full.
    pub(crate) fn full(slices: usize, by_hand: bool) -> Self {
        Self { confidence: vec![Some(1.0); slices], by_hand: ranges_of((0..slices).map(|_| by_hand)) }
    }

    /// A sentence about what cannot be in a scan of so many slices.
    pub(crate) fn check(&self, slices: usize) -> std::result::Result<(), String> {
        let mut known = self.confidence.iter().flatten();
        let sound = self.confidence.len() == slices && known.all(|c| (0.0..=1.0).contains(c));
        if sound && in_order(&self.by_hand, slices) {
            return Ok(());
        }
        Err(format!("confidence {:?} and by hand {:?} of {slices} slices", self.confidence, self.by_hand))
    }
}

/// The rows of one case.
#[derive(Debug, Clone)]
pub struct Propagation {
    file: PathBuf,
    rows: Vec<Slice>,
}

/// A label in a slice: drawn by a person, propagated, or looked for.
#[derive(Debug, Clone, Copy)]
struct Slice {
    label: u16,
    /// Counted from 0 along the slice axis in the order of the file.
    slice: usize,
    known: Known,
}

/// What is known of an organ in a slice.
#[derive(Debug, Clone, Copy)]
struct Known {
    by_hand: bool,
    /// How much of it was found there.
    pixels: u64,
    confidence: f32,
}

/// Reads a `propagate.csv` by case.
///
/// # Errors
/// [`Kind::Format`] for a missing column, a label, slice, origin or count of pixels that is none, a
/// confidence that is not from 0 to 1, and two rows of one label in one slice; [`Kind::Io`].
pub fn read(file: &Path) -> Result<BTreeMap<String, Propagation>> {
    let mut cases: BTreeMap<String, Propagation> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in table::read_with(file, &COLUMNS)? {
        let (case, slice) = (row.need("case", file)?, slice(&row, file)?);
        if !seen.insert((case.to_owned(), slice.label, slice.slice)) {
            let found = format!("label {} in slice {} of {case} again", slice.label, slice.slice);
            return Err(row.error(file, Kind::Format, "one row of each label in each slice", found));
        }
        let empty = || Propagation { file: file.to_path_buf(), rows: Vec::new() };
        cases.entry(case.to_owned()).or_insert_with(empty).rows.push(slice);
    }
    Ok(cases)
}

fn slice(row: &table::Row, file: &Path) -> Result<Slice> {
    let wrong = |expected: &str, found: &str| row.error(file, Kind::Format, expected, found);
    let cell = |column| row.need(column, file);
    let (label, slice, origin) = (cell("label")?, cell("slice")?, cell("origin")?);
    let (pixels, confidence) = (cell("pixels")?, cell("confidence")?);
    let by_hand = match origin {
        "hand" => true,
        "propagated" => false,
        other => return Err(wrong("the origin hand or propagated", other)),
    };
    let within = |value: &f32| (0.0..=1.0).contains(value);
    Ok(Slice {
        label: label.parse().ok().filter(|&label| label > 0).ok_or_else(|| wrong("a label from 1", label))?,
        slice: slice.parse().map_err(|_| wrong("a slice from 0", slice))?,
        known: Known {
            by_hand,
            pixels: pixels.parse().map_err(|_| wrong("a count of pixels", pixels))?,
            confidence: confidence
                .parse()
                .ok()
                .filter(within)
                .ok_or_else(|| wrong("a confidence from 0 to 1", confidence))?,
        },
    })
}

impl Propagation {
    /// What is known of a label (of all labels as one, where none is given) in the kept slices of a
    /// scan; `None` where no row speaks of it: it may then lie in the background.
    ///
    /// # Errors
    /// [`Kind::Format`] for a slice that the scan does not have.
    pub fn trust(&self, label: Option<u16>, space: &Space, kept: &Range<usize>) -> Result<Option<Trust>> {
        let canonical = Reorientation::to_canonical(space);
        let mut known = self.known(label, space)?;
        if canonical.slice_to_canonical(0, space) != 0 {
            known.reverse();
        }
        if known.iter().all(Option::is_none) {
            return Ok(None);
        }
        for _ in ["from the feet", "from the head"] {
            extend(&mut known);
            known.reverse();
        }
        let kept = &known[kept.clone()];
        Ok(Some(Trust {
            confidence: kept.iter().map(|known| known.map(|known| known.confidence)).collect(),
            by_hand: ranges_of(kept.iter().map(|known| known.is_some_and(|known| known.by_hand))),
        }))
    }
}

impl Propagation {
    /// Pixels of a label, as in [`Self::trust`], in every slice of the file; `None` where no row speaks
    /// of it.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub(crate) fn pixels(&self, label: Option<u16>, space: &Space) -> Result<Option<Vec<u64>>> {
        let known = self.known(label, space)?;
        let pixels = |known: &Option<Known>| known.map_or(0, |known| known.pixels);
        Ok(known.iter().any(Option::is_some).then(|| known.iter().map(pixels).collect()))
    }

    /// What the rows tell of every slice of the file.
    fn known(&self, label: Option<u16>, space: &Space) -> Result<Vec<Option<Known>>> {
        let slices = space.shape[Reorientation::to_canonical(space).slice_axis()];
        let mut known: Vec<Option<Known>> = vec![None; slices];
        for row in self.rows.iter().filter(|row| label.is_none_or(|label| row.label == label)) {
            let Some(known) = known.get_mut(row.slice) else {
                let expected = format!("slices below {slices} of label {}, as its scan has", row.label);
                return Err(Error::new(&self.file, Kind::Format, expected, row.slice.to_string())
                    .hint("slices are counted from 0"));
            };
            *known = Some(known.map_or(row.known, |other| other.and(row.known)));
        }
        Ok(known)
    }
}

impl Known {
    /// What is known of two labels as one.
    fn and(self, other: Self) -> Self {
        Self {
            by_hand: self.by_hand && other.by_hand,
            pixels: self.pixels.saturating_add(other.pixels),
            confidence: self.confidence.min(other.confidence),
        }
    }
}

/// Slices before the first of which something is known are as that one, if it does not show the
/// organ: nobody needs to look any further.
fn extend(known: &mut [Option<Known>]) {
    let Some(first) = known.iter().position(Option::is_some) else { return };
    if let Some(end) = known[first].filter(|known| known.pixels == 0) {
        known[..first].fill(Some(Known { by_hand: false, ..end }));
    }
}
