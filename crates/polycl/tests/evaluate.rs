//! What a person sees of `polycl evaluate`, and of masks that cannot be scored.

mod common;

use polycl_data::Origin;
use polycl_image::preprocess::Preprocess;
use polycl_image::{Image, Mask, nifti};
use polycl_nn::net::{EncoderConfig, Net};
use polycl_nn::train::{RunCard, RunKind, Seen};

use common::{Folder, boxes, space};

const FOLDERS: &str = "evaluate --reference reference --prediction prediction --out scores";

fn liver(shift: usize) -> Mask {
    boxes(space(), &[(1, [5 + shift, 8, 1], [15 + shift, 20, 4])])
}

fn liver_and_spleen(shift: usize) -> Mask {
    boxes(space(), &[(1, [5 + shift, 8, 1], [15 + shift, 20, 4]), (5, [25, 8, 1], [31, 14 + shift, 3])])
}

/// Four cases: found well, found less well, the spleen missed, and no spleen in either.
fn scans() -> Folder {
    let folder = Folder::new();
    folder.mask("reference/a.nii.gz", &liver_and_spleen(0)).mask("prediction/a.nii.gz", &liver_and_spleen(1));
    folder.mask("reference/b.nii.gz", &liver_and_spleen(2)).mask("prediction/b.nii.gz", &liver_and_spleen(5));
    folder.mask("reference/c.nii.gz", &liver_and_spleen(1)).mask("prediction/c.nii.gz", &liver(1));
    folder.mask("reference/d.nii.gz", &liver(0)).mask("prediction/d.nii.gz", &liver(0));
    folder.write("reference/labels.json", r#"{"1": "liver", "5": "spleen"}"#);
    folder
}

/// One case with the same mask twice.
fn one() -> Folder {
    let folder = Folder::new();
    folder.mask("reference/a.nii.gz", &liver(0)).mask("prediction/a.nii.gz", &liver(0));
    folder
}

#[test]
fn a_table_and_two_files() {
    let folder = scans();
    insta::assert_snapshot!(folder.polycl(FOLDERS));
    insta::assert_snapshot!(std::fs::read_to_string(folder.at("scores/cases.csv")).unwrap());
    assert!(folder.at("scores/summary.json").is_file());
}

#[test]
fn other_policies() {
    let folder = scans();
    insta::assert_snapshot!(folder.polycl(&format!("{FOLDERS} --empty skip --tolerance 5")));
    insta::assert_snapshot!(folder.polycl(&format!("{FOLDERS} --empty nan --labels 5")));
}

#[test]
fn two_files_and_a_prediction_without_a_reference() {
    let folder = scans();
    let files = "--reference reference/a.nii.gz --prediction prediction/b.nii.gz";
    insta::assert_snapshot!(folder.polycl(&format!("evaluate {files} --out scores")));
    folder.mask("prediction/e.nii.gz", &liver(0));
    insta::assert_snapshot!(folder.polycl(&format!("{FOLDERS} --labels 1")));
}

#[test]
fn cases_that_trained_the_model() {
    let folder = scans();
    folder.write(
        "prediction/polycl.json",
        r#"{"trained_on": ["a"], "validated_on": ["b"], "pretrained_on": ["d"], "polycl": "0.1.0"}"#,
    );
    insta::assert_snapshot!(folder.polycl(FOLDERS));
    assert_eq!(seen(&folder), ["training", "validation", "no", "pretraining"]);

    std::fs::remove_file(folder.at("prediction/polycl.json")).unwrap();
    folder.write("run/run.json", &run_card());
    insta::assert_snapshot!(folder.polycl(&format!("{FOLDERS} --run run")));
    assert_eq!(seen(&folder), ["no", "validation", "training", "no"]);
}

/// What `cases.csv` says of each case's part in the training.
fn seen(folder: &Folder) -> Vec<String> {
    let cases = std::fs::read_to_string(folder.at("scores/cases.csv")).unwrap();
    cases.lines().skip(1).step_by(2).map(|row| row.split(',').nth(4).unwrap().to_owned()).collect()
}

/// A run that was trained on another scan of patient c and chosen by b.
fn run_card() -> String {
    let seen = |case: &str, patient: &str| Seen {
        case: case.into(),
        patient: patient.into(),
        fingerprint: "00".repeat(32),
        origin: Origin::Hand,
    };
    let card = RunCard {
        polycl_run: 1,
        model: RunKind::Contrastive(EncoderConfig::published(Net::Unet)),
        preprocess: Preprocess::default(),
        organs: Vec::new(),
        regions: Vec::new(),
        flips: false,
        dataset: String::new(),
        training_cases: vec![seen("c_early", "c")],
        validation_cases: vec![seen("b", "b")],
        pretraining_cases: Vec::new(),
    };
    serde_json::to_string(&card).unwrap()
}

#[test]
fn masks_without_a_label() {
    let folder = Folder::new();
    let nothing = boxes(space(), &[]);
    folder.mask("reference/a.nii.gz", &nothing).mask("prediction/a.nii.gz", &nothing);
    insta::assert_snapshot!(folder.polycl(FOLDERS));
}

#[test]
fn a_missing_prediction() {
    let folder = scans();
    std::fs::remove_file(folder.at("prediction/b.nii.gz")).unwrap();
    insta::assert_snapshot!(folder.refused(FOLDERS));
}

#[test]
fn a_prediction_of_another_affine() {
    let mut moved = liver(0);
    moved.space.world_from_voxel.translation.z += 5.0;
    insta::assert_snapshot!(one().mask("prediction/a.nii.gz", &moved).refused(FOLDERS));
}

#[test]
fn a_prediction_of_another_shape() {
    let mut taller = space();
    taller.shape[2] = 6;
    insta::assert_snapshot!(one().mask("prediction/a.nii.gz", &boxes(taller, &[])).refused(FOLDERS));
}

#[test]
fn folders_without_masks() {
    let folder = Folder::new();
    folder.write("reference/readme.txt", "none yet").write("prediction/readme.txt", "none yet");
    insta::assert_snapshot!(folder.refused(FOLDERS));
    insta::assert_snapshot!(
        one().refused("evaluate --reference nowhere --prediction prediction --out scores")
    );
    insta::assert_snapshot!(
        one().refused("evaluate --reference reference --prediction prediction/a.nii.gz --out scores")
    );
}

#[test]
fn two_predictions_for_one_case() {
    insta::assert_snapshot!(one().mask("prediction/a.nii", &liver(0)).refused(FOLDERS));
}

#[test]
fn an_image_in_place_of_a_mask() {
    let folder = one();
    let voxels = (0..space().voxels()).map(|voxel| voxel as f32 - 0.5).collect();
    let image = Image { space: space(), voxels };
    nifti::write_image(&folder.at("prediction/a.nii.gz"), &image).unwrap();
    insta::assert_snapshot!(folder.refused(FOLDERS));
}

#[test]
fn values_that_make_no_sense() {
    let folder = one();
    for wrong in ["--labels 1,9", "--labels 0", "--empty best", "--tolerance=-1", "--run nowhere"] {
        insta::assert_snapshot!(folder.refused(&format!("{FOLDERS} {wrong}")));
    }
    insta::assert_snapshot!(
        folder.polycl("evaluate --reference reference --prediction prediction --out /proc/x")
    );
    folder.write("prediction/polycl.json", "{}");
    insta::assert_snapshot!(folder.refused(FOLDERS));
}

#[test]
fn labels_are_matched_by_name() {
    let folder = Folder::new();
    let blob = |label| boxes(space(), &[(label, [5, 5, 1], [15, 15, 4])]);
    folder.mask("truth/a.nii.gz", &blob(5)).write("truth/labels.json", r#"{"1": "spleen", "5": "liver"}"#);
    folder.mask("masks/a.nii.gz", &blob(1)).write("masks/labels.json", r#"{"1": "liver"}"#);
    insta::assert_snapshot!(folder.done("evaluate --reference truth --prediction masks --out scores"));
    folder.write("masks/labels.json", r#"{"1": "liver", "7": "heart"}"#);
    let said = folder.done("evaluate --reference truth --prediction masks --out more");
    let note = "note: masks/labels.json: not scored, as truth/labels.json does not name them: heart";
    assert!(said.contains(note) && said.contains("5 liver      1  1.000"), "{said}");
    folder.write("masks/labels.json", r#"{"1": "heart"}"#);
    insta::assert_snapshot!(folder.refused("evaluate --reference truth --prediction masks --out other"));
    folder.write("masks/labels.json", r#"{"2": "liver"}"#);
    insta::assert_snapshot!(folder.refused("evaluate --reference truth --prediction masks --out other"));
}

#[test]
fn references_that_the_network_proposed_itself_are_left_out() {
    let folder = one();
    folder.mask("reference/b.nii.gz", &liver(1)).mask("prediction/b.nii.gz", &liver(0));
    let columns = "case,label,name,slice,mark,pixels,confidence,proposed_by,reviewed_by,reviewed_at,odd";
    let row = |case: &str, by: &str| format!("{case},1,liver,1,viewed,120,,{by},Ann,1,\n");
    let record = |a: &str, b: &str| {
        folder.write("reference/reviewed.csv", &format!("{columns}\n{}{}", row("a", a), row("b", b)));
    };
    let made = |trained: &str| {
        let rest = r#""cases": ["a", "b"], "validated_on": [], "pretrained_on": []"#;
        let card = format!(r#"{{"weights": "1f", "trained_on": {trained}, {rest}}}"#);
        folder.write("prediction/polycl.json", &card);
    };
    let evaluate = || folder.polycl(&format!("{FOLDERS} --accept-reviewed"));
    made("[]");
    record("run 1f; interpolation", "run 2e");
    let one_proposed = evaluate();
    record("run 1f", "litemedsam; run 1f");
    let both_proposed = evaluate();
    record("run 2e", "run 2e");
    made(r#"["b"]"#);
    let one_trained = evaluate();
    insta::assert_snapshot!([one_proposed, both_proposed, one_trained].join("\n"));
}

/// The record of `polycl serve` beside a reference.
fn reviewed(folder: &Folder, done: &str) {
    let columns = "case,label,name,slice,mark,pixels,confidence,proposed_by,reviewed_by,reviewed_at,odd";
    let row = format!("a,1,liver,1,viewed,120,0.9000,litemedsam,{done},");
    folder.write("reference/reviewed.csv", &format!("{columns}\n{row}\n"));
}

#[test]
fn reviewed_references_count_on_request_alone_and_are_not_replaced() {
    let folder = one();
    reviewed(&folder, "Ann,1");
    let refused = folder.polycl(FOLDERS);
    let accepted = folder.polycl(&format!("{FOLDERS} --accept-reviewed"));
    // Nobody has called this one done.
    reviewed(&folder, ",");
    let undone = folder.polycl(&format!("{FOLDERS} --accept-reviewed"));
    folder.image("a.nii.gz");
    reviewed(&folder, "Ann,1");
    let replaced = folder.polycl("propagate a.nii.gz --box 1,5,8,14,19 --out reference/a.nii.gz");
    insta::assert_snapshot!([refused, accepted, undone, replaced].join("\n"));
}
