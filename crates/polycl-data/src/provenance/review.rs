//! `reviewed.csv`: what a person did with every slice of the masks beside it, in the workbench.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use polycl_base::{Error, Kind, Result, table};
use polycl_image::names::Names;

use super::case_table::CaseTable;
use super::propagation::{Known, Propagation, Slice};
use super::record::Record;

const TABLE: CaseTable = CaseTable {
    record: Record::Review,
    columns: &[
        "case",
        "label",
        "name",
        "slice",
        "mark",
        "pixels",
        "confidence",
        "proposed_by",
        "reviewed_by",
        "reviewed_at",
    ],
    what: "the slices of other cases, as polycl serve writes them",
};

/// Columns that are read.
const COLUMNS: [&str; 6] = ["case", "label", "slice", "mark", "pixels", "reviewed_by"];

/// A person's part in a label in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Drew it, where no machine had proposed anything.
    Drawn,
    /// Mended what a machine had proposed.
    Edited,
    /// Looked at it.
    Viewed,
    /// No part.
    Unseen,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drawn => "drawn",
            Self::Edited => "edited",
            Self::Viewed => "viewed",
            Self::Unseen => "unseen",
        })
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let all = [Self::Drawn, Self::Edited, Self::Viewed, Self::Unseen];
        all.into_iter().find(|mark| mark.to_string() == text).ok_or(())
    }
}

/// A label in a slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub label: u16,
    /// Number along the file's slice axis, from 0.
    pub slice: usize,
    pub mark: Mark,
    pub pixels: u64,
    /// The machine's, where it proposed something.
    pub confidence: Option<f32>,
}

/// Between the names of machines.
const AND: &str = "; ";

/// Who stands for a mask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By<'a> {
    /// The machines that proposed parts of it.
    pub proposed: Vec<&'a str>,
    /// The person who called it done, and when, in seconds since 1970.
    pub reviewed: Option<(&'a str, u64)>,
}

/// Refuses a file that cannot be added to, before there is work to lose.
///
/// # Errors
/// [`Kind::Format`] for a table of another kind.
pub fn check(folder: &Path) -> Result<()> {
    TABLE.check(folder)
}

/// Writes the rows of a case, where rows of other cases stay. A case needs a row even where nothing is drawn: its mask
/// must not be taken for a person's.
///
/// # Errors
/// As [`check`]; [`Kind::Io`].
pub fn write(
    folder: &Path,
    (case, odd): (&str, &[String]),
    rows: &[Row],
    names: &Names,
    by: By<'_>,
) -> Result<()> {
    let (reviewer, at) = by.reviewed.unzip();
    let proposed = by.proposed.join(AND);
    let cells = |row: &Row| {
        vec![
            case.to_owned(),
            row.label.to_string(),
            names.get(&row.label).cloned().unwrap_or_default(),
            row.slice.to_string(),
            row.mark.to_string(),
            row.pixels.to_string(),
            row.confidence.map_or_else(String::new, |confidence| format!("{confidence:.4}")),
            proposed.clone(),
            reviewer.unwrap_or_default().to_owned(),
            at.map_or_else(String::new, |at| at.to_string()),
        ]
    };
    TABLE.write(folder, (case, odd), rows.iter().map(cells))
}

/// The rows of one case.
#[derive(Debug, Clone)]
pub(super) struct Reviewed {
    /// A person has called it done.
    pub(super) done: bool,
    /// The machines that had a part in it.
    pub(super) machines: BTreeSet<String>,
    pub(super) propagation: Propagation,
}

/// Reads a `reviewed.csv` by case.
///
/// # Errors
/// [`Kind::Format`] for a missing column, and a label, slice, mark, count or confidence that is none; [`Kind::Io`].
pub(super) fn read(file: &Path) -> Result<BTreeMap<String, Reviewed>> {
    let mut cases: BTreeMap<String, Reviewed> = BTreeMap::new();
    for row in table::read_with(file, &COLUMNS)? {
        let wrong = |expected: &str, found: &str| -> Error { row.error(file, Kind::Format, expected, found) };
        let case = row.need("case", file)?;
        let (label, slice) = (row.need("label", file)?, row.need("slice", file)?);
        let (mark, pixels) = (row.need("mark", file)?, row.need("pixels", file)?);
        let confidence = row.get("confidence").map(|text| {
            let number = text.parse().ok().filter(|value: &f32| (0.0..=1.0).contains(value));
            number.ok_or_else(|| wrong("a confidence from 0 to 1", text))
        });
        let row_of = Row {
            label: label
                .parse()
                .ok()
                .filter(|&label| label > 0)
                .ok_or_else(|| wrong("a label from 1", label))?,
            slice: slice.parse().map_err(|_| wrong("a slice from 0", slice))?,
            mark: mark.parse().map_err(|()| wrong("the mark drawn, edited, viewed or unseen", mark))?,
            pixels: pixels.parse().map_err(|_| wrong("a count of pixels", pixels))?,
            confidence: confidence.transpose()?,
        };
        let done = row.get("reviewed_by").is_some();
        let empty = || Reviewed { done, machines: BTreeSet::new(), propagation: Propagation::of(file) };
        let own = cases.entry(case.to_owned()).or_insert_with(empty);
        own.done &= done;
        let machines = row.get("proposed_by").into_iter().flat_map(|names| names.split(AND));
        own.machines.extend(machines.map(str::to_owned));
        own.propagation.rows.extend(known(&row_of, done));
    }
    Ok(cases)
}

/// The knowledge of a slice. A scan that is done trains in full; of one that is not, nothing is known of an empty slice
/// that nobody looked at.
fn known(row: &Row, done: bool) -> Option<Slice> {
    let confidence = match row.mark {
        _ if done => 1.0,
        Mark::Drawn | Mark::Edited => 1.0,
        Mark::Viewed if row.pixels == 0 => 1.0,
        Mark::Unseen if row.pixels == 0 => return None,
        Mark::Viewed | Mark::Unseen => row.confidence.unwrap_or(0.5),
    };
    let known = Known { by_hand: row.mark == Mark::Drawn, pixels: row.pixels, confidence };
    Some(Slice { label: row.label, slice: row.slice, known })
}
