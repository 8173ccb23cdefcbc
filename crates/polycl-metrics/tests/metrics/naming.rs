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
    let pairs = Pairs::find(
        &dir.join("reference"),
        &dir.join("prediction"),
        polycl_image::files::Reading::default(),
        |_| Ok(()),
    )?
    .pairs;
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
fn organs_that_only_the_reference_names_are_noted_and_not_scored() {
    let dir = tempfile::tempdir().unwrap();
    let [reference, prediction] = ["reference", "prediction"].map(|name| dir.path().join(name));
    case(&reference, "a", &halves(1, 2), r#"{"liver": 1, "spleen": 2}"#);
    case(&prediction, "a", &halves(1, 0), r#"{"liver": 1}"#);
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), [(1, vec![Some(1.0)])]);
    assert!(report.notes[0].ends_with("does not name them: spleen"), "{:?}", report.notes);
    assert_eq!(report.notes.len(), 1);
}

#[test]
fn of_references_without_names_the_labels_of_the_predictions_are_scored() {
    let dir = tempfile::tempdir().unwrap();
    let [reference, prediction] = ["reference", "prediction"].map(|name| dir.path().join(name));
    case(&reference, "a", &halves(1, 2), "");
    case(&prediction, "a", &halves(1, 0), r#"{"liver": 1}"#);
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), [(1, vec![Some(1.0)])]);
    assert_eq!(Vec::from_iter(report.names.values()), ["liver"]);
    assert!(report.notes[0].ends_with("alone: 1 (others with --labels)"), "{:?}", report.notes);
    // Without names on either side all values are.
    std::fs::remove_file(prediction.join("a.labels.json")).unwrap();
    assert_eq!(dice(&evaluated(dir.path()).unwrap()), [(1, vec![Some(1.0)]), (2, vec![Some(0.0)])]);
}

#[test]
fn a_reference_drawn_in_one_slice_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let [reference, prediction] = ["reference", "prediction"].map(|name| dir.path().join(name));
    let grid = space([4, 4, 12], [1.0; 3]);
    let names = r#"{"liver": 1}"#;
    case(&prediction, "a", &mask(&grid, 1, |_| true), names);
    case(&reference, "a", &mask(&grid, 1, |[_, _, k]| k == 3), names);
    let said = &evaluated(dir.path()).unwrap().notes;
    let expected =
        "a: the reference shows liver in 1 slice, the prediction in 12; a reference that is drawn in part";
    assert!(matches!(&**said, [note] if note.starts_with(expected)), "{said:?}");
    case(&reference, "a", &mask(&grid, 1, |[_, _, k]| k < 3), names);
    assert!(evaluated(dir.path()).unwrap().notes.is_empty(), "a short organ is no slice");
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
    let twice = r#"{"labels": {"liver": 1, "liver": 2}}"#;
    case(&dir.path().join("reference"), "a", &halves(1, 2), twice);
    case(&dir.path().join("prediction"), "a", &halves(1, 2), "");
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), [(1, vec![Some(1.0)]), (2, vec![Some(1.0)])]);
    assert!(report.notes[0].contains("a.labels.json"), "{:?}", report.notes);
}

