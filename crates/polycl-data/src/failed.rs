//! The scans that an import could not use, and why: `failed.csv` beside the index. The index itself stays as earlier
//! versions read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Result, output, table};

/// Reasons by case.
pub type Failed = BTreeMap<String, String>;

fn file(dataset: &Path) -> PathBuf {
    dataset.join("failed.csv")
}

/// The scans that could not be imported into a data set.
///
/// # Errors
/// As [`table::read`].
pub fn failed(dataset: &Path) -> Result<Failed> {
    let file = file(dataset);
    if !file.exists() {
        return Ok(Failed::new());
    }
    let rows = table::read(&file, &["case", "reason"], &[])?;
    let row =
        |row: &table::Row| Ok((row.need("case", &file)?.to_owned(), row.need("reason", &file)?.to_owned()));
    rows.iter().map(row).collect()
}

/// Puts those of an import in the place of what was known of the scans that it `tried`.
pub(super) fn update(dataset: &Path, of: &[(String, Error)], tried: impl Fn(&str) -> bool) -> Result<()> {
    let mut all = failed(dataset)?;
    all.retain(|case, _| !tried(case));
    all.extend(of.iter().map(|(case, error)| (case.clone(), error.to_string())));
    write(dataset, &all)
}

/// Writes the whole table; there is none where nothing failed.
pub(super) fn write(dataset: &Path, all: &Failed) -> Result<()> {
    let file = file(dataset);
    if all.is_empty() {
        return if file.exists() {
            std::fs::remove_file(&file).map_err(|e| Error::io(&file, "remove it", &e))
        } else {
            Ok(())
        };
    }
    output::atomically(&file, |file| {
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(["case", "reason"])?;
        for (case, reason) in all {
            csv.write_record([case, reason])?;
        }
        csv.flush()
    })
}
