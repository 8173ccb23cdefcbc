//! nnU-Net's label `ignore` and its regions, from import to a score, as a user runs them.

mod common;

use std::collections::BTreeSet;

use polycl_image::{names, nifti};

use common::Folder;

const CASES: [&str; 5] = ["a000", "a001", "a002", "a003", "a004"];
const LIVER: u16 = 1;
const IGNORED: u16 = 9;

/// The livers of five phantom patients, and of each what `change` makes of every voxel's label, row and slice.
fn masks(folder: &Folder, to: &str, change: impl Fn(u16, usize, usize) -> u16) {
    for case in CASES {
        let mut mask = nifti::read_mask(&folder.at(&format!("cohort/labels/{case}.nii.gz"))).unwrap();
        let [nx, ny, _] = mask.space.shape;
        for (at, label) in mask.voxels.iter_mut().enumerate() {
            *label = change(u16::from(*label == LIVER), at / nx % ny, at / nx / ny);
        }
        nifti::write_mask(&folder.at(&format!("{to}/{case}.nii.gz")), &mask).unwrap();
    }
}

fn cohort() -> Folder {
    let folder = Folder::new();
    folder.done("phantom --out cohort --patients 5 --size 32 --seed 3");
    folder
}

const FINETUNE: &str = "--organ liver --epochs 2 --steps 3 --batch 4";

