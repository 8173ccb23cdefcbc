//! Labels are known by the names beside the masks.

use std::path::Path;

use polycl_base::{Kind, Result};
use polycl_image::orient::Reorientation;
use polycl_image::{Mask, nifti};
use polycl_metrics::{Options, Pairs, Report, SeenCases, evaluate};

use crate::{mask, space};

/// Label `first` in one half of the volume and `second` in the other.
fn halves(first: u16, second: u16) -> Mask {
    let mut mask = mask(&space([8, 8, 8], [1.0; 3]), first, |at| at[0] < 4);
    mask.voxels.iter_mut().filter(|label| **label == 0).for_each(|label| *label = second);
    mask
}

fn case(dir: &Path, name: &str, mask: &Mask, names: &str) {
    nifti::write_mask(&dir.join(format!("{name}.nii.gz")), mask).unwrap();
    if !names.is_empty() {
        std::fs::write(dir.join(format!("{name}.labels.json")), names).unwrap();
    }
}

fn evaluated(dir: &Path) -> Result<Report> {
    let pairs = Pairs::find(&dir.join("reference"), &dir.join("prediction"), |_| Ok(()))?.pairs;
    evaluate(&pairs, &SeenCases::default(), &Options::default(), &())
}

fn dice(report: &Report) -> Vec<(u16, Vec<Option<f64>>)> {
    let of = |&label: &u16| report.cases.iter().map(|case| case.scores[&label].dice).collect();
    report.summary.labels.keys().map(|label| (*label, of(label))).collect()
}

#[test]
fn references_that_number_differently_share_the_first_ones_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let [reference, prediction] = ["reference", "prediction"].map(|name| dir.path().join(name));
    case(&reference, "a", &halves(1, 2), r#"{"liver": 1, "spleen": 2}"#);
    case(&prediction, "a", &halves(1, 2), "");
    // The liver lies in the other half; the third name's number is that of the first case's liver.
    case(&reference, "b", &halves(3, 1), r#"{"spleen": 3, "kidney": 1}"#);
    case(&prediction, "b", &halves(7, 8), r#"{"spleen": 7, "kidney": 8}"#);
    let report = evaluated(dir.path()).unwrap();
    let names: Vec<_> = report.names.iter().map(|(&number, name)| (number, name.as_str())).collect();
    assert_eq!(names, [(1, "liver"), (2, "spleen"), (4, "kidney")]);
    let one = Some(1.0);
    assert_eq!(dice(&report), [(1, vec![one, None]), (2, vec![one, one]), (4, vec![None, one])]);
}

#[test]
fn organs_that_only_the_prediction_names_are_noted_and_not_scored() {
    let dir = tempfile::tempdir().unwrap();
    let [reference, prediction] = ["reference", "prediction"].map(|name| dir.path().join(name));
    case(&reference, "a", &halves(1, 0), r#"{"liver": 1}"#);
    case(&prediction, "a", &halves(2, 1), r#"{"liver": 2, "heart": 1}"#);
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), [(1, vec![Some(1.0)])]);
    assert!(report.notes[0].contains("heart") && !report.notes[0].contains("liver"), "{:?}", report.notes);
    case(&prediction, "a", &halves(2, 1), r#"{"lung": 2, "heart": 1}"#);
    assert_eq!(evaluated(dir.path()).unwrap_err().kind, Kind::Labels);
}

#[test]
fn a_prediction_label_without_a_name_is_refused_even_where_numbers_agree() {
    let dir = tempfile::tempdir().unwrap();
    let names = r#"{"liver": 1}"#;
    case(&dir.path().join("reference"), "a", &halves(1, 0), names);
    case(&dir.path().join("prediction"), "a", &halves(1, 3), names);
    assert_eq!(evaluated(dir.path()).unwrap_err().kind, Kind::Labels);
}

#[test]
fn names_that_cannot_be_read_are_left_out_with_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let regions = r#"{"labels": {"whole": [1, 2], "core": 2}}"#;
    case(&dir.path().join("reference"), "a", &halves(1, 2), regions);
    case(&dir.path().join("prediction"), "a", &halves(1, 2), "");
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), [(1, vec![Some(1.0)]), (2, vec![Some(1.0)])]);
    assert!(report.notes[0].contains("a.labels.json"), "{:?}", report.notes);
}

#[test]
fn voxels_that_nobody_annotated_count_neither_for_nor_against() {
    let dir = tempfile::tempdir().unwrap();
    let [reference, prediction] = ["reference", "prediction"].map(|name| dir.path().join(name));
    let names = r#"{"liver": 1, "ignore": 255}"#;
    case(&reference, "a", &halves(1, 255), names);
    case(&prediction, "a", &halves(1, 1), names);
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), [(1, vec![Some(1.0)])]);
    assert!(report.notes[0].contains("255"), "{:?}", report.notes);
    // nnU-Net copies its dataset.json beside its predictions.
    std::fs::remove_file(reference.join("a.labels.json")).unwrap();
    assert_eq!(dice(&evaluated(dir.path()).unwrap()), [(1, vec![Some(1.0)])]);
}

#[test]
fn a_prediction_in_another_order_of_axes_is_scored_on_its_references_voxels() {
    let dir = tempfile::tempdir().unwrap();
    let [reference, prediction] = ["reference", "prediction"].map(|name| dir.path().join(name));
    case(&reference, "a", &halves(1, 2), "");
    let order = Reorientation { axes: [2, 0, 1], flip: [false, true, true] };
    case(&prediction, "a", &order.apply(&halves(1, 2)), "");
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), [(1, vec![Some(1.0)]), (2, vec![Some(1.0)])]);
    assert!(report.notes[0].contains("another order"), "{:?}", report.notes);
}