/// Values of nnU-Net 2.8.1: `region_or_label_to_mask` joins the labels of a region, `compute_tp_fp_fn_tn` leaves out the
/// voxels of the label `ignore`.
#[test]
fn regions_are_scored_as_all_their_labels_together() {
    let dir = tempfile::tempdir().unwrap();
    let [reference, prediction] = ["reference", "prediction"].map(|name| dir.path().join(name));
    let names = r#"{"labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}}"#;
    // Of the reference, slabs of 1, 2 and 3; the prediction calls the first 2, and the last 1.
    let slabs = |labels: [u16; 3]| {
        let mut slabs = mask(&space([8, 8, 8], [1.0; 3]), 1, |_| false);
        let of = |at: usize| labels.get(at / 2 % 4).copied().unwrap_or_default();
        slabs.voxels.iter_mut().enumerate().for_each(|(at, label)| *label = of(at));
        slabs
    };
    case(&reference, "a", &slabs([1, 2, 3]), names);
    case(&prediction, "a", &slabs([2, 2, 1]), names);
    let whole_and_core = [(1, vec![Some(1.0)]), (2, vec![Some(2.0 / 3.0)])];
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), whole_and_core);
    let counts = |label: u16| {
        let scores = &report.cases[0].scores[&label];
        [scores.tp, scores.fp, scores.fn_, scores.tn]
    };
    assert_eq!([counts(1), counts(2)], [[256, 0, 0, 128], [128, 128, 0, 128]]);
    assert_eq!(Vec::from_iter(report.names.values()), ["whole", "core"]);
    assert_eq!(report.notes.len(), 4, "{:?}", report.notes);
    // The other mask may have no names, or plain ones of which it has some.
    std::fs::remove_file(prediction.join("a.labels.json")).unwrap();
    assert_eq!(dice(&evaluated(dir.path()).unwrap()), whole_and_core);
    case(&prediction, "a", &slabs([1, 1, 0]), r#"{"whole": 1}"#);
    assert_eq!(dice(&evaluated(dir.path()).unwrap())[0], (1, vec![Some(1.0)]));
    case(&prediction, "a", &slabs([1, 1, 0]), r#"{"liver": 1}"#);
    assert_eq!(evaluated(dir.path()).unwrap_err().kind, Kind::Labels);
    // Masks of a network that was trained here have the names of parts, and its own values.
    case(&prediction, "a", &slabs([7, 7, 4]), r#"{"whole (1)": 4, "core": 7}"#);
    let report = evaluated(dir.path()).unwrap();
    assert_eq!(dice(&report), whole_and_core);
    assert!(report.notes.iter().all(|note| !note.contains("not scored, as")), "{:?}", report.notes);
    // One that knows a part alone is not scored for the whole.
    case(&prediction, "a", &slabs([7, 7, 0]), r#"{"core": 7}"#);
    assert_eq!(dice(&evaluated(dir.path()).unwrap()), [(2, vec![Some(2.0 / 3.0)])]);
    std::fs::remove_file(reference.join("a.labels.json")).unwrap();
    case(&prediction, "a", &slabs([2, 2, 1]), names);
    assert_eq!(dice(&evaluated(dir.path()).unwrap()), whole_and_core);
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
    assert_eq!((report.cases[0].scores[&1].tp, report.cases[0].scores[&1].tn), (256, 0));
    assert!(report.notes[0].contains("255"), "{:?}", report.notes);
    // nnU-Net copies its dataset.json beside its predictions.
    std::fs::remove_file(reference.join("a.labels.json")).unwrap();
    assert_eq!(dice(&evaluated(dir.path()).unwrap()), [(1, vec![Some(1.0)])]);
}

/// Slices are 3 mm apart by the sform and 4 mm by the qform: the distance of two masks, one slice apart.
#[test]
fn headers_that_contradict_themselves_are_told_and_a_person_decides() {
    let dir = tempfile::tempdir().unwrap();
    let slab = |k: usize| mask(&space([8, 8, 8], [1.0, 1.0, 3.0]), 1, |at| at[2] == k);
    let files = [("reference", 3), ("prediction", 4)].map(|(folder, k)| {
        let path = dir.path().join(folder).join("a.nii");
        nifti::write_mask(&path, &slab(k)).unwrap();
        path
    });
    let scored = |trust: Option<nifti::Form>| {
        let reading = polycl_image::files::Reading::trusting(trust);
        let pairs = Pairs::find(&files[0], &files[1], reading, |_| Ok(()))?.pairs;
        evaluate(&pairs, &SeenCases::default(), &Options::default(), &())
    };
    assert_eq!(scored(None).unwrap().notes, Vec::<String>::new());
    for path in &files {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[88..92].copy_from_slice(&4.0_f32.to_le_bytes());
        std::fs::write(path, bytes).unwrap();
    }
    for (trust, taken, mm) in [(None, "sform", 3.0), (Some(nifti::Form::Qform), "qform", 4.0)] {
        let report = scored(trust).unwrap();
        assert_eq!(report.cases[0].scores[&1].hd, Some(mm));
        let told = "a, both masks: sform and qform put voxels up to 7.00 mm apart";
        let [note] = report.notes.as_slice() else { panic!("{:?}", report.notes) };
        assert!(note.starts_with(told) && note.ends_with(&format!("the {taken} is taken")), "{note}");
    }
    // One of the two alone: they no longer lie on each other, by the qform.
    nifti::write_mask(&files[1], &slab(4)).unwrap();
    assert!(scored(None).unwrap().notes[0].starts_with("a, its reference: sform and qform"));
    assert_eq!(scored(Some(nifti::Form::Qform)).unwrap_err().kind, Kind::Geometry);
}

#[test]
fn a_nameless_label_that_no_prediction_has_may_mean_ignore() {
    let dir = tempfile::tempdir().unwrap();
    case(&dir.path().join("reference"), "a", &halves(1, 255), "");
    case(&dir.path().join("prediction"), "a", &halves(1, 0), "");
    let report = evaluated(dir.path()).unwrap();
    assert!(report.notes.len() == 1 && report.notes[0].contains("`ignore`"), "{:?}", report.notes);
    case(&dir.path().join("prediction"), "a", &halves(1, 255), "");
    assert_eq!(evaluated(dir.path()).unwrap().notes, Vec::<String>::new());
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
