//! A handful of drawn slices and the organ's ends, from import to a mask.

mod common;

use polycl_image::{Mask, nifti};

use common::{Folder, text};

/// Five phantom patients whose masks show the liver in one slice each, with the slices in which it is; returns the
/// middle of each.
fn cohort(folder: &Folder) -> Vec<(String, [usize; 3])> {
    folder.done("phantom --out cohort --patients 5 --size 32 --seed 3");
    let mut ranges = "scan,organ,first_slice,last_slice\n".to_owned();
    let mut middles = Vec::new();
    for case in ["a000", "a001", "a002", "a003", "a004"] {
        let path = folder.at(&format!("cohort/labels/{case}.nii.gz"));
        let mut mask = nifti::read_mask(&path).unwrap();
        let plane = mask.space.shape[0] * mask.space.shape[1];
        let shown: Vec<usize> = (0..mask.space.shape[2])
            .filter(|slice| mask.voxels[slice * plane..][..plane].contains(&1))
            .collect();
        let [first, middle, last] = [shown[0], shown[shown.len() / 2], shown[shown.len() - 1]];
        only(&mut mask, plane, middle);
        nifti::write_mask(&folder.at(&format!("drawn/{case}.nii.gz")), &mask).unwrap();
        ranges += &format!("{case},liver,{first},{last}\n");
        middles.push((case.to_owned(), [first, middle, last]));
    }
    folder.write("drawn/labels.json", r#"{"liver": 1}"#);
    folder.write("ranges.csv", &ranges);
    middles
}

/// Leaves the liver in one slice.
fn only(mask: &mut Mask, plane: usize, slice: usize) {
    for (at, label) in mask.voxels.iter_mut().enumerate() {
        *label = u16::from(*label == 1 && at / plane == slice);
    }
}

const IMPORT: &str = "import --images cohort/images --labels drawn --size 32";
const FINETUNE: &str = "finetune dataset --organ liver --epochs 1 --steps 2 --batch 4 --self-train false";

#[test]
fn one_slice_a_scan_and_the_ends_train_and_validate_nothing() {
    let folder = Folder::new();
    let slices = cohort(&folder);
    insta::assert_snapshot!(folder.done(&format!("{IMPORT} --ranges ranges.csv --out dataset")));
    let shown = folder.done(&format!("{FINETUNE} --validate --out run"));
    let told: Vec<&str> = shown.lines().filter(|line| !line.starts_with("epoch")).collect();
    insta::assert_snapshot!(told.join("\n"));
    folder.done("predict run cohort/images --out masks");
    // nnU-Net would take what is not drawn for background.
    insta::assert_snapshot!(folder.refused("export --nnunet dataset --out Dataset001_Liver"));
    // Nothing but the drawn slices and those without the liver has been seen, whatever the mask holds elsewhere.
    let undrawn = slices[0].1[1] + 1;
    folder.write("drawn.toml", &format!("[drawn]\na000 = [{undrawn}]\n[split]\ntrain = [\"a000\"]\n"));
    insta::assert_snapshot!(folder.refused(&format!("{FINETUNE} --config drawn.toml --out other")));
}

#[test]
fn what_is_not_drawn_does_not_move_a_bit() {
    let folder = Folder::new();
    let slices = cohort(&folder);
    folder.done(&format!("{IMPORT} --ranges ranges.csv --out dataset"));
    folder.done(&format!("{FINETUNE} --out sparse"));
    // The whole masks, of which the same slices are said to be drawn.
    folder.done("import --images cohort/images --labels cohort/labels --only liver --size 32 --out whole");
    let rows: String = slices.iter().map(|(case, [_, middle, _])| format!("{case} = [{middle}]\n")).collect();
    let names: Vec<String> = slices.iter().map(|(case, _)| format!("{case:?}")).collect();
    folder.write("drawn.toml", &format!("[drawn]\n{rows}[split]\ntrain = [{}]\n", names.join(", ")));
    folder.done(&FINETUNE.replace("dataset", "whole --config drawn.toml --out told"));
    folder.done(&FINETUNE.replace("dataset", "whole --out all"));
    let bytes = |run: &str| std::fs::read(folder.at(&format!("{run}/latest.safetensors"))).unwrap();
    assert!(bytes("sparse") == bytes("told"), "the same slices by either way");
    assert!(bytes("sparse") != bytes("all"));
}

#[test]
fn a_table_of_drawn_slices_and_what_contradicts_it() {
    let folder = Folder::new();
    let slices = cohort(&folder);
    let (case, [first, middle, last]) = &slices[0];
    let table = |rows: &str| folder.write("drawn.csv", &format!("scan,slice\n{rows}"));
    let ranges = |rows: &str| folder.write("ends.csv", &format!("scan,organ,first_slice,last_slice\n{rows}"));
    let line = format!("{IMPORT} --ranges ends.csv --drawn drawn.csv --out dataset");
    let mut told = String::new();
    for (rows, ends) in [
        (format!("{case},{middle}\n"), format!("{case},liver,{},{last}\n", middle + 1)),
        (format!("{case},{first}\n"), format!("{case},liver,{first},{last}\n")),
        (format!("{case},999\n"), format!("{case},liver,{first},{last}\n")),
        ("nobody,1\n".to_owned(), format!("{case},liver,{first},{last}\n")),
        (format!("{case},{middle}\n"), "nobody,liver,1,2\n".to_owned()),
    ] {
        table(&rows);
        ranges(&ends);
        told += &format!("{}\n", folder.polycl(&line));
        let _ = std::fs::remove_dir_all(folder.at("dataset"));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn scans_of_which_nothing_is_drawn_take_no_part() {
    let folder = Folder::new();
    cohort(&folder);
    let path = folder.at("drawn/a004.nii.gz");
    let mut mask = nifti::read_mask(&path).unwrap();
    mask.voxels.fill(0);
    nifti::write_mask(&path, &mask).unwrap();
    let shown = folder.done(&format!("{IMPORT} --ranges ranges.csv --out dataset"));
    assert!(shown.contains("a004, liver: no slice that shows it is drawn"), "{shown}");
    let shown = folder.done(&format!("{FINETUNE} --out run"));
    assert!(shown.contains("note: left out, since no slice is drawn: 1 scan"), "{shown}");
    assert!(!text(&folder, "run/run.json").contains("a004"));
    // An organ that no drawn slice shows.
    for case in ["a000", "a001", "a002", "a003"] {
        let path = folder.at(&format!("drawn/{case}.nii.gz"));
        let mut mask = nifti::read_mask(&path).unwrap();
        mask.voxels.fill(0);
        nifti::write_mask(&path, &mask).unwrap();
    }
    folder.done(&format!("{IMPORT} --out empty"));
    insta::assert_snapshot!(folder.refused(&FINETUNE.replace("dataset", "empty --out other")));
}

/// The first two patients have whole masks, the other three the liver's range alone.
fn ranged(folder: &Folder) {
    if !folder.at("cohort").exists() {
        cohort(folder);
    }
    for case in ["a000", "a001"] {
        let name = format!("{case}.nii.gz");
        std::fs::create_dir_all(folder.at("two")).unwrap();
        let mut mask = nifti::read_mask(&folder.at(&format!("cohort/labels/{name}"))).unwrap();
        mask.voxels.iter_mut().for_each(|label| *label = u16::from(*label == 1));
        nifti::write_mask(&folder.at(&format!("two/{name}")), &mask).unwrap();
    }
    folder.write("two/labels.json", r#"{"liver": 1}"#);
    folder.done("import --images cohort/images --labels two --ranges ranges.csv --size 32 --out ranged");
}

const SELF_TRAIN: &str = "finetune ranged --organ liver --epochs 2 --steps 4 --batch 4";

#[test]
fn scans_with_ranges_alone_train_by_what_a_first_network_draws() {
    let folder = Folder::new();
    ranged(&folder);
    let shown = folder.done(&format!("{SELF_TRAIN} --out taught --threads 1"));
    let told: Vec<&str> = shown.lines().filter(|line| !line.starts_with("epoch")).collect();
    insta::assert_snapshot!(told.join("\n"));
    // The teacher knows the ranges, which nobody has named of a new scan.
    let teacher = folder.refused("predict taught/teacher cohort/images --out of-teacher");
    let pupil = folder.refused(&format!("{SELF_TRAIN} --encoder taught/teacher --out of-teacher"));
    insta::assert_snapshot!("a_teacher_is_not_for_new_scans", [teacher, pupil].join("\n"));
    folder.done(&format!("{SELF_TRAIN} --self-train false --out plain"));
    let bytes = |run: &str| std::fs::read(folder.at(&format!("{run}/latest.safetensors"))).unwrap();
    assert!(bytes("plain") != bytes("taught"));
    folder.done(&format!("{SELF_TRAIN} --out again --threads 2"));
    assert!(bytes("again") == bytes("taught"), "whatever the threads");
    // Who gave nothing but ranges has been seen without masks, and `evaluate` will know.
    let card: serde_json::Value = serde_json::from_str(&text(&folder, "taught/run.json")).unwrap();
    let cases = |list: &str| -> Vec<String> {
        card[list].as_array().unwrap().iter().map(|seen| seen["case"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(cases("training_cases"), ["a000", "a001"]);
    assert_eq!(cases("pretraining_cases"), ["a002", "a003", "a004"]);
    folder.done("predict taught cohort/images --out masks");
    assert!(folder.done(&format!("{SELF_TRAIN} --out taught --resume")).contains("2 epochs done"));
    // A teacher begins with an encoder that has seen images alone.
    folder.done(&format!("{SELF_TRAIN} --encoder plain --out further"));
}

#[test]
fn slices_between_drawn_ones_are_taught_and_who_validates_is_not() {
    let folder = Folder::new();
    cohort(&folder);
    folder.done(&format!("{IMPORT} --ranges ranges.csv --out dataset"));
    let shown = folder.done(&FINETUNE.replace("--self-train false", "--out plain"));
    assert!(!shown.contains("self-training"), "every scan is drawn: {shown}");
    let shown = folder.done(&FINETUNE.replace("--self-train false", "--self-train true --out run"));
    assert!(
        shown.contains("self-training: a first network draws on") && shown.contains("of 5 scans"),
        "{shown}"
    );
    let card: serde_json::Value = serde_json::from_str(&text(&folder, "run/run.json")).unwrap();
    assert_eq!(card["training_cases"].as_array().unwrap().len(), 5);
    assert!(card["pretraining_cases"].as_array().unwrap().is_empty(), "all of them are drawn, too");
    // A split by name keeps the others out, unless they are asked for.
    ranged(&folder);
    folder.write("split.toml", "[split]\ntrain = [\"a000\"]\nvalidation = [\"a001\"]\n");
    let split = format!("{SELF_TRAIN} --config split.toml");
    assert!(!folder.done(&format!("{split} --out apart")).contains("self-training"));
    assert!(folder.done(&format!("{split} --self-train true --out asked")).contains("of 3 scans"));
    assert!(!text(&folder, "asked/teacher/run.json").contains("a002"));
}

#[test]
fn what_a_teacher_has_learnt_outlives_a_failure_of_its_pupil() {
    let folder = Folder::new();
    ranged(&folder);
    folder.done(&format!("{SELF_TRAIN} --out whole"));
    folder.done(&format!("{SELF_TRAIN} --out cut"));
    // As a kill leaves it between the two networks.
    for name in ["latest.safetensors", "log.jsonl", "curve.svg"] {
        std::fs::remove_file(folder.at(&format!("cut/{name}"))).unwrap();
    }
    folder.done(&format!("{SELF_TRAIN} --out cut --resume"));
    let bytes = |run: &str| std::fs::read(folder.at(&format!("{run}/latest.safetensors"))).unwrap();
    assert!(bytes("cut") == bytes("whole"));
}

#[test]
fn self_training_that_cannot_be_is_refused() {
    let folder = Folder::new();
    ranged(&folder);
    folder.done("import --images cohort/images --labels two --size 32 --out unnamed");
    folder.write("unknown.toml", "ranged = [\"nobody\"]\n");
    folder.write("both.toml", "ranged = [\"a003\"]\nself_train = false\n");
    let mut told = String::new();
    for line in [
        "finetune unnamed --organ liver --self-train true --out other",
        "finetune ranged --organ liver --config unknown.toml --out other",
        "finetune ranged --organ liver --config both.toml --out other",
    ] {
        told += &format!("{}\n", folder.refused(line));
        assert!(!folder.at("other").exists());
    }
    insta::assert_snapshot!(told);
}
