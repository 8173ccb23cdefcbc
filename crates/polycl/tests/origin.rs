//! The loop from one drawn slice to a trained network: labels of every origin, and what they may do.

mod common;

use polycl_image::nifti;
use serde_json::Value;

use common::Folder;

const FINETUNE: &str =
    "finetune dataset --organ liver --epochs 1 --steps 2 --batch 4 --net resnet18 --validate";

/// Eight phantoms: a000 to a004 drawn by hand, a005 and a006 propagated, a007 predicted.
fn cohort() -> Folder {
    let folder = Folder::new();
    folder.done("phantom --out cohort --patients 8 --size 32 --seed 3");
    propagated(&folder, &["a005", "a006"], -2, |slice, drawn| {
        1.0 / (1.0 + 0.1 * slice.abs_diff(drawn) as f32)
    });
    mask(&folder, "a007", "masks");
    folder.write("masks/polycl.json", r#"{"cases": ["a007"]}"#);
    let place = |case: usize| match case {
        0..5 => "cohort/labels",
        5..7 => "propagated",
        _ => "masks",
    };
    let row = |case| format!("cohort/images/a00{case}.nii.gz,{}/a00{case}.nii.gz\n", place(case));
    folder.write("scans.csv", &("image,label\n".to_owned() + &(0..8).map(row).collect::<String>()));
    folder
}

/// Takes a phantom's mask into another folder, with its names.
fn mask(folder: &Folder, case: &str, to: &str) {
    let file = format!("{case}.nii.gz");
    std::fs::copy(folder.at(&format!("cohort/labels/{file}")), folder.at(&format!("{to}/{file}"))).unwrap();
    std::fs::copy(folder.at("cohort/labels/labels.json"), folder.at(&format!("{to}/labels.json"))).unwrap();
}

/// As `polycl propagate` leaves them: the liver alone, from its slice in the middle to so many beyond its
/// ends.
fn propagated(folder: &Folder, cases: &[&str], beyond: isize, confidence: impl Fn(usize, usize) -> f32) {
    let mut table = "case,label,name,slice,origin,pixels,confidence\n".to_owned();
    for case in cases {
        mask(folder, case, "propagated");
        let path = folder.at(&format!("propagated/{case}.nii.gz"));
        let mut mask = nifti::read_mask(&path).unwrap();
        let [nx, ny, slices] = mask.space.shape;
        let shown: Vec<usize> = (0..slices).filter(|&slice| mask.plane(slice).contains(&1)).collect();
        let drawn = shown[shown.len() / 2];
        let end = |slice: usize, way: isize| slice.saturating_add_signed(beyond * way).min(slices - 1);
        let sought = end(shown[0], -1)..end(shown[shown.len() - 1], 1) + 1;
        for (at, label) in mask.voxels.iter_mut().enumerate() {
            *label = u16::from(*label == 1 && sought.contains(&(at / (nx * ny))));
        }
        nifti::write_mask(&path, &mask).unwrap();
        for slice in sought {
            let pixels = mask.plane(slice).iter().filter(|&&label| label == 1).count();
            let (origin, confidence) =
                if slice == drawn { ("hand", 1.0) } else { ("propagated", confidence(slice, drawn)) };
            table += &format!("{case},1,liver,{slice},{origin},{pixels},{confidence}\n");
        }
    }
    folder.write("propagated/propagate.csv", &table);
}

fn card(folder: &Folder, run: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.at(&format!("{run}/run.json"))).unwrap()).unwrap()
}

/// Cases of a run and who drew them.
fn seen(folder: &Folder, run: &str, group: &str) -> Vec<(String, String)> {
    let card = card(folder, run);
    let text = |seen: &Value, key: &str| seen[key].as_str().unwrap().to_owned();
    card[group].as_array().unwrap().iter().map(|s| (text(s, "case"), text(s, "origin"))).collect()
}

fn weights(folder: &Folder, run: &str) -> Vec<u8> {
    std::fs::read(folder.at(&format!("{run}/latest.safetensors"))).unwrap()
}

