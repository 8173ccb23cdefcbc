use std::collections::BTreeSet;
use std::path::Path;

use polycl_base::Watch;
use polycl_image::names::Names;
use polycl_image::preprocess::Preprocess;
use polycl_image::{Plane, Space, Volume, nifti};
use serde_json::Value;

use super::case_table::CaseTable;
use super::*;
use crate::{Import, Scan, pairs};

const TABLE: CaseTable = CaseTable { record: Record::Refine, columns: &["case", "label"], what: "rows" };

#[test]
fn writers_of_one_table_keep_each_others_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::thread::scope(|scope| {
        for case in 0..16_u8 {
            let row = vec![format!("case{case}"), "1".to_owned()];
            scope.spawn(move || TABLE.write(path, (&row[0].clone(), &[]), std::iter::once(row)).unwrap());
        }
    });
    let text = std::fs::read_to_string(path.join("refine.csv")).unwrap();
    assert_eq!(text.lines().count(), 17, "{text}");
    assert!(!cfg!(unix) || !path.join(lock::FILE).exists());
}

#[test]
fn tables_of_shards_are_united_in_the_order_of_their_cases() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["one", "two", "empty"].map(|name| folder.path().join(name));
    let add = |folder: &Path, case: &str, labels: &[&str]| {
        std::fs::create_dir_all(folder).unwrap();
        let rows = labels.iter().map(|label| vec![case.to_owned(), (*label).to_owned()]);
        TABLE.write(folder, (case, &[]), rows).unwrap();
    };
    add(folder.path(), "earlier", &["7"]);
    add(folder.path(), "b", &["8"]);
    add(&parts[0], "c", &["1"]);
    add(&parts[0], "a", &["2", "1"]);
    add(&parts[1], "b", &["3"]);
    let order = [("a", 0), ("b", 1), ("c", 2)].map(|(case, number)| (case.to_owned(), number)).into();
    TABLE.unite(folder.path(), &parts, &order).unwrap();
    let text = std::fs::read_to_string(folder.path().join("refine.csv")).unwrap();
    assert_eq!(text, "case,label,odd\nearlier,7,\na,2,\na,1,\nb,3,\nc,1,\n");
}

#[test]
fn tables_of_earlier_versions_are_added_to_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refine.csv");
    let add = || {
        TABLE.write(
            folder.path(),
            ("b", &["sheared".to_owned()]),
            std::iter::once(vec!["b".into(), "2".into()]),
        )
    };
    for (before, after) in [
        ("case,label\na,1\n", Some("case,label,odd\na,1,\nb,2,sheared\n")),
        ("case,label,odd\na,1,blank\nb,7,\n", Some("case,label,odd\na,1,blank\nb,2,sheared\n")),
        ("label,case\n1,a\n", None),
        ("case,label,odd,more\na,1,,2\n", None),
    ] {
        std::fs::write(&file, before).unwrap();
        assert_eq!(add().is_ok(), after.is_some(), "{before}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), after.unwrap_or(before));
    }
}

/// A scan of four slices, and its mask, whose second slice is drawn and whose last shows nothing.
fn scan_and_mask(folder: &Path) {
    let columns = glam::DMat3::from_diagonal(glam::DVec3::new(-1.0, -1.0, 3.0));
    let affine = glam::DAffine3 { matrix3: columns, translation: glam::DVec3::ZERO };
    let space = Space::new([32, 32, 4], affine);
    let voxels = (0..space.voxels()).map(|at| (at % 1000) as f32 - 1000.0).collect();
    nifti::write_image(&folder.join("images/a.nii.gz"), &Volume { space: space.clone(), voxels }).unwrap();
    let mut voxels = vec![0; space.voxels()];
    for slice in 0..3 {
        voxels[slice * 32 * 32..][..9].fill(1);
    }
    nifti::write_mask(&folder.join("labels/a.nii.gz"), &Volume { space, voxels }).unwrap();
    std::fs::write(folder.join("labels/labels.json"), r#"{"1": "liver"}"#).unwrap();
}

#[derive(Default)]
struct Notes(std::sync::Mutex<Vec<String>>);

impl Watch for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// The only scan of a folder as import sees it, and what import says.
fn imported(folder: &Path) -> (Scan, Vec<String>) {
    let pairs = pairs::from_folders(&folder.join("images"), Some(&folder.join("labels")), None).unwrap().0;
    let preprocess = Preprocess { size: 32, ..Preprocess::default() };
    let plan = Import { pairs, ranges: None, drawn: None, only: BTreeSet::new(), preprocess, shard: None };
    let notes = Notes::default();
    let out = tempfile::tempdir().unwrap();
    let index = plan.import(out.path(), false, &notes).unwrap().index;
    (index.scans[0].clone(), notes.0.into_inner().unwrap())
}

#[test]
fn what_is_written_is_what_import_reads() {
    let folder = tempfile::tempdir().unwrap();
    scan_and_mask(folder.path());
    let (labels, names) = (folder.path().join("labels"), Names::from([(1, "liver".to_owned())]));
    let row = |slice: usize| propagation::Row {
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
    propagation::write(&labels, ("a", &[]), Plane::Axial, &rows, &names).unwrap();
    let (scan, notes) = imported(folder.path());
    assert_eq!((scan.origin, notes), (Origin::Propagated, Vec::new()));
    let trust = &scan.trust["liver"];
    assert_eq!(trust.confidence, [Some(0.0), Some(1.0), Some(0.5), Some(0.75)]);
    assert_eq!(trust.by_hand, [[1, 1]]);
    // A refined mask is a network's, though there was nothing to refine.
    refinement::write(&labels, ("a", &[]), &[], &names).unwrap();
    assert_eq!(imported(folder.path()).0.origin, Origin::Predicted);
    settle(&labels, "a", &[Record::Refine]).unwrap();
    assert!(!std::fs::read_to_string(labels.join("propagate.csv")).unwrap().contains("liver"));
}

#[test]
fn a_card_keeps_what_was_odd_and_says_nothing_where_nothing_was() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"polycl":"0","run":"r","weights":"w","cases":["a"],"trained_on":[],"validated_on":[],"pretrained_on":[]}"#;
    let mut card: prediction::Card<Value> = serde_json::from_str(text).unwrap();
    card.write(folder.path()).unwrap();
    let written = || std::fs::read_to_string(folder.path().join("polycl.json")).unwrap();
    assert!(!written().contains("odd"), "{}", written());
    card.odd.insert("a".to_owned(), vec!["all values are 0".to_owned()]);
    card.write(folder.path()).unwrap();
    let again: prediction::Card<Value> = serde_json::from_str(&written()).unwrap();
    assert_eq!(again.odd, card.odd);
}

