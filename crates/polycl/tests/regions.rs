//! nnU-Net's regions that overlap, from import to a score, as a user runs them.

mod common;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use polycl_image::components::largest_components;
use polycl_image::nifti;
use serde_json::{Value, json};

use common::Folder;

const CASES: [&str; 4] = ["a000", "a001", "a002", "a003"];
const LIVER: u16 = 1;

/// A data set whose livers are of three labels, from front to back. Masks that overlap are painted as 3, 1 and 2 in turn.
fn dataset() -> Folder {
    let folder = Folder::new();
    folder.done("phantom --out cohort --patients 4 --size 32 --seed 3");
    for case in CASES {
        let image = folder.at(&format!("raw/imagesTr/{case}_0000.nii.gz"));
        std::fs::copy(folder.at(&format!("cohort/images/{case}.nii.gz")), image).unwrap();
        let mut mask = nifti::read_mask(&folder.at(&format!("cohort/labels/{case}.nii.gz"))).unwrap();
        let [nx, ny, _] = mask.space.shape;
        for (at, label) in mask.voxels.iter_mut().enumerate() {
            let third = [3, 1, 2][(at / nx % ny).saturating_sub(10).min(8) / 4];
            *label = if *label == LIVER { third } else { 0 };
        }
        nifti::write_mask(&folder.at(&format!("raw/labelsTr/{case}.nii.gz")), &mask).unwrap();
    }
    let told = json!({
        "channel_names": {"0": "CT"}, "numTraining": CASES.len(), "file_ending": ".nii.gz",
        "labels": {"background": 0, "whole": [1, 2, 3], "core": [1, 2], "small": 2},
        "regions_class_order": [3, 1, 2],
    });
    folder.write("raw/dataset.json", &told.to_string());
    folder.done("import --nnunet raw --out dataset --size 32");
    folder
}

fn read(folder: &Folder, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.at(name)).unwrap()).unwrap()
}

fn mask(folder: &Folder, name: &str) -> Vec<u16> {
    nifti::read_mask(&folder.at(name)).unwrap().voxels
}

#[test]
fn regions_are_trained_painted_and_scored_as_nnunet_does() {
    let folder = dataset();
    let told = folder.done("finetune dataset --epochs 2 --steps 20 --batch 8 --flip true --out run");
    assert!(told.contains("whole, core, small: "), "{told}");
    insta::assert_snapshot!(folder.done("inspect run").lines().take(4).collect::<Vec<_>>().join("\n"));
    folder.done("predict run cohort/images --all-components --probabilities --flip --out masks");
    let labels = json!({"whole": [1, 2, 3], "core": [1, 2], "small": [2]});
    let labels = json!({"labels": labels, "regions_class_order": [3, 1, 2]});
    assert_eq!(read(&folder, "masks/labels.json"), labels);
    let painted = mask(&folder, "masks/a000.nii.gz");
    let probabilities = ["whole", "core", "small"].map(|region| {
        nifti::read_image(&folder.at(&format!("masks/probabilities/a000_{region}.nii.gz"))).unwrap().voxels
    });
    let mut expected = vec![0; painted.len()];
    for (probabilities, value) in probabilities.iter().zip([3, 1, 2]) {
        expected.iter_mut().zip(probabilities).filter(|(_, p)| **p > 0.5).for_each(|(to, _)| *to = value);
    }
    assert!(painted == expected);
    assert!(painted.contains(&3) && painted.contains(&1), "the network has found nothing");
    folder.done("evaluate --reference raw/labelsTr --prediction masks --out scores");
    let scores = read(&folder, "scores/summary.json");
    let truth = mask(&folder, "raw/labelsTr/a000.nii.gz");
    for (number, values) in [("1", &[1, 2, 3][..]), ("2", &[1, 2]), ("3", &[2])] {
        let of = &scores["metric_per_case"][0]["metrics"][number];
        let both =
            truth.iter().zip(&painted).filter(|(t, p)| values.contains(t) && values.contains(p)).count();
        assert_eq!(of["TP"], both);
        assert_eq!(of["n_pred"], painted.iter().filter(|value| values.contains(value)).count());
        assert_eq!(of["n_ref"], truth.iter().filter(|value| values.contains(value)).count());
    }
    // A part of a region is found in its slices alone.
    folder.write("ranges.csv", "scan,organ,first_slice,last_slice\na000,whole,20,29\na000,small,20,22\n");
    folder.done("predict run cohort/images --all-components --flip --ranges ranges.csv --out ranged");
    let cut = nifti::read_mask(&folder.at("ranged/a000.nii.gz")).unwrap();
    for slice in 0..cut.space.shape[2] {
        let plane = cut.plane(slice);
        assert!((20..30).contains(&slice) || plane.iter().all(|value| *value == 0), "slice {slice}");
        assert!((20..23).contains(&slice) || !plane.contains(&2), "slice {slice}");
    }
    assert!(cut.voxels.contains(&3) && cut.voxels.contains(&1), "nothing is left");
    // Connected parts are those of regions: one of `whole`, whatever is painted within it.
    folder.done("predict run cohort/images --largest --flip --out largest");
    let mut whole = nifti::read_mask(&folder.at("masks/a000.nii.gz")).unwrap();
    largest_components(&mut whole, |value| value > 0, 1, 0);
    let largest = mask(&folder, "largest/a000.nii.gz");
    assert!(largest.contains(&3) && largest.iter().zip(&whole.voxels).all(|(l, w)| *l == 0 || l == w));
}

