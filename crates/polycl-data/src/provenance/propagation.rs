//! `propagate.csv`: what `polycl propagate` tells of every slice of the masks beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, table};
use polycl_image::names::Names;
use polycl_image::{Plane, Space};
use serde::{Deserialize, Serialize};

use super::case_table::CaseTable;
use super::origin::Origin;
use super::record::Record;
use crate::presence::{Shown, in_order, ranges_of};

/// Columns that are read; any others may stand beside them. Without `plane`, slices are axial.
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
        "plane",
    ],
    what: "the slices of other cases, as polycl propagate writes them",
};

/// A label in a slice in which it was drawn or looked for, as propagation leaves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub label: u16,
    /// Number along the file's axis across the planes that were propagated, from 0; mostly its slice axis.
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

/// The evidence for a propagated slice.
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

/// Writes the rows of a case, propagated from plane to plane of a kind, and what is odd about its scan, where rows of
/// other cases stay.
///
/// # Errors
/// As [`check`]; [`Kind::Io`].
pub fn write(
    folder: &Path,
    (case, odd): (&str, &[String]),
    plane: Plane,
    rows: &[Row],
    names: &Names,
) -> Result<()> {
    TABLE.write(folder, (case, odd), rows.iter().map(|row| cells(case, plane, row, names)))
}

fn cells(case: &str, plane: Plane, row: &Row, names: &Names) -> Vec<String> {
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
        plane.to_string(),
    ]
}

/// Trust in the slices of an organ that no person has drawn in all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Confidence of each slice of the store, from 0 to 1; nothing where nobody has looked. Beyond an end at which
    /// the organ was looked for and not found it is over, and those slices are believed as that end is.
    pub confidence: Vec<Option<f32>>,
    /// The slices that a person has drawn, as inclusive ranges.
    pub by_hand: Shown,
}

impl Trust {
    /// Trust in an organ whose slices are all believed in full.
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
    /// Planes of this kind are the slices of the rows.
    plane: Plane,
    pub(super) rows: Vec<Slice>,
}

/// A label in a slice: drawn by a person, propagated, or looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    pub(super) label: u16,
    /// Number from 0 along the file's axis across the planes.
    pub(super) slice: usize,
    pub(super) known: Known,
}

/// The knowledge of an organ in a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) by_hand: bool,
    /// Pixels that were found there.
    pub(super) pixels: u64,
    pub(super) confidence: f32,
}

/// Reads a `propagate.csv` by case.
///
/// # Errors
/// [`Kind::Format`] for a missing column, a label, slice, origin or count of pixels that is none, a
/// confidence that is not from 0 to 1, two rows of one label in one slice, and planes of two kinds in one case;
/// [`Kind::Io`].
pub fn read(file: &Path) -> Result<BTreeMap<String, Propagation>> {
    let mut cases: BTreeMap<String, Propagation> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in table::read_with(file, &COLUMNS)? {
        let (case, slice, plane) = (row.need("case", file)?, slice(&row, file)?, plane(&row, file)?);
        if !seen.insert((case.to_owned(), slice.label, slice.slice)) {
            let found = format!("label {} in slice {} of {case} again", slice.label, slice.slice);
            return Err(row.error(file, Kind::Format, "one row of each label in each slice", found));
        }
        let empty = || Propagation { file: file.to_path_buf(), plane, rows: Vec::new() };
        let own = cases.entry(case.to_owned()).or_insert_with(empty);
        if own.plane != plane {
            let expected = format!("{} planes in all rows of {case}", own.plane);
            return Err(row.error(file, Kind::Format, expected, plane));
        }
        own.rows.push(slice);
    }
    Ok(cases)
}

