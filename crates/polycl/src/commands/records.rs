//! The files of a folder that say which of its masks a machine made. Commands that run side by side may
//! write into one folder, so each changes them alone.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use polycl_volume::dataset::Record;
use polycl_volume::{Error, Kind, output};
use serde_json::Value;

const LOCK: &str = ".polycl.lock";

/// Waits until no other command changes the records of a folder, which is made if need be; they are
/// this one's as long as the file lives. A file system without locks has to do without.
pub fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(LOCK);
    let failed = |e: std::io::Error| Error::io(&path, "write it", &e);
    if !folder.as_os_str().is_empty() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.lock() {
        Err(e) if e.kind() != ErrorKind::Unsupported => Err(failed(e).into()),
        _ => Ok(file),
    }
}

/// Lets all records but `own` forget a case, whose mask has been replaced. As long as it has not, they
/// stay, for of several records the least believable counts.
pub fn settle(folder: &Path, case: &str, own: &[Record]) -> anyhow::Result<()> {
    let _lock = lock(folder)?;
    for record in Record::ALL.into_iter().filter(|record| !own.contains(record)) {
        let path = folder.join(record.file());
        if !path.is_file() {
            continue;
        }
        let text = std::fs::read(&path).map_err(|e| Error::io(&path, "read it", &e))?;
        let without = match record {
            Record::Predict => card_without(&text, case).map_err(|e| e.to_string()),
            Record::Propagate | Record::Refine => table_without(&text, case).map_err(|e| e.to_string()),
        };
        let unreadable = |found| Error::new(&path, Kind::Format, "which masks a machine made", found);
        if let Some(text) = without.map_err(unreadable)? {
            output::atomically(&path, |file| file.write_all(&text))?;
        }
    }
    Ok(())
}

/// A `polycl.json` without a case; nothing where it does not name it.
fn card_without(text: &[u8], case: &str) -> serde_json::Result<Option<Vec<u8>>> {
    let mut card: Value = serde_json::from_slice(text)?;
    let Some(cases) = card.get_mut("cases").and_then(Value::as_array_mut) else { return Ok(None) };
    let before = cases.len();
    cases.retain(|other| other.as_str().is_none_or(|other| other.trim() != case.trim()));
    if cases.len() == before {
        return Ok(None);
    }
    let mut text = serde_json::to_vec_pretty(&card)?;
    text.push(b'\n');
    Ok(Some(text))
}

/// A table without the rows of a case; nothing where it has none.
fn table_without(text: &[u8], case: &str) -> csv::Result<Option<Vec<u8>>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::case::CaseTable;

    const TABLE: CaseTable = CaseTable { record: Record::Refine, columns: &["case", "label"], what: "rows" };

    #[test]
    fn writers_of_one_table_keep_each_others_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::thread::scope(|scope| {
            for case in 0..16_u8 {
                let row = vec![format!("case{case}"), "1".to_owned()];
                scope.spawn(move || TABLE.write(path, &row[0].clone(), std::iter::once(row)).unwrap());
            }
        });
        let text = std::fs::read_to_string(path.join("refine.csv")).unwrap();
        assert_eq!(text.lines().count(), 17, "{text}");
    }

    #[test]
    fn a_replaced_mask_is_forgotten_by_the_other_records() {
        let folder = tempfile::tempdir().unwrap();
        let write = |record: Record, text: &str| {
            std::fs::write(folder.path().join(record.file()), text).unwrap();
        };
        let read = |record: Record| std::fs::read_to_string(folder.path().join(record.file())).unwrap();
        write(Record::Predict, r#"{"run": "r", "cases": ["a", "b"]}"#);
        write(Record::Refine, "label,case\n1,b\n2,a\n");
        write(Record::Propagate, "case,label\na,1\n");
        settle(folder.path(), "a", &[Record::Propagate]).unwrap();
        let card: Value = serde_json::from_str(&read(Record::Predict)).unwrap();
        assert_eq!(card, serde_json::json!({"run": "r", "cases": ["b"]}));
        assert_eq!(read(Record::Refine), "label,case\n1,b\n");
        assert_eq!(read(Record::Propagate), "case,label\na,1\n");
        // A card that names no cases means all that lies beside it.
        write(Record::Predict, r#"{"run": "r"}"#);
        settle(folder.path(), "b", &[Record::Refine]).unwrap();
        assert_eq!(read(Record::Predict), r#"{"run": "r"}"#);
        write(Record::Predict, "{");
        let error = settle(folder.path(), "b", &[Record::Refine]).unwrap_err();
        assert_eq!(error.downcast::<Error>().unwrap().kind, Kind::Format);
    }
}
