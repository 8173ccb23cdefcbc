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
            .ok_or_else(|| self.error(file, Kind::Format, format!("a value for {column}"), "an empty cell"))
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
    if let Some(unknown) = columns.iter().find(|column| !known(column)) {
        return Err(
            layout().hint(format!("rename the column {unknown:?}, or leave it out: it is none of these"))
        );
    }
    if !required.iter().all(|k| columns.iter().any(|c| c == k)) {
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
    let (columns, records) = records(file)?;
    let columns: Rc<[String]> = columns.iter().map(str::to_lowercase).collect();
    let row = |(line, cells)| Ok(Row { line, columns: columns.clone(), cells });
    let rows = records.into_iter().map(row);
    // Spreadsheets save rows that were emptied.
    let told =
        |row: &Result<Row>| row.as_ref().map_or(true, |row| row.cells.iter().any(|cell| !cell.is_empty()));
    let rows = rows.filter(told).collect::<Result<_>>()?;
    Ok((columns, rows))
}

/// The header and the rows of a CSV file, as they are but for white space around cells, each row with its line.
///
/// # Errors
/// As [`read_with`].
pub fn records(file: &Path) -> Result<(StringRecord, Vec<(u64, StringRecord)>)> {
    let text = text::decoded(file).map(text::composed).map_err(|e| Error::io(file, "read it", &e))?;
    let mut lines = Lines { text: &text, at: 0, line: 1 };
    let mut reader = csv::ReaderBuilder::new();
    // Rows of another length are told by their line here.
    reader.trim(csv::Trim::All).delimiter(delimiter(&text)).flexible(true);
    let mut reader = reader.from_reader(text.as_bytes());
    let format = |e: csv::Error| Error::caused(file, Kind::Format, "a CSV file with a header", e);
    let columns = reader.headers().map_err(format)?.clone();
    let mut rows = Vec::new();
    for record in reader.into_records() {
        let cells = record.map_err(format)?;
        let line = lines.of(cells.position().map_or(0, csv::Position::byte));
        if cells.len() != columns.len() {
            let expected = format!("{} cells in each row, as the header has", columns.len());
            return Err(Error::new(file, Kind::Format, expected, format!("{} in line {line}", cells.len())));
        }
        rows.push((line, cells));
    }
    Ok((columns, rows))
}

/// The lines of a text, asked for in their order. csv counts a row from the empty lines before it.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the row that begins at a byte, or behind empty lines there.
    fn of(&mut self, byte: u64) -> u64 {
        let bytes = self.text.as_bytes();
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        while self.at < bytes.len() && (self.at < byte || bytes[self.at] == b'\n') {
            self.line += u64::from(bytes[self.at] == b'\n');
            self.at += 1;
        }
        self.line
    }
}

/// The mark between cells, by the header: a comma or, as spreadsheets save where the comma is the decimal mark,
/// a semicolon or a tab.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|&mark| header.contains(char::from(mark))).unwrap_or(b',')
}

/// A whole number from 0, also as `3.0`: so write programs whose columns have empty cells.
pub fn whole(text: &str) -> Option<usize> {
    let is_zeros = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte == b'0');
    match text.split_once('.') {
        Some((whole, part)) if is_zeros(part) => whole.parse().ok(),
        _ => text.parse().ok(),
    }
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