#[test]
fn a_replaced_mask_is_forgotten_by_the_other_records() {
    let folder = tempfile::tempdir().unwrap();
    let write = |record: Record, text: &str| {
        std::fs::write(folder.path().join(record.file()), text).unwrap();
    };
    let read = |record: Record| std::fs::read_to_string(folder.path().join(record.file())).unwrap();
    write(Record::Predict, r#"{"run": "r", "cases": ["a", "b"], "ranged": ["a"]}"#);
    write(Record::Refine, "label,case\n1,b\n2,a\n");
    write(Record::Propagate, "case,label\na,1\n");
    settle(folder.path(), "a", &[Record::Propagate]).unwrap();
    let card: Value = serde_json::from_str(&read(Record::Predict)).unwrap();
    assert_eq!(card, serde_json::json!({"run": "r", "cases": ["b"], "ranged": []}));
    assert_eq!(read(Record::Refine), "label,case\n1,b\n");
    assert_eq!(read(Record::Propagate), "case,label\na,1\n");
    // A card that names no cases means all that lies beside it.
    write(Record::Predict, r#"{"run": "r"}"#);
    settle(folder.path(), "b", &[Record::Refine]).unwrap();
    assert_eq!(read(Record::Predict), r#"{"run": "r"}"#);
    write(Record::Predict, "{");
    let error = settle(folder.path(), "b", &[Record::Refine]).unwrap_err();
    assert_eq!(error.kind, Kind::Format);
}

#[test]
fn a_reviewed_mask_is_a_person_s_where_no_machine_proposed() {
    use review::{By, Mark, Row, write};
    let folder = tempfile::tempdir().unwrap();
    scan_and_mask(folder.path());
    let (labels, names) = (folder.path().join("labels"), Names::from([(1, "liver".to_owned())]));
    let row = |slice: usize, mark: Mark, confidence| Row {
        label: 1,
        slice,
        mark,
        pixels: if slice < 3 { 9 } else { 0 },
        confidence,
    };
    let rows = [
        row(0, Mark::Unseen, Some(0.25)),
        row(1, Mark::Drawn, None),
        row(2, Mark::Viewed, Some(0.75)),
        row(3, Mark::Unseen, None),
    ];
    let by = By { proposed: vec!["run 1", "litemedsam"], reviewed: None };
    write(&labels, ("a", &[]), &rows, &names, by.clone()).unwrap();
    let (scan, _) = imported(folder.path());
    assert_eq!(scan.origin, Origin::Propagated);
    assert_eq!(scan.trust["liver"].confidence, [Some(0.25), Some(1.0), Some(0.75), None]);
    write(&labels, ("a", &[]), &rows, &names, By { reviewed: Some(("Ann", 1)), ..by }).unwrap();
    let maker = Records::default().maker(&labels.join("a.nii.gz")).unwrap().unwrap();
    assert_eq!(Vec::from_iter(maker.machines), ["litemedsam", "run 1"]);
    let (scan, notes) = imported(folder.path());
    assert_eq!((scan.origin, notes), (Origin::Reviewed, Vec::new()));
    assert_eq!(scan.trust["liver"].confidence, [Some(1.0); 4]);
    assert!(scan.is_truth(&["liver".to_owned()], true) && !scan.is_truth(&["liver".to_owned()], false));
    assert_eq!(scan.trust["liver"].by_hand, [[1, 1]]);
    // Without a machine it is as any mask that a person drew.
    write(&labels, ("a", &[]), &rows, &names, By { reviewed: Some(("Ann", 1)), ..By::default() }).unwrap();
    assert_eq!(imported(folder.path()).0.origin, Origin::Hand);
    // Until it is done, a part of it may not be drawn.
    write(&labels, ("a", &[]), &rows, &names, By::default()).unwrap();
    assert_eq!(imported(folder.path()).0.origin, Origin::Propagated);
}
