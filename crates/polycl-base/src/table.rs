//! CSV files with a header, read whole: manifests, ranges, label names, what propagation tells. Names of columns may be
//! in capitals.

use std::path::Path;
use std::rc::Rc;

use csv::StringRecord;

use super::text;
use crate::{Error, Kind, Result};

/// A row's cells by column name, trimmed.
pub struct Row {
    pub line: u64,
    /// One header for all rows: a copy in each would cost rows times columns, whatever the cells hold.
    columns: Rc<[String]>,
    cells: StringRecord,
}

impl Row {
    /// The cell of a column; `None` where it is empty or the file lacks the column.
    pub fn get(&self, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|other| other == column)?;
        self.cells.get(at).filter(|cell| !cell.is_empty())
    }

    /// # Errors
    /// [`Kind::Format`] where the cell is empty.
    pub fn need(&self, column: &str, file: &Path) -> Result<&str> {
        self.get(column)
            .ok_or_else(|| self.error(file, Kind::Format, format!("a value for {column}"), "nothing"))
    }

    pub fn error(
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
/// [`Kind::Format`] for a missing or an unknown column, one that is there twice, or a row of another length.
pub fn read(file: &Path, required: &[&str], optional: &[&str]) -> Result<Vec<Row>> {
    let (columns, rows) = read_any(file)?;
    let layout = || Error::new(file, Kind::Format, columns_text(required, optional), columns.join(","));
    let known = |column: &String| required.iter().chain(optional).any(|k| k == column);
    if !columns.iter().all(known) || !required.iter().all(|k| columns.iter().any(|c| c == k)) {
        return Err(layout());
    }
    once(file, &columns, required)?;
    once(file, &columns, optional)?;
    Ok(rows)
}

/// Reads a CSV file whose header must hold every column of `required`, and may hold any others.
///
/// # Errors
/// [`Kind::Format`] for a missing column, one that is there twice, or a row of another length.
pub fn read_with(file: &Path, required: &[&str]) -> Result<Vec<Row>> {
    let (columns, rows) = read_any(file)?;
    once(file, &columns, required)?;
    match required.iter().find(|column| !columns.iter().any(|other| other == *column)) {
        Some(_) => Err(Error::new(file, Kind::Format, columns_text(required, &[]), columns.join(","))),
        None => Ok(rows),
    }
}

/// Reads a CSV file whatever its columns are; their names come first.
pub fn read_any(file: &Path) -> Result<(Rc<[String]>, Vec<Row>)> {
    let text = text::decoded(file).map_err(|e| Error::io(file, "read it", &e))?;
    let format = |e: csv::Error| Error::caused(file, Kind::Format, "a CSV file with a header", e);
    let mut reader = csv::ReaderBuilder::new();
    reader.trim(csv::Trim::All).delimiter(delimiter(&text));
    let mut reader = reader.from_reader(text.as_bytes());
    let columns: Rc<[String]> = reader.headers().map_err(format)?.iter().map(str::to_lowercase).collect();
    let row = |record: csv::Result<StringRecord>| {
        let cells = record.map_err(format)?;
        let line = cells.position().map_or(0, csv::Position::line);
        Ok(Row { line, columns: columns.clone(), cells })
    };
    let rows = reader.records().map(row);
    // Spreadsheets save rows that were emptied.
    let told =
        |row: &Result<Row>| row.as_ref().map_or(true, |row| row.cells.iter().any(|cell| !cell.is_empty()));
    let rows = rows.filter(told).collect::<Result<_>>()?;
    Ok((columns, rows))
}

/// What stands between the cells, by the header: a comma or, as spreadsheets save where the comma is the decimal mark,
/// a semicolon or a tab.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|&mark| header.contains(char::from(mark))).unwrap_or(b',')
}

/// Refuses a header that has one of the `known` columns twice: which of them is meant cannot be told.
pub fn once(file: &Path, columns: &[String], known: &[&str]) -> Result<()> {
    let twice = |known: &&&str| columns.iter().filter(|column| column == *known).count() > 1;
    known.iter().find(twice).map_or(Ok(()), |twice| {
        Err(Error::new(file, Kind::Format, format!("one column {twice}"), "two of that name"))
    })
}

fn columns_text(required: &[&str], optional: &[&str]) -> String {
    let optional =
        if optional.is_empty() { String::new() } else { format!(" and maybe {}", optional.join(",")) };
    format!("a header with {}{optional}", required.join(","))
}
