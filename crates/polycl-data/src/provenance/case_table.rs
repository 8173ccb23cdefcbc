//! Tables of a folder of masks, in which every mask has rows of its own.

use std::path::Path;

use polycl_base::{Error, Kind, Result, lock, output};

use super::record::Record;

/// A CSV file beside masks. Its first column is the case.
pub(super) struct CaseTable {
    pub(super) record: Record,
    pub(super) columns: &'static [&'static str],
    /// The kind of its rows, for a person whose file holds something else.
    pub(super) what: &'static str,
}

impl CaseTable {
    /// Refuses a file that cannot be added to, before there is work to lose.
    pub(super) fn check(&self, folder: &Path) -> Result<()> {
        self.other_rows(&folder.join(self.record.file()), "").map(drop)
    }

    /// Writes the rows of a case into the folder's table, where rows of other cases stay.
    pub(super) fn write(
        &self,
        folder: &Path,
        case: &str,
        rows: impl Iterator<Item = Vec<String>>,
    ) -> Result<()> {
        let path = folder.join(self.record.file());
        let _lock = lock::wait(folder)?;
        let others = self.other_rows(&path, case)?;
        output::atomically(&path, |file| {
            let mut table = csv::Writer::from_writer(file);
            table.write_record(self.columns)?;
            others.iter().try_for_each(|row| table.write_record(row))?;
            for row in rows {
                table.write_record(row)?;
            }
            table.flush()
        })
    }

    /// The rows of other cases that are there already.
    fn other_rows(&self, path: &Path, case: &str) -> Result<Vec<csv::StringRecord>> {
        if !path.exists() {
            return Ok(Vec::new());
        }
        let unreadable = |found: String| {
            Error::new(path, Kind::Format, self.what, found)
                .hint("move it out of the way, or choose another --out")
        };
        let mut table = csv::Reader::from_path(path).map_err(|e| unreadable(e.to_string()).because(e))?;
        if table.headers().map_err(|e| unreadable(e.to_string()).because(e))?
            != &csv::StringRecord::from(self.columns)
        {
            return Err(unreadable("other columns".to_owned()));
        }
        let rows = table
            .records()
            .collect::<csv::Result<Vec<_>>>()
            .map_err(|e| unreadable(e.to_string()).because(e))?;
        Ok(rows.into_iter().filter(|row| row.get(0) != Some(case)).collect())
    }
}

/// The text of a table without the rows of a case; nothing where it has none.
pub(super) fn without(text: &[u8], case: &str) -> csv::Result<Option<Vec<u8>>> {
    let mut table = csv::Reader::from_reader(text);
    let columns = table.headers()?.clone();
    let Some(at) = columns.iter().position(|column| column.trim() == "case") else { return Ok(None) };
    let rows = table.records().collect::<csv::Result<Vec<_>>>()?;
    let others: Vec<_> = rows.iter().filter(|row| row[at].trim() != case.trim()).collect();
    if others.len() == rows.len() {
        return Ok(None);
    }
    let mut text = Vec::new();
    let mut writer = csv::Writer::from_writer(&mut text);
    writer.write_record(&columns)?;
    others.into_iter().try_for_each(|row| writer.write_record(row))?;
    writer.flush()?;
    drop(writer);
    Ok(Some(text))
}
