//! CSV files with a header, read whole: manifests, ranges, label names, what propagation tells.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Error, Kind, Result};

/// A row's cells by column name, trimmed.
pub(super) struct Row {
    pub(super) line: u64,
    cells: BTreeMap<String, String>,
}

impl Row {
    /// The cell of a column; `None` where it is empty or the file lacks the column.
    pub(super) fn get(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(String::as_str).filter(|cell| !cell.is_empty())
    }

    /// # Errors
    /// [`Kind::Format`] where the cell is empty.
    pub(super) fn need(&self, column: &str, file: &Path) -> Result<&str> {
        self.get(column)
            .ok_or_else(|| self.error(file, Kind::Format, format!("a value for {column}"), "nothing"))
    }

    pub(super) fn error(
        &self,
        file: &Path,
        kind: Kind,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::new(file, kind, expected, format!("{found} in line {}", self.line))
    }
}

/// Reads a CSV file whose header must hold every column of `required` and may hold those of
/// `optional`, in any order.
///
/// # Errors
/// [`Kind::Format`] for a missing or an unknown column, or a row of another length.
pub(super) fn read(file: &Path, required: &[&str], optional: &[&str]) -> Result<Vec<Row>> {
    let (columns, rows) = read_any(file)?;
    let layout = || Error::new(file, Kind::Format, columns_text(required, optional), columns.join(","));
    let known = |column: &String| required.iter().chain(optional).any(|k| k == column);
    if !columns.iter().all(known) || !required.iter().all(|k| columns.iter().any(|c| c == k)) {
        return Err(layout());
    }
    Ok(rows)
}

/// Reads a CSV file whose header must hold every column of `required`, and may hold any others.
///
/// # Errors
/// [`Kind::Format`] for a missing column, or a row of another length.
pub(super) fn read_with(file: &Path, required: &[&str]) -> Result<Vec<Row>> {
    let (columns, rows) = read_any(file)?;
    match required.iter().find(|column| !columns.iter().any(|other| other == *column)) {
        Some(_) => Err(Error::new(file, Kind::Format, columns_text(required, &[]), columns.join(","))),
        None => Ok(rows),
    }
}

/// Reads a CSV file whatever its columns are; their names come first.
pub(super) fn read_any(file: &Path) -> Result<(Vec<String>, Vec<Row>)> {
    let bytes = std::fs::read(file).map_err(|e| Error::io(file, "read it", &e))?;
    let format = |e: csv::Error| Error::new(file, Kind::Format, "a CSV file with a header", e.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
    let columns: Vec<String> = reader.headers().map_err(format)?.iter().map(str::to_owned).collect();
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(format)?;
        let cells = columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
        Ok(Row { line: record.position().map_or(0, csv::Position::line), cells })
    };
    let rows = reader.records().map(row).collect::<Result<_>>()?;
    Ok((columns, rows))
}

fn columns_text(required: &[&str], optional: &[&str]) -> String {
    let optional =
        if optional.is_empty() { String::new() } else { format!(" and maybe {}", optional.join(",")) };
    format!("a header with {}{optional}", required.join(","))
}
