//! Tables of a folder of masks, in which every mask has rows of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, lock, output, table, text};

use super::record::Record;

/// A CSV file beside masks. Its first column is the case, and its last one says what is odd about the scan.
pub(super) struct CaseTable {
    pub(super) record: Record,
    pub(super) columns: &'static [&'static str],
    /// The kind of its rows, for a person whose file holds something else.
    pub(super) what: &'static str,
}

const ODD: &str = "odd";
/// Last columns that earlier versions did not write.
const ADDED: usize = 2;

impl CaseTable {
    /// Refuses a file that cannot be added to, before there is work to lose.
    pub(super) fn check(&self, folder: &Path) -> Result<()> {
        self.other_rows(&folder.join(self.record.file()), "").map(drop)
    }

    /// Writes the rows of a case into the folder's table, where rows of other cases stay.
    pub(super) fn write(
        &self,
        folder: &Path,
        (case, odd): (&str, &[String]),
        rows: impl Iterator<Item = Vec<String>>,
    ) -> Result<()> {
        let path = folder.join(self.record.file());
        let _lock = lock::wait(folder)?;
        let others = self.other_rows(&path, case)?;
        output::atomically(&path, |file| {
            let mut table = csv::Writer::from_writer(file);
            table.write_record(self.header())?;
            others.iter().try_for_each(|row| table.write_record(row))?;
            let odd = odd.join("; ");
            for row in rows {
                table.write_record(row.iter().chain([&odd]))?;
            }
            table.flush()
        })
    }

    /// Adds the rows of other folders' tables, cases in their `order`, where rows of other cases stay.
    pub(super) fn unite(
        &self,
        folder: &Path,
        others: &[PathBuf],
        order: &BTreeMap<String, usize>,
    ) -> Result<()> {
        let path = folder.join(self.record.file());
        let _lock = lock::wait(folder)?;
        let mut rows = Vec::new();
        for other in others {
            rows.extend(self.other_rows(&other.join(self.record.file()), "")?);
        }
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_by_key(|row| order.get(&row[0]));
        let new: BTreeSet<&str> = rows.iter().map(|row| &row[0]).collect();
        let mut all = self.other_rows(&path, "")?;
        all.retain(|row| !new.contains(&row[0]));
        output::atomically(&path, |file| {
            let mut table = csv::Writer::from_writer(file);
            table.write_record(self.header())?;
            all.iter().chain(&rows).try_for_each(|row| table.write_record(row))?;
            table.flush()
        })
    }

    fn header(&self) -> Vec<&str> {
        self.columns.iter().copied().chain([ODD]).collect()
    }

    /// The rows of other cases that are there already, with empty cells in columns that they lack.
    fn other_rows(&self, path: &Path, case: &str) -> Result<Vec<csv::StringRecord>> {
        if !path.exists() {
            return Ok(Vec::new());
        }
        let unreadable = |found: String| {
            Error::new(path, Kind::Format, self.what, found)
                .hint("move it out of the way, or choose another --out")
        };
        let (columns, rows) = table::records(path).map_err(|e| unreadable(e.found.clone()).because(e))?;
        let header = self.header();
        let lacking = header.len().saturating_sub(columns.len());
        if lacking > ADDED || !columns.iter().eq(header[..header.len() - lacking].iter().copied()) {
            return Err(unreadable("other columns".to_owned()));
        }
        let case = text::composed(case.to_owned());
        let others = rows.into_iter().map(|(_, row)| row).filter(|row| row.get(0) != Some(case.trim()));
        let whole = |mut row: csv::StringRecord| {
            (0..lacking).for_each(|_| row.push_field(""));
            row
        };
        Ok(others.map(whole).collect())
    }
}

/// The text of a table, as spreadsheets save it or as we write it, without the rows of a case; nothing where it has none.
pub(super) fn without(file: &Path, case: &str) -> Result<Option<Vec<u8>>> {
    let (columns, rows) = table::records(file)?;
    let Some(at) = columns.iter().position(|column| column.eq_ignore_ascii_case("case")) else {
        return Ok(None);
    };
    let case = text::composed(case.trim().to_owned());
    let others: Vec<_> = rows.iter().map(|(_, row)| row).filter(|row| row[at] != *case).collect();
    if others.len() == rows.len() {
        return Ok(None);
    }
    let failed = |e: csv::Error| Error::caused(file, Kind::Format, "rows that can be written again", e);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns).map_err(failed)?;
    others.into_iter().try_for_each(|row| writer.write_record(row)).map_err(failed)?;
    let text = writer.into_inner().map_err(|e| Error::io(file, "write it again", e.error()))?;
    Ok(Some(text))
}
