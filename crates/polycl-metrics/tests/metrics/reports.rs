//! From folders of masks to means and files, under each policy.

use std::collections::BTreeSet;
use std::path::Path;

use polycl_base::{Kind, Result};
use polycl_image::{Space, nifti};
use polycl_metrics::{EmptyPolicy, Options, Pairs, Report, Seen, SeenCases, evaluate};
use serde_json::{Value, json};

use crate::{mask, space};

/// 10 x 10 x 10 voxels of 1 x 2 x 2 mm; the diagonal is 30 mm.
fn grid() -> Space {
    space([10, 10, 10], [1.0, 2.0, 2.0])
}

/// Label 1 as a cube of 4 voxels a side in every reference. Case `exact` finds it, `missed` does
/// not, `half` finds the half of it and label 3 besides, and `empty` lacks it in both masks.
fn folders(dir: &Path) -> Pairs {
    let cube = |[i, j, k]: [usize; 3]| [i, j, k].iter().all(|x| (3..7).contains(x));
    let whole = mask(&grid(), 1, cube);
    let nothing = mask(&grid(), 1, |_| false);
    let mut half = mask(&grid(), 1, |at| cube(at) && at[0] < 5);
    half.voxels[0] = 3;
    let cases = [("exact", &whole, &whole), ("missed", &whole, &nothing), ("half", &whole, &half)];
    for (case, reference, prediction) in cases.into_iter().chain([("empty", &nothing, &nothing)]) {
        let file = format!("{case}.nii.gz");
        nifti::write_mask(&dir.join("reference").join(&file), reference).unwrap();
        nifti::write_mask(&dir.join("prediction").join(&file), prediction).unwrap();
    }
    Pairs::find(
        &dir.join("reference"),
        &dir.join("prediction"),
        polycl_image::files::Reading::default(),
        |_| Ok(()),
    )
    .unwrap()
}

fn evaluated(dir: &Path, options: &Options) -> Result<Report> {
    let mut seen = SeenCases::default();
    seen.add(["exact".to_owned(), "half".to_owned()], Seen::Pretraining);
    seen.add(["half".to_owned(), "elsewhere".to_owned()], Seen::Training);
    evaluate(&folders(dir).pairs, &seen, options, &())
}

fn report(empty: EmptyPolicy) -> Report {
    let dir = tempfile::tempdir().unwrap();
    evaluated(dir.path(), &Options { empty, ..Options::default() }).unwrap()
}

fn mean(report: &Report, label: u16, metric: &str) -> Option<f64> {
    let estimates = &report.summary.labels[&label].estimates;
    estimates.iter().find(|estimate| estimate.metric == metric).unwrap().mean
}

fn assert_close(found: Option<f64>, expected: f64) {
    assert!(found.is_some_and(|found| (found - expected).abs() < 1e-6), "{found:?}, not {expected}");
}

#[test]
fn policies_of_a_miss() {
    // Dice of the half: 2 * 32 / (64 + 32).
    let half = 2.0 / 3.0;
    let worst = report(EmptyPolicy::Worst);
    assert_close(mean(&worst, 1, "Dice"), (1.0 + 0.0 + half) / 3.0);
    // The half ends 2 mm short of the cube.
    assert_close(mean(&worst, 1, "HD"), (0.0 + 30.0 + 2.0) / 3.0);
    assert_close(mean(&worst, 3, "HD95"), 30.0);
    let skip = report(EmptyPolicy::Skip);
    assert_close(mean(&skip, 1, "Dice"), (1.0 + half) / 2.0);
    assert_eq!(mean(&skip, 3, "Dice"), None);
    let nan = report(EmptyPolicy::Nan);
    assert_eq!(mean(&nan, 1, "Dice"), None);
    assert_eq!(mean(&nan, 1, "HD"), None);
    for report in [&worst, &skip, &nan] {
        let tally = report.summary.labels[&1].tally;
        assert_eq!([tally.both, tally.missed, tally.false_alarm, tally.neither], [2, 1, 0, 1]);
        // Volumes are facts under every policy: 0, 0, -64 and -32 voxels of 4 microlitres.
        assert_close(mean(report, 1, "volume_difference_ml"), -96.0 * 0.004 / 4.0);
    }
}