fn plane(row: &table::Row, file: &Path) -> Result<Plane> {
    let Some(text) = row.get("plane") else { return Ok(Plane::Axial) };
    text.parse().map_err(|_| row.error(file, Kind::Format, "the plane axial, coronal or sagittal", text))
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
    /// No rows yet of axial slices, told by another file.
    pub(super) fn of(file: &Path) -> Self {
        Self { file: file.to_path_buf(), plane: Plane::Axial, rows: Vec::new() }
    }

    /// Trust in a label (in all labels as one, where none is given) in the kept slices of a scan; `None` where no row
    /// speaks of it: it may then lie in the background. Planes of another kind cross all slices, which are then
    /// believed alike, and no person has drawn any.
    ///
    /// # Errors
    /// [`Kind::Format`] for a slice that the scan does not have.
    pub fn trust(&self, label: Option<u16>, space: &Space, kept: &Range<usize>) -> Result<Option<Trust>> {
        let mut known = self.known(label, space)?;
        if known.iter().all(Option::is_none) {
            return Ok(None);
        }
        if self.plane != Plane::Axial {
            return Ok(Some(Trust { confidence: vec![mean(&known); kept.len()], by_hand: Shown::new() }));
        }
        if Plane::Axial.order(space).slice_to_canonical(0, space) != 0 {
            known.reverse();
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
    /// Pixels of a label, as in [`Self::trust`]; `None` where no row speaks of it.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub(crate) fn pixels(&self, label: Option<u16>, space: &Space) -> Result<Option<Pixels>> {
        let known = self.known(label, space)?;
        if known.iter().all(Option::is_none) {
            return Ok(None);
        }
        let pixels = known.iter().map(|known| known.map_or(0, |known| known.pixels));
        Ok(Some(match self.plane {
            Plane::Axial => Pixels::OfSlices(pixels.collect()),
            _ => Pixels::OfAll(pixels.fold(0, u64::saturating_add)),
        }))
    }

    /// The rows' knowledge of every plane of the file.
    fn known(&self, label: Option<u16>, space: &Space) -> Result<Vec<Option<Known>>> {
        let slices = space.shape[self.plane.order(space).slice_axis()];
        let mut known: Vec<Option<Known>> = vec![None; slices];
        for row in self.rows.iter().filter(|row| label.is_none_or(|label| row.label == label)) {
            let Some(known) = known.get_mut(row.slice) else {
                let (planes, label) = (self.plane.word(), row.label);
                let expected = format!("{planes}s below {slices} of label {label}, as its scan has");
                return Err(Error::new(&self.file, Kind::Format, expected, row.slice.to_string())
                    .hint("count from 0"));
            };
            *known = Some(known.map_or(row.known, |other| other.and(row.known)));
        }
        Ok(known)
    }
}

impl Known {
    /// The knowledge of two labels as one.
    fn and(self, other: Self) -> Self {
        Self {
            by_hand: self.by_hand && other.by_hand,
            pixels: self.pixels.saturating_add(other.pixels),
            confidence: self.confidence.min(other.confidence),
        }
    }
}

/// Pixels that propagation left of a label.
#[derive(Debug)]
pub(crate) enum Pixels {
    /// In every slice of the file.
    OfSlices(Vec<u64>),
    /// All, of planes of another kind.
    OfAll(u64),
}

impl Pixels {
    /// True if `found`, those of every slice of the file, are others; where none are listed, there are none.
    pub(crate) fn differ(&self, found: &[u64]) -> bool {
        let mut listed = found.iter().copied().chain(std::iter::repeat(0));
        match self {
            Self::OfSlices(told) => told.iter().any(|&told| Some(told) != listed.next()),
            Self::OfAll(told) => *told != found.iter().sum::<u64>(),
        }
    }
}

/// The mean confidence of an organ's pixels, in planes from one end of it to the other; nothing where an end was not
/// seen: a part of every slice has not been looked at.
fn mean(known: &[Option<Known>]) -> Option<f32> {
    let first = known.iter().position(Option::is_some)?;
    let last = known.iter().rposition(Option::is_some)?;
    let seen: Vec<Known> = known[first..=last].iter().copied().collect::<Option<_>>()?;
    let ends = (first == 0 || seen[0].pixels == 0)
        && (last + 1 == known.len() || seen.last().is_some_and(|known| known.pixels == 0));
    let pixels: f64 = seen.iter().map(|known| known.pixels as f64).sum();
    let sum: f64 = seen.iter().map(|known| known.pixels as f64 * f64::from(known.confidence)).sum();
    (ends && pixels > 0.0).then(|| (sum / pixels) as f32)
}

/// Slices before the first of which something is known are as that one, if it does not show the
/// organ: nobody needs to look any further.
fn extend(known: &mut [Option<Known>]) {
    let Some(first) = known.iter().position(Option::is_some) else { return };
    if let Some(end) = known[first].filter(|known| known.pixels == 0) {
        known[..first].fill(Some(Known { by_hand: false, ..end }));
    }
}