/// Masks show the regions that were asked for alone, and say so.
#[test]
fn some_regions_are_trained_alone() {
    let folder = dataset();
    let finetune = "finetune dataset --epochs 1 --steps 2 --batch 4";
    folder.done(&format!("{finetune} --organ core --organ whole --validate --out run"));
    folder.done("predict run cohort/images --out masks");
    assert_eq!(read(&folder, "masks/labels.json")["labels"], json!({"whole": [1, 3], "core": [1]}));
    let values: BTreeSet<u16> = mask(&folder, "masks/a000.nii.gz").into_iter().collect();
    assert!(values.is_subset(&[0, 1, 3].into()), "{values:?}");
    let told = folder.done("evaluate --reference raw/labelsTr --prediction masks --out scores");
    assert!(told.contains("small"), "{told}");
    let scores = read(&folder, "scores/summary.json");
    assert_eq!(
        scores["metric_per_case"][0]["metrics"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["1", "2"]
    );
    // Organs that no two regions share exclude each other, as ever.
    for organ in ["whole", "small"] {
        folder.done(&format!("{finetune} --organ {organ} --out apart"));
        let card = read(&folder, "apart/run.json");
        assert!(card.get("regions").is_none() && !card.to_string().contains("overlap"), "{card}");
        std::fs::remove_dir_all(folder.at("apart")).unwrap();
    }
}

/// A teacher draws regions as the organs that they are painted as, if it can draw every organ.
#[test]
fn a_teacher_draws_regions() {
    let folder = dataset();
    std::fs::remove_file(folder.at("raw/labelsTr/a003.nii.gz")).unwrap();
    let last = nifti::read_mask(&folder.at("cohort/labels/a003.nii.gz")).unwrap().space.shape[2] - 1;
    let ranges = ["whole (3)", "core (1)", "small"].map(|organ| format!("a003,{organ},0,{last}\n")).concat();
    folder.write("ranges.csv", &format!("scan,organ,first_slice,last_slice\n{ranges}"));
    let import = "import --images cohort/images --labels raw/labelsTr --ranges ranges.csv";
    folder.done(&format!("{import} --size 32 --out ranged"));
    let finetune = "finetune ranged --epochs 1 --steps 40 --batch 8 --self-train true";
    let told = folder.done(&format!("{finetune} --out run"));
    assert!(told.contains("the teacher found what was named on"), "{told}");
    assert_eq!(read(&folder, "run/run.json")["regions"], read(&folder, "run/teacher/run.json")["regions"]);
    insta::assert_snapshot!(folder.refused(&format!("{finetune} --organ core --organ whole --out other")));
}

#[test]
fn a_killed_run_of_regions_resumes_to_the_same_bits() {
    let folder = dataset();
    let line = "finetune dataset --epochs 3 --steps 3 --batch 4 --validate";
    folder.done(&format!("{line} --out whole"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_polycl"))
        .args(format!("{line} --out cut").split_whitespace())
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (log, start) = (folder.at("cut/log.jsonl"), Instant::now());
    while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < 1 {
        assert!(start.elapsed() < Duration::from_secs(120), "no epoch");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    folder.done(&format!("{line} --out cut --resume"));
    for file in ["latest.safetensors", "best.safetensors", "run.json", "config.toml"] {
        let [whole, cut] =
            ["whole", "cut"].map(|run| std::fs::read(folder.at(&format!("{run}/{file}"))).unwrap());
        assert!(whole == cut, "{file}");
    }
}