#[test]
fn intervals_hold_their_means_and_repeat() {
    let of_few = report(EmptyPolicy::Worst);
    let labels = of_few.summary.labels.values().flat_map(|label| &label.estimates);
    assert!(labels.chain(&of_few.summary.foreground).all(|estimate| estimate.interval.is_none()));
    assert!(of_few.to_string().contains(" [–]") && of_few.to_string().contains("fewer than 5 cases"));
    let twice = || {
        let dir = tempfile::tempdir().unwrap();
        folders(dir.path());
        for (folder, case) in
            ["reference", "prediction"].into_iter().flat_map(|f| ["exact", "half", "missed"].map(|c| (f, c)))
        {
            let file = |case: String| dir.path().join(folder).join(format!("{case}.nii.gz"));
            std::fs::copy(file(case.to_owned()), file(format!("{case}-again"))).unwrap();
        }
        evaluated(dir.path(), &Options::default()).unwrap()
    };
    let [first, second] = [twice(), twice()];
    let estimates = first.summary.labels.values().flat_map(|label| &label.estimates);
    let mut intervals = 0;
    for estimate in estimates.chain(&first.summary.foreground) {
        let (Some(mean), Some([low, high])) = (estimate.mean, estimate.interval) else { continue };
        assert!(low <= mean && mean <= high, "{} {mean} [{low}, {high}]", estimate.metric);
        intervals += 1;
    }
    // All eight of label 1; of label 3, which two cases have, the volume alone; so the mean of both.
    assert_eq!(intervals, 8 + 1 + 1);
    assert_eq!(first.summary.foreground, second.summary.foreground);
}

#[test]
fn summary_has_the_keys_of_nnunet() {
    let dir = tempfile::tempdir().unwrap();
    evaluated(dir.path(), &Options::default()).unwrap().write(&dir.path().join("out")).unwrap();
    let text = std::fs::read(dir.path().join("out/summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&text).unwrap();
    let cases = summary["metric_per_case"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for (case, name) in cases.iter().zip(["empty", "exact", "half", "missed"]) {
        for (key, folder) in [("reference_file", "reference"), ("prediction_file", "prediction")] {
            let file = dir.path().join(folder).join(format!("{name}.nii.gz"));
            assert_eq!(case[key], json!(file));
        }
        for label in ["1", "3"] {
            for key in ["Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref"] {
                assert!(case["metrics"][label].get(key).is_some(), "{name} {label} {key}");
                assert!(
                    summary["mean"][label].get(key).is_some()
                        && summary["foreground_mean"].get(key).is_some()
                );
            }
        }
    }
    // Undefined is null; numbers are whole where they count.
    assert_eq!(cases[0]["metrics"]["1"]["Dice"], Value::Null);
    assert_eq!(cases[3]["metrics"]["1"]["FN"], json!(64));
    assert_eq!(summary["polycl"]["trained_on"], json!(["half"]));
    assert_eq!(summary["polycl"]["pretrained_on"], json!(["exact"]));
    assert_eq!(summary["polycl"]["empty"], "worst");
}

#[test]
fn a_row_for_every_case_and_label() {
    let dir = tempfile::tempdir().unwrap();
    evaluated(dir.path(), &Options::default()).unwrap().write(dir.path()).unwrap();
    let mut csv = csv::Reader::from_path(dir.path().join("cases.csv")).unwrap();
    let rows: Vec<_> = csv.records().map(|row| row.unwrap()).collect();
    let cells = |row: usize, n: usize| rows[row].iter().take(n).collect::<Vec<_>>();
    assert_eq!(rows.len(), 4 * 2);
    assert_eq!(cells(0, 8), ["empty", "1", "", "neither", "no", "worst", "2", ""]);
    assert_eq!(cells(4, 7), ["half", "1", "", "both", "training", "worst", "2"]);
    assert_eq!(cells(6, 8), ["missed", "1", "", "missed", "no", "worst", "2", "0"]);
    assert_eq!(cells(5, 7), ["half", "3", "", "false_alarm", "training", "worst", "2"]);
}

#[test]
fn chosen_labels_and_none_that_nobody_holds() {
    let dir = tempfile::tempdir().unwrap();
    let options = |labels: &[u16]| Options { labels: labels.iter().copied().collect(), ..Options::default() };
    let chosen = evaluated(dir.path(), &options(&[1])).unwrap();
    assert_eq!(chosen.summary.labels.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1]));
    assert_eq!(evaluated(dir.path(), &options(&[1, 2])).unwrap_err().kind, Kind::Labels);
}