/// Lines that say nothing of time.
fn notes(said: &str) -> String {
    said.lines()
        .filter(|line| line.contains("slices of") || line.starts_with("note:"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn labels_of_every_origin_train_and_those_by_hand_validate() {
    let folder = cohort();
    insta::assert_snapshot!(folder.done("import --manifest scans.csv --out dataset --size 32"));
    insta::assert_snapshot!(folder.done("inspect dataset"));
    insta::assert_snapshot!(notes(&folder.done(&format!("{FINETUNE} --out run"))));
    let trained = seen(&folder, "run", "training_cases");
    let of = |origin: &str| {
        trained.iter().filter(|(_, o)| o == origin).map(|(case, _)| case.as_str()).collect::<Vec<_>>()
    };
    assert_eq!((of("propagated"), of("predicted")), (vec!["a005", "a006"], vec!["a007"]));
    assert_eq!(of("hand").len(), 4);
    let validated = seen(&folder, "run", "validation_cases");
    assert!(validated.len() == 1 && validated[0].1 == "hand", "{validated:?}");
    let said = folder.done("inspect run");
    assert!(
        said.contains("trained on  7 cases of 7 patients, masks 4 by hand, 2 propagated, 1 predicted\n"),
        "{said}"
    );
    assert!(said.contains("validated   1 case of 1 patient\n"), "{said}");

    // A budget takes those drawn by hand first, and they are split as if there were no others.
    folder.done(&format!("{FINETUNE} --cases 5 --out five"));
    assert_eq!(seen(&folder, "five", "validation_cases"), validated);
    assert!(seen(&folder, "five", "training_cases").iter().all(|(_, origin)| origin == "hand"));
    assert!(!std::fs::read_to_string(folder.at("five/config.toml")).unwrap().contains("label_weight"));
}

#[test]
fn confidence_weighs_and_slices_nobody_looked_at_do_not_train() {
    let folder = cohort();
    folder.done("import --manifest scans.csv --out dataset --size 32");
    folder.done(&format!("{FINETUNE} --out confidence"));
    folder.done(&format!("{FINETUNE} --out same --threads 1"));
    let equal = folder.done(&format!("{FINETUNE} --label-weight equal --out equal"));
    let drawn = folder.done(&format!("{FINETUNE} --label-weight drawn --out drawn"));
    assert!(weights(&folder, "confidence") == weights(&folder, "same"));
    let runs = ["confidence", "equal", "drawn"];
    assert!(runs.map(|run| weights(&folder, run)).windows(2).all(|two| two[0] != two[1]));
    for run in runs {
        let settings = std::fs::read_to_string(folder.at(&format!("{run}/config.toml"))).unwrap();
        assert!(settings.contains(&format!("label_weight = \"{run}\"")), "{settings}");
    }
    insta::assert_snapshot!(notes(&equal) + "\n" + &notes(&drawn));
    let other = folder.polycl(&format!("{FINETUNE} --out equal --label-weight drawn --resume"));
    assert!(other.contains("label_weight"), "{other}");
    assert!(folder.polycl(&format!("{FINETUNE} --label-weight half --out x")).starts_with("exit 2"));
}

#[test]
fn full_confidence_changes_no_bit() {
    let folder = Folder::new();
    folder.done("phantom --out cohort --patients 3 --size 32 --seed 3");
    folder.done("import --manifest cohort/manifest.csv --out dataset --size 32");
    folder.done(&format!("{FINETUNE} --out hand"));
    for row in ["a000", "a001", "a002"] {
        mask(&folder, row, "propagated");
    }
    folder.done("import --images cohort/images --labels propagated --origin propagated --out twin --size 32");
    folder.done(&format!("{} --out believed", FINETUNE.replace("dataset", "twin")));
    // With a table, too, in which every slice is believed in full.
    propagated(&folder, &["a000", "a001", "a002"], 1, |_, _| 1.0);
    folder.done("import --images cohort/images --labels propagated --out table --size 32");
    assert!(std::fs::read_to_string(folder.at("table/index.json")).unwrap().contains("\"trust\""));
    let said = folder.done(&format!("{} --out told", FINETUNE.replace("dataset", "table")));
    assert!(said.contains("3 propagated; all slices count alike\n"), "{said}");
    let places = |run: &str| seen(&folder, run, "training_cases").into_iter().map(|(case, _)| case);
    for run in ["believed", "told"] {
        assert!(places("hand").eq(places(run)));
        assert!(weights(&folder, "hand") == weights(&folder, run), "{run}");
    }
}

#[test]
fn predictions_are_known_again_and_are_no_truth() {
    let folder = cohort();
    folder.done("import --manifest scans.csv --out dataset --size 32");
    folder.done(&format!("{FINETUNE} --out run"));
    folder.done("predict run cohort/images/a000.nii.gz cohort/images/a001.nii.gz --out found");
    let card: Value =
        serde_json::from_slice(&std::fs::read(folder.at("found/polycl.json")).unwrap()).unwrap();
    assert_eq!(card["cases"], serde_json::json!(["a000", "a001"]));
    // A mask that a person puts beside them is the person's.
    mask(&folder, "a002", "found");
    for case in ["a000", "a001", "a002"] {
        let file = format!("{case}.nii.gz");
        std::fs::copy(folder.at(&format!("cohort/images/{file}")), folder.at(&format!("some/{file}")))
            .unwrap();
    }
    let said = folder.done("import --images some --labels found --only liver --out again --size 32");
    assert!(said.contains("3 scans (3 labelled: 1 by hand, 2 predicted)"), "{said}");

    let evaluate =
        |reference: &str| format!("evaluate --reference {reference} --prediction cohort/labels --out scores");
    let refused = [
        folder.refused("import --images some --labels found --origin hand --out other --size 32"),
        folder.refused("import --images some --labels found --origin machine --out other --size 32"),
        folder.refused("import --images some --origin hand --out other --size 32"),
        folder.refused("import --manifest scans.csv --origin hand --out other --size 32"),
        folder.refused(&evaluate("found")),
        folder.refused(&evaluate("propagated")),
        folder.refused(
            &evaluate("propagated/a005.nii.gz").replace("cohort/labels", "cohort/labels/a005.nii.gz"),
        ),
    ];
    insta::assert_snapshot!(refused.join("\n"));
    // Corrected and copied elsewhere, it is a person's.
    mask(&folder, "a005", "corrected");
    folder.done(&evaluate("corrected"));
}

/// A run of the cohort, for its predictions.
fn trained() -> Folder {
    let folder = cohort();
    folder.done("import --manifest scans.csv --out dataset --size 32");
    folder.done(&format!("{FINETUNE} --out run"));
    folder
}

#[test]
fn truth_of_a_machine_is_refused_wherever_truth_is_asked_for() {
    let folder = cohort();
    let (scan, truth) = ("cohort/images/a005.nii.gz", "propagated/a005.nii.gz");
    for line in [
        format!("bench propagate {scan} --truth {truth}"),
        format!("bench refine {scan} --truth {truth}"),
        format!("refine {scan} --mask {truth} --out new/a.nii.gz --picture new/a.png --truth {truth}"),
    ] {
        let said = folder.refused(&line);
        assert!(
            said.starts_with("exit 2") && said.contains("drawn by hand, for only that is truth"),
            "{said}"
        );
    }
}

#[test]
fn a_prediction_in_the_place_of_another_mask_has_no_other_record() {
    let folder = trained();
    let record = |file: &str| std::fs::read_to_string(folder.at(&format!("propagated/{file}"))).unwrap();
    folder.write("propagated/refine.csv", "case,label\na005,1\na006,1\n");
    let scan = "cohort/images/a005.nii.gz";
    std::fs::remove_file(folder.at("propagated/labels.json")).unwrap();
    folder.done(&format!("predict run {scan} --out propagated"));
    assert!(!record("propagate.csv").contains("a005") && record("propagate.csv").contains("a006,1,liver"));
    assert_eq!(record("refine.csv"), "case,label\na006,1\n");
    assert!(record("polycl.json").contains("a005") && !record("polycl.json").contains("a006"));
}

#[test]
fn predictions_of_two_processes_are_both_known() {
    let folder = trained();
    let predict = |case: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_polycl"))
            .args(["predict", "run", &format!("cohort/images/{case}.nii.gz"), "--out", "found"])
            .current_dir(folder.path())
            .spawn()
            .unwrap()
    };
    let cases = ["a000", "a001", "a002", "a003"];
    for mut process in cases.map(predict) {
        assert!(process.wait().unwrap().success());
    }
    let card: Value =
        serde_json::from_slice(&std::fs::read(folder.at("found/polycl.json")).unwrap()).unwrap();
    assert_eq!(card["cases"], serde_json::json!(cases));
}

#[test]
fn a_mask_that_a_person_may_have_drawn_is_not_replaced() {
    let folder = trained();
    mask(&folder, "a000", "mine");
    let before = std::fs::read(folder.at("mine/a000.nii.gz")).unwrap();
    let scan = "cohort/images/a000.nii.gz";
    let out = "--out mine/a000.nii.gz";
    let refused = [
        folder.refused(&format!("predict run {scan} --out mine")),
        folder.refused("predict run cohort/images/a001.nii.gz --out mine"),
        folder.refused(&format!("propagate {scan} --box 9,4,4,9,9 {out}")),
        folder.refused(&format!("refine {scan} --mask cohort/labels/a000.nii.gz {out}")),
    ];
    insta::assert_snapshot!(refused.join("\n"));
    assert!(before == std::fs::read(folder.at("mine/a000.nii.gz")).unwrap());
    // What a machine made may be made again.
    folder.done(&format!("predict run {scan} --out found"));
    folder.done(&format!("predict run {scan} --out found"));
}

#[test]
fn nothing_by_hand_trains_without_validation_and_nothing_that_counts_is_refused() {
    let folder = cohort();
    let rows: Vec<_> =
        ["a005", "a006"].map(|case| format!("cohort/images/{case}.nii.gz,propagated/{case}.nii.gz\n")).into();
    folder.write("scans.csv", &("image,label\n".to_owned() + &rows.concat()));
    folder.done("import --manifest scans.csv --out dataset --size 32");
    let said = notes(&folder.done(&format!("{FINETUNE} --out run")));
    assert!(seen(&folder, "run", "validation_cases").is_empty());
    folder.done("import --images cohort/images --labels masks --out predicted --size 32");
    let plain = notes(&folder.done(&format!("{} --out plain", FINETUNE.replace("dataset", "predicted"))));
    assert!(plain.contains("1 predicted; all slices count alike\n"), "{plain}");
    // Pre-training looks at no mask, whoever drew it.
    folder.done(
        "pretrain predicted --strategy scan --epochs 1 --steps 1 --batch 2 --net resnet18 --out encoder",
    );
    let encoder = folder.done("inspect encoder");
    assert!(encoder.contains("trained on") && !encoder.contains("masks"), "{encoder}");
    let predicted = FINETUNE.replace("dataset", "predicted");
    let refused = folder.refused(&format!("{predicted} --label-weight drawn --out other"));
    insta::assert_snapshot!(said + "\n" + &refused);
}

#[test]
fn a_patient_with_a_hand_drawn_and_a_propagated_scan_stays_on_one_side() {
    let folder = Folder::new();
    folder.done("phantom --out cohort --patients 8 --size 32 --seed 3");
    // Every patient has a scan of each kind.
    propagated(&folder, &["a004", "a005", "a006", "a007"], -2, |_, _| 0.5);
    let row = |case: usize| {
        let labels = if case < 4 { "cohort/labels" } else { "propagated" };
        format!("cohort/images/a00{case}.nii.gz,{labels}/a00{case}.nii.gz,p{}\n", case % 4)
    };
    folder.write("scans.csv", &("image,label,patient\n".to_owned() + &(0..8).map(row).collect::<String>()));
    folder.done("import --manifest scans.csv --out dataset --size 32");
    folder.done(&format!("{FINETUNE} --out run"));
    let card = card(&folder, "run");
    let patients = |group: &str| {
        card[group].as_array().unwrap().iter().map(|s| s["patient"].as_str().unwrap()).collect::<Vec<_>>()
    };
    let (training, validation) = (patients("training_cases"), patients("validation_cases"));
    assert_eq!((training.len(), validation.len()), (6, 1), "the other scan of who validates takes no part");
    assert!(!training.contains(&validation[0]));
    assert_eq!(seen(&folder, "run", "validation_cases")[0].1, "hand");
}

#[test]
fn what_propagate_writes_is_known_to_import() {
    let folder = Folder::new();
    folder.image("scans/a.nii.gz");
    let said =
        folder.polycl("propagate scans/a.nii.gz --box 2,10,8,25,20 --names 1=liver --out volumes/a.nii.gz");
    if said.contains("polycl fetch") {
        eprintln!("skipped: no weights of LiteMedSAM; polycl fetch litemedsam brings them");
        return;
    }
    assert!(said.starts_with("exit 0"), "{said}");
    let said = folder.done("import --images scans --labels volumes --out dataset --size 32");
    assert!(said.contains("1 scan (1 labelled: 1 propagated)"), "{said}");
    let said = folder.refused("evaluate --reference volumes --prediction volumes --out scores");
    assert!(said.contains("volumes/propagate.csv"), "{said}");
}
