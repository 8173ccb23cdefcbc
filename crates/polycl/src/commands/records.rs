//! The files of a folder that say which of its masks a machine made. Commands that run side by side may
//! write into one folder, so each changes them under its lock.

use std::io::Write;
use std::path::Path;

use polycl_volume::dataset::Record;
use polycl_volume::{Error, Kind, lock, output};
use serde_json::Value;

/// Lets all records but `own` forget a case, whose mask has been replaced. As long as it has not, they
/// stay, for of several records the least believable counts.
pub fn settle(folder: &Path, case: &str, own: &[Record]) -> anyhow::Result<()> {
    let _lock = lock::wait(folder)?;
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
    use std::collections::BTreeSet;

    use polycl_nn::propagate::Row;
    use polycl_volume::dataset::names::Names;
    use polycl_volume::dataset::{self, Event, Origin, Plan, Scan, pairs};
    use polycl_volume::preprocess::Preprocess;
    use polycl_volume::{Space, Volume, nifti};

    use super::*;
    use crate::commands::case::CaseTable;
    use crate::commands::propagate;
    use crate::commands::sam::write_decisions;

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
        assert!(!cfg!(unix) || !path.join(lock::FILE).exists());
    }

    /// A scan of four slices, and its mask, whose second slice is drawn and whose last shows nothing.
    fn scan_and_mask(folder: &Path) {
        let columns = glam::DMat3::from_diagonal(glam::DVec3::new(-1.0, -1.0, 3.0));
        let affine = glam::DAffine3 { matrix3: columns, translation: glam::DVec3::ZERO };
        let space = Space::new([32, 32, 4], affine);
        let voxels = (0..space.voxels()).map(|at| at as f32).collect();
        nifti::write_image(&folder.join("images/a.nii.gz"), &Volume { space: space.clone(), voxels })
            .unwrap();
        let mut voxels = vec![0; space.voxels()];
        for slice in 0..3 {
            voxels[slice * 32 * 32..][..9].fill(1);
        }
        nifti::write_mask(&folder.join("labels/a.nii.gz"), &Volume { space, voxels }).unwrap();
        std::fs::write(folder.join("labels/labels.json"), r#"{"1": "liver"}"#).unwrap();
    }

    /// The only scan of a folder as import sees it, and what import says.
    fn imported(folder: &Path) -> (Scan, Vec<String>) {
        let pairs = pairs::from_folders(&folder.join("images"), Some(&folder.join("labels")), None).unwrap();
        let preprocess = Preprocess { size: 32, ..Preprocess::default() };
        let plan =
            Plan { pairs, ranges: None, drawn: None, only: BTreeSet::new(), preprocess, stop: || false };
        let mut notes = Vec::new();
        let mut note = |event: Event| {
            if let Event::Note(text) = event {
                notes.push(text);
            }
        };
        let out = tempfile::tempdir().unwrap();
        let index = plan.import(out.path(), false, &mut note).unwrap().index;
        (index.scans[0].clone(), notes)
    }

    #[test]
    fn what_the_commands_write_is_what_import_reads() {
        let folder = tempfile::tempdir().unwrap();
        scan_and_mask(folder.path());
        let (labels, names) = (folder.path().join("labels"), Names::from([(1, "liver".to_owned())]));
        let row = |slice: usize| Row {
            label: 1,
            slice,
            origin: if slice == 1 { Origin::Hand } else { Origin::Propagated },
            pixels: if slice < 3 { 9 } else { 0 },
            confidence: if slice == 1 { 1.0 } else { 0.25 * slice as f32 },
            predicted_iou: None,
            object_score: Some(0.5),
            evidence: None,
        };
        let rows = [0, 1, 2, 3].map(row);
        let cells = rows.iter().map(|row| propagate::cells("a", row, &names));
        propagate::TABLE.write(&labels, "a", cells).unwrap();
        let (scan, notes) = imported(folder.path());
        assert_eq!((scan.origin, notes), (dataset::Origin::Propagated, Vec::new()));
        let trust = &scan.trust["liver"];
        assert_eq!(trust.confidence, [Some(0.0), Some(1.0), Some(0.5), Some(0.75)]);
        assert_eq!(trust.by_hand, [[1, 1]]);
        // A refined mask is a network's, though there was nothing to refine.
        write_decisions(&labels, "a", &names, &[]).unwrap();
        assert_eq!(imported(folder.path()).0.origin, dataset::Origin::Predicted);
        settle(&labels, "a", &[Record::Refine]).unwrap();
        assert!(!std::fs::read_to_string(labels.join("propagate.csv")).unwrap().contains("liver"));
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
