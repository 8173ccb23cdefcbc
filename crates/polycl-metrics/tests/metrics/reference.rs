//! What `surface-distance`, SciPy and NumPy make of the same masks; `reference/metrics/make.py`
//! wrote both.

use std::path::Path;

use glam::{DAffine3, DMat3, DQuat, DVec3};
use polycl_image::{Mask, Volume};
use polycl_metrics::{Options, Scores, areas, score};
use serde::Deserialize;

use crate::space;

#[derive(Deserialize)]
struct Cases {
    tolerances: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    shape: [usize; 3],
    spacing: [f64; 3],
    reference: Vec<usize>,
    prediction: Vec<usize>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Expected {
    #[serde(rename = "Dice")]
    dice: f64,
    #[serde(rename = "IoU")]
    iou: f64,
    hd: f64,
    /// The Hausdorff distance again, by another way.
    #[serde(rename = "HD_tree")]
    hd_tree: f64,
    hd95: f64,
    assd: f64,
    /// At each of the tolerances.
    nsd: Vec<f64>,
    #[serde(rename = "volume_difference_ml")]
    volume_difference_ml: f64,
    tp: u64,
    fp: u64,
    #[serde(rename = "FN")]
    fn_: u64,
    tn: u64,
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/metrics");
    serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap()
}

/// Label 7 where the run lengths, which start with background, say so.
fn decoded(case: &Case, runs: &[usize]) -> Mask {
    let labels = [0, 7].into_iter().cycle();
    let voxels = labels.zip(runs).flat_map(|(label, &run)| std::iter::repeat_n(label, run)).collect();
    Volume { space: space(case.shape, case.spacing), voxels }
}

fn scores(reference: &Mask, prediction: &Mask, tolerance: f64) -> Scores {
    score(reference, prediction, &Options { tolerance, ..Options::default() }).remove(&7).unwrap()
}

fn close(ours: Option<f64>, theirs: f64) -> bool {
    ours.is_some_and(|ours| (ours - theirs).abs() <= 1e-5 * theirs.abs())
}

#[test]
fn scores_as_others_compute_them() {
    let Cases { tolerances, cases } = read("cases.json");
    assert_eq!(cases.len(), 17);
    for case in &cases {
        let (name, theirs) = (&case.name, &case.expected);
        let [reference, prediction] = [&case.reference, &case.prediction].map(|runs| decoded(case, runs));
        for (&tolerance, &nsd) in tolerances.iter().zip(&theirs.nsd) {
            let ours = scores(&reference, &prediction, tolerance).nsd;
            assert!(close(ours, nsd), "{name}: NSD at {tolerance} mm is {ours:?}, not {nsd}");
        }
        let ours = scores(&reference, &prediction, 2.0);
        assert_eq!([ours.tp, ours.fp, ours.fn_, ours.tn], [theirs.tp, theirs.fp, theirs.fn_, theirs.tn]);
        let pairs = [
            ("Dice", ours.dice, theirs.dice),
            ("IoU", ours.iou, theirs.iou),
            ("HD", ours.hd, theirs.hd),
            ("HD by tree", ours.hd, theirs.hd_tree),
            ("HD95", ours.hd95, theirs.hd95),
            ("ASSD", ours.assd, theirs.assd),
            ("volume", Some(ours.volume_difference_ml), theirs.volume_difference_ml),
        ];
        for (metric, ours, theirs) in pairs {
            assert!(close(ours, theirs), "{name}: {metric} is {ours:?}, not {theirs}");
        }
    }
}

/// Distances are those of the patient, whichever way the grid is turned in the world.
#[test]
fn an_oblique_grid_scores_the_same() {
    let Cases { cases, .. } = read("cases.json");
    let case = &cases[0];
    let mut masks = [&case.reference, &case.prediction].map(|runs| decoded(case, runs));
    for mask in &mut masks {
        let turn = DMat3::from_quat(DQuat::from_axis_angle(DVec3::new(0.36, 0.48, 0.8), 0.7));
        let matrix3 = turn * mask.space.world_from_voxel.matrix3;
        mask.space.world_from_voxel = DAffine3 { matrix3, translation: DVec3::new(-50.0, 8.0, 300.0) };
    }
    let [reference, prediction] = &masks;
    let ours = scores(reference, prediction, 2.0);
    assert!(close(ours.hd95, case.expected.hd95) && close(ours.assd, case.expected.assd), "{ours:?}");
}

#[test]
fn areas_of_all_256_surface_elements() {
    #[derive(Deserialize)]
    struct Areas {
        spacing: [f64; 3],
        areas: Vec<f64>,
    }
    let theirs: Areas = read("areas.json");
    let ours = areas(theirs.spacing);
    assert_eq!(theirs.areas.len(), 256);
    for (code, (ours, theirs)) in ours.into_iter().zip(theirs.areas).enumerate() {
        assert!((ours - theirs).abs() < 1e-9, "code {code:08b}: {ours}, not {theirs}");
    }
}