/// Slices without the liver and with it, of which nobody has annotated any voxel, train no more than slices that nobody
/// has drawn: to the bit. As background they would.
#[test]
fn no_ignored_voxel_trains() {
    let folder = cohort();
    let open: BTreeSet<usize> = [0, 3, 9, 12].into();
    masks(&folder, "ignored", |label, _, slice| if open.contains(&slice) { IGNORED } else { label });
    masks(&folder, "undrawn", |label, _, slice| if open.contains(&slice) { 0 } else { label });
    masks(&folder, "whole", |label, _, _| label);
    folder.write("ignored/labels.json", r#"{"liver": 1, "ignore": 9}"#);
    folder.write("undrawn/labels.json", r#"{"liver": 1}"#).write("whole/labels.json", r#"{"liver": 1}"#);
    let (mut drawn, mut ranges) =
        ("scan,slice\n".to_owned(), "scan,organ,first_slice,last_slice\n".to_owned());
    let mut empty = 0;
    for case in CASES {
        let mask = nifti::read_mask(&folder.at(&format!("whole/{case}.nii.gz"))).unwrap();
        let planes = mask.voxels.chunks(mask.voxels.len() / mask.space.shape[2]);
        for (slice, plane) in planes.enumerate().filter(|(slice, _)| !open.contains(slice)) {
            drawn += &format!("{case},{slice}\n");
            empty += usize::from(!plane.contains(&LIVER));
        }
        ranges += &format!("{case},liver,0,{}\n", mask.space.shape[2] - 1);
    }
    folder.write("drawn.csv", &drawn).write("ranges.csv", &ranges);
    let import = |masks: &str, more: &str| {
        let images = "--images cohort/images --size 32";
        folder.done(&format!("import {images} --labels {masks} --out {masks}.data {more}"));
        folder.done(&format!("finetune {masks}.data {FINETUNE} --out {masks}.run"));
        std::fs::read(folder.at(&format!("{masks}.run/latest.safetensors"))).unwrap()
    };
    let ignored = import("ignored", "");
    assert!(ignored == import("undrawn", "--drawn drawn.csv"), "ignored slices have trained");
    assert!(ignored != import("whole", ""));
    // Nor do they become what a teacher draws, where slices that were left empty do.
    folder.done("import --images cohort/images --size 32 --labels ignored --ranges ranges.csv --out ranged");
    let told = folder.done(&format!("finetune ranged {FINETUNE} --self-train true --out taught"));
    assert!(told.contains(&format!("draws on {empty} slices of 5 scans")), "{told}");
}

/// A part of every slice is annotated, which validates as well, whatever the value of the other part.
#[test]
fn what_is_annotated_trains_and_validates() {
    let folder = cohort();
    for (value, name) in [(IGNORED, "nine"), (2, "two")] {
        masks(&folder, name, |label, row, _| if row < 12 { value } else { label });
        folder.write(&format!("{name}/labels.json"), &format!(r#"{{"liver": 1, "IGNORE": {value}}}"#));
        let told = folder
            .done(&format!("import --images cohort/images --labels {name} --size 32 --out {name}.data"));
        if name == "two" {
            insta::assert_snapshot!(told.replace("two.data", "data"));
        }
        folder.done(&format!("finetune {name}.data {FINETUNE} --validate --out {name}.run"));
    }
    let best = |name: &str| std::fs::read(folder.at(&format!("{name}.run/best.safetensors"))).unwrap();
    assert!(best("nine") == best("two"));
    // Scored on what is annotated alone.
    folder.done("predict two.run cohort/images --out masks");
    folder.done("evaluate --reference two --prediction masks --out scores");
    let text = std::fs::read_to_string(folder.at("scores/summary.json")).unwrap();
    let scores: serde_json::Value = serde_json::from_str(&text).unwrap();
    for case in scores["metric_per_case"].as_array().unwrap() {
        let of = &case["metrics"]["1"];
        let counts = ["TP", "FP", "FN", "TN"].map(|key| of[key].as_u64().unwrap());
        let [truth, found] = ["reference_file", "prediction_file"]
            .map(|key| nifti::read_mask(&folder.at(case[key].as_str().unwrap())).unwrap().voxels);
        let count = |wanted: [bool; 2]| {
            let both = truth.iter().zip(&found).filter(|(truth, _)| **truth != 2);
            both.filter(|(truth, found)| [**truth == 1, **found == 1] == wanted).count() as u64
        };
        let expected = [[true; 2], [false, true], [true, false], [false; 2]].map(count);
        assert_eq!(counts, expected);
    }
}

/// A region trains as its parts and is scored as their union, by its name.
#[test]
fn a_region_is_trained_and_scored() {
    let folder = cohort();
    for case in CASES {
        for (from, to) in [("images", "imagesTr"), ("labels", "labelsTr")] {
            let name = if from == "images" { format!("{case}_0000") } else { case.to_owned() };
            let to = folder.at(&format!("raw/{to}/{name}.nii.gz"));
            std::fs::copy(folder.at(&format!("cohort/{from}/{case}.nii.gz")), to).unwrap();
        }
    }
    let names = names::read(&folder.at("cohort/labels/labels.json")).unwrap().names;
    let mut labels = serde_json::json!({"background": 0, "upper abdomen": [1, 2]});
    names.iter().filter(|(value, _)| **value != 2).for_each(|(value, name)| labels[name] = (*value).into());
    let told = serde_json::json!({
        "channel_names": {"0": "CT"}, "labels": labels, "numTraining": 5, "file_ending": ".nii.gz",
    });
    folder.write("raw/dataset.json", &told.to_string());
    let told = folder.done("import --nnunet raw --out dataset --size 32");
    insta::assert_snapshot!(told);
    insta::assert_snapshot!(folder.done("inspect raw/labelsTr/a000.nii.gz"));
    folder.write("region.toml", "organs = [\"upper abdomen\"]\n");
    folder.done("finetune dataset --config region.toml --epochs 4 --steps 20 --batch 8 --out run");
    folder.done("predict run cohort/images --out masks");
    folder.done("evaluate --reference raw/labelsTr --prediction masks --out scores");
    let text = std::fs::read_to_string(folder.at("scores/summary.json")).unwrap();
    let scores: serde_json::Value = serde_json::from_str(&text).unwrap();
    let case = &scores["metric_per_case"][0];
    let [truth, found] = ["reference_file", "prediction_file"]
        .map(|key| nifti::read_mask(&folder.at(case[key].as_str().unwrap())).unwrap().voxels);
    let within = |label: &u16| [1, 2].contains(label);
    let both = truth.iter().zip(&found).filter(|(truth, found)| within(truth) && within(found)).count();
    assert!(both > 0, "the network has found nothing");
    assert_eq!(case["metrics"]["1"]["TP"], both);
    assert_eq!(case["metrics"]["1"]["n_pred"], found.iter().filter(|label| within(label)).count());
    let unknown = folder.refused("finetune dataset --organ pelvis --out other");
    assert!(unknown.contains("upper abdomen"), "{unknown}");
}
