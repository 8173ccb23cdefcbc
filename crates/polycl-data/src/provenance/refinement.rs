//! `refine.csv`: what `polycl refine` decided about every part of every slice of the masks beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{Result, table};
use polycl_image::names::Names;

use super::case_table::CaseTable;
use super::record::Record;

const TABLE: CaseTable = CaseTable {
    record: Record::Refine,
    columns: &[
        "case",
        "label",
        "name",
        "slice",
        "i0",
        "j0",
        "k0",
        "i1",
        "j1",
        "k1",
        "pixels_before",
        "pixels_after",
        "predicted_iou",
        "stability",
        "agreement",
        "lost",
        "gained",
        "choice",
    ],
    what: "the decisions of other cases, as polycl refine writes them",
};

/// A part of a label in a slice, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub label: u16,
    /// Number along the file's slice axis, from 0.
    pub slice: usize,
    /// The part's box: voxels of the file, the last ones included.
    pub first: [usize; 3],
    pub last: [usize; 3],
    /// Before and after.
    pub pixels: [usize; 2],
    /// Predicted IoU, stability, agreement, what was lost and what was gained; `None` where the network was not asked.
    pub evidence: Option<[f32; 5]>,
    pub choice: String,
}

/// Refuses a file that cannot be added to, before there is work to lose.
///
/// # Errors
/// [`polycl_base::Kind::Format`] for a table of another kind.
pub fn check(folder: &Path) -> Result<()> {
    TABLE.check(folder)
}

/// Writes what was decided about a case and is odd about its scan, where rows of other cases stay. A mask in which there was nothing to decide has a
/// row, too: it is a machine's all the same.
///
/// # Errors
/// As [`check`]; [`polycl_base::Kind::Io`].
pub fn write(folder: &Path, (case, odd): (&str, &[String]), rows: &[Row], names: &Names) -> Result<()> {
    if rows.is_empty() {
        let mut row = vec![String::new(); TABLE.columns.len()];
        case.clone_into(&mut row[0]);
        "empty".clone_into(&mut row[TABLE.columns.len() - 1]);
        return TABLE.write(folder, (case, odd), std::iter::once(row));
    }
    TABLE.write(folder, (case, odd), rows.iter().map(|row| cells(case, row, names)))
}

/// Adds the decisions of other folders, cases in their `order`.
///
/// # Errors
/// As [`check`]; [`polycl_base::Kind::Io`].
pub fn unite(folder: &Path, others: &[PathBuf], order: &BTreeMap<String, usize>) -> Result<()> {
    TABLE.unite(folder, others, order)
}

fn cells(case: &str, row: &Row, names: &Names) -> Vec<String> {
    let Row { label, slice, first, last, pixels, evidence, choice } = row;
    let name = names.get(label).cloned().unwrap_or_default();
    let numbers = [*slice].into_iter().chain(*first).chain(*last).chain(*pixels);
    let evidence = evidence.map_or_else(Default::default, |e| e.map(|number| format!("{number:.4}")));
    [case.to_owned(), label.to_string(), name]
        .into_iter()
        .chain(numbers.map(|number| number.to_string()))
        .chain(evidence)
        .chain([choice.clone()])
        .collect()
}

/// The cases of the table.
pub(super) fn cases(file: &Path) -> Result<BTreeSet<String>> {
    let rows = table::read_with(file, &["case"])?;
    rows.iter().map(|row| Ok(row.need("case", file)?.to_owned())).collect()
}
