//! Layouts of other programs, read and written.

use std::collections::BTreeSet;
use std::path::Path;

use polycl_base::{Kind, Result};
use polycl_data::{Export, Exported, Origin, from_challenge};
use polycl_image::nifti;
use serde_json::Value;

use crate::files::{Folder, LPI, LPS, image, mask, plan, salt, shifted_image, space};

const NNUNET: &str = r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "spleen": 1, "liver": 2},
    "numTraining": 2, "file_ending": ".nii.gz"}"#;
const MSD: &str = r#"{"name": "Spleen", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "spleen", "2": "liver"},
    "numTraining": 2, "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]}"#;

fn challenge(suffix: &str, told: &str) -> Folder {
    let folder = Folder::new();
    for (shift, case) in ["a", "b"].into_iter().enumerate() {
        shifted_image(&folder.at(&format!("raw/imagesTr/{case}{suffix}.nii.gz")), &space(LPI), shift as f32);
        mask(
            &folder.at(&format!("raw/labelsTr/{case}.nii.gz")),
            &space(LPI),
            &[(2, [0, 1], 4), (1, [3, 3], 5)],
        );
        // What macOS leaves on foreign disks.
        folder.write(&format!("raw/imagesTr/._{case}{suffix}.nii.gz"), "resource fork");
        folder.write(&format!("raw/labelsTr/._{case}.nii.gz"), "resource fork");
    }
    shifted_image(&folder.at(&format!("raw/imagesTs/t{suffix}.nii.gz")), &space(LPI), 9.0);
    folder.write("raw/dataset.json", told);
    folder
}

#[test]
fn nnunet_and_the_decathlon_are_read_alike() {
    for (suffix, told) in [("_0000", NNUNET), ("", MSD)] {
        let folder = challenge(suffix, told);
        let (pairs, notes) = from_challenge(&folder.at("raw")).unwrap();
        assert!(matches!(&*notes, [note] if note.ends_with("scans imported without masks: 1")), "{notes:?}");
        let index = folder.import(&plan(pairs)).unwrap();
        let cases: Vec<_> = index.scans.iter().map(|scan| (scan.case.as_str(), scan.labelled())).collect();
        assert_eq!(cases, [("a", true), ("b", true), ("t", false)], "the test set has no masks");
        assert_eq!((index.label("spleen"), index.label("liver")), (Some(1), Some(2)));
        assert_eq!(index.scans[0].presence["liver"], [[4, 5]], "counted from the feet");
    }
}

#[test]
fn what_cannot_be_right_is_refused_or_told() {
    let refused = |told: &str| {
        let error = from_challenge(&challenge("_0000", told).at("raw")).unwrap_err();
        (error.kind, error.found)
    };
    assert_eq!(refused(&NNUNET.replace("\"CT\"", "\"T1\"")), (Kind::Format, "only T1".to_owned()));
    let two = NNUNET.replace("\"0\": \"CT\"", "\"0\": \"T1\", \"1\": \"PET\"");
    assert_eq!(refused(&two), (Kind::Format, "only T1, PET".to_owned()));
    // Of a CT among other channels the CT is taken.
    let two = two.replace("T1", "CT");
    assert_eq!(from_challenge(&challenge("_0000", &two).at("raw")).unwrap().0.len(), 3);
    assert_eq!(refused("{").0, Kind::Format);
    let folder = challenge("_0000", &NNUNET.replace("\"numTraining\": 2", "\"numTraining\": 41"));
    std::fs::remove_file(folder.at("raw/labelsTr/b.nii.gz")).unwrap();
    let (_, notes) = from_challenge(&folder.at("raw")).unwrap();
    assert!(notes[0].contains("names 41 scans, but 2 are there"), "{notes:?}");
    assert!(notes[1].contains("1 of 2 images has no mask and stays unlabelled: b"), "{notes:?}");
    // A broken scan is told of when it is read, and does not stay unlabelled.
    folder.write("raw/imagesTr/b_0000.nii.gz", "broken");
    let (_, notes) = from_challenge(&folder.at("raw")).unwrap();
    assert!(!notes.iter().any(|note| note.contains("no mask and")), "{notes:?}");
}

#[test]
fn a_test_scan_of_a_training_scans_name_and_other_endings_are_told() {
    let folder = challenge("_0000", &NNUNET.replace(".nii.gz", ".mha"));
    shifted_image(&folder.at("raw/imagesTs/a_0000.nii.gz"), &space(LPI), 7.0);
    let (pairs, notes) = from_challenge(&folder.at("raw")).unwrap();
    let cases: Vec<_> = pairs.iter().map(|pair| (pair.case.as_str(), pair.label.is_some())).collect();
    assert_eq!(cases, [("a", true), ("b", true), ("t", false)]);
    for said in
        ["scans end in .mha, but 2 of 2 do not, such as ", "imagesTr has scans of these names: a", "masks: 1"]
    {
        assert!(notes.iter().any(|note| note.contains(said)), "{said}: {notes:?}");
    }
}

/// Three patients: two with whole masks (one of them of a machine), one with the liver alone.
fn exported(organs: &[&str], masks: Option<&str>) -> (Folder, Result<Exported>) {
    let folder = Folder::new();
    let drawn: [(&str, &[_], &str); 3] = [
        ("a", &[(7, [0, 1], 4), (3, [3, 3], 5)], "7=liver,3=spleen"),
        ("b", &[(7, [1, 2], 4), (3, [4, 4], 5)], "7=liver,3=spleen"),
        ("c", &[(7, [1, 2], 4)], "7=liver"),
    ];
    let mut manifest = String::from("image,label,patient,names,origin\n");
    for (shift, (case, boxes, names)) in drawn.into_iter().enumerate() {
        let file = if case == "b" { "b.nii" } else { &format!("{case}.nii.gz") };
        shifted_image(&folder.at(file), &space(LPI), shift as f32);
        mask(&folder.at(&format!("masks/{file}")), &space(LPI), boxes);
        let origin = if case == "b" { "predicted" } else { "hand" };
        manifest += &format!("{file},masks/{file},P{shift},\"{names}\",{origin}\n");
    }
    let manifest = folder.write("m.csv", &manifest);
    let plan = plan(polycl_data::pairs::from_manifest(&manifest, None, &salt()).unwrap());
    folder.import(&plan).unwrap();
    if let Some(masks) = masks {
        mask(&folder.at("more/c.nii.gz"), &space(LPI), &[(1, [1, 2], 4), (2, [5, 5], 3)]);
        folder.write("more/labels.json", masks);
    }
    let dataset = folder.dataset().unwrap();
    let more = folder.at("more/x").parent().unwrap().to_path_buf();
    let export = Export {
        dataset: &dataset,
        organs: organs.iter().map(|organ| (*organ).to_owned()).collect(),
        masks: masks.map(|_| more.as_path()),
    };
    let made = export.write(&folder.at("raw/Dataset501_Test"), &());
    (folder, made)
}

fn set(cases: &[&str]) -> BTreeSet<String> {
    cases.iter().map(|case| (*case).to_owned()).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_exported_data_set_is_nnunets_and_comes_back() {
    let (folder, made) = exported(&[], None);
    let made = made.unwrap();
    assert_eq!((made.organs, made.unlabelled), (vec!["spleen".to_owned(), "liver".into()], 1));
    assert_eq!((made.by_hand, made.by_machine), (set(&["a"]), set(&["b"])));
    let raw = folder.at("raw/Dataset501_Test");
    let told = json(&raw.join("dataset.json"));
    assert_eq!(told["labels"], serde_json::json!({"background": 0, "spleen": 1, "liver": 2}));
    assert_eq!((&told["numTraining"], &told["file_ending"]), (&2.into(), &".nii.gz".into()));
    // A compressed file is the same to the byte, any other the same in voxels and places.
    let bytes = |path: &Path| std::fs::read(path).unwrap();
    assert!(bytes(&raw.join("imagesTr/a_0000.nii.gz")) == bytes(&folder.at("a.nii.gz")));
    let [source, copy] = [folder.at("b.nii"), raw.join("imagesTr/b_0000.nii.gz")]
        .map(|path| nifti::read_image(&path).unwrap());
    assert!(source.voxels == copy.voxels && source.space == copy.space);
    assert!(raw.join("imagesTs/c_0000.nii.gz").is_file(), "its spleen is unknown, not background");
    let written = nifti::read_mask(&raw.join("labelsTr/a.nii.gz")).unwrap();
    let drawn = nifti::read_mask(&folder.at("masks/a.nii.gz")).unwrap();
    let expected: Vec<u16> = drawn
        .voxels
        .iter()
        .map(|v| match v {
            7 => 2,
            3 => 1,
            _ => 0,
        })
        .collect();
    assert!(written.voxels == expected && written.space == drawn.space);

    let (pairs, _) = from_challenge(&raw).unwrap();
    std::fs::remove_dir_all(folder.at("dataset")).unwrap();
    let again = folder.import(&plan(pairs)).unwrap();
    let labelled = again.scans.iter().filter(|scan| scan.labelled());
    let origins: Vec<_> = labelled.map(|scan| (scan.case.as_str(), scan.origin)).collect();
    assert_eq!(origins, [("a", Origin::Hand), ("b", Origin::Predicted)]);
    assert_eq!(
        again.scans.iter().map(|scan| &*scan.case).collect::<Vec<_>>(),
        ["a", "b", "c"],
        "all are back"
    );
}

#[test]
fn fewer_organs_or_further_masks_bring_more_scans() {
    let (folder, made) = exported(&["liver"], None);
    let made = made.unwrap();
    assert_eq!((made.by_hand, made.unlabelled), (set(&["a", "c"]), 0));
    let folds = json(&folder.at("raw/Dataset501_Test/splits_final.json"));
    let folds = folds.as_array().unwrap();
    assert_eq!(folds.len(), 2, "as many as patients whose masks people drew");
    for fold in folds {
        assert!(fold["train"].as_array().unwrap().contains(&"b".into()));
        assert_eq!(fold["val"].as_array().unwrap().len(), 1);
    }

    let (folder, made) = exported(&[], Some(r#"{"liver": 1, "spleen": 2}"#));
    assert_eq!(made.unwrap().by_hand, set(&["a", "c"]));
    let mask = nifti::read_mask(&folder.at("raw/Dataset501_Test/labelsTr/c.nii.gz")).unwrap();
    let count = |label| mask.voxels.iter().filter(|&&voxel| voxel == label).count();
    assert_eq!((count(2), count(1)), (2 * 4 * 32, 3 * 32));
    assert_eq!(exported(&[], Some(r#"{"liver": 1}"#)).1.err().unwrap().kind, Kind::Labels);
}

#[test]
fn what_cannot_be_exported_leaves_nothing() {
    assert_eq!(exported(&["heart"], None).1.err().unwrap().kind, Kind::Labels);
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    folder.import(&folder.plan().unwrap()).unwrap();
    let dataset = folder.dataset().unwrap();
    let export = Export { dataset: &dataset, organs: Vec::new(), masks: None };
    assert_eq!(export.write(&folder.at("out"), &()).err().unwrap().kind, Kind::Labels);
    assert!(!folder.at("out").exists());
}

#[test]
fn nifti_files_are_copied_and_compressed_where_they_are_not() {
    let folder = Folder::new();
    // What a file is called, and what it is called after it was written.
    let names = [("a.nii.gz", "a.nii.gz"), ("b.nii", "b.nii"), ("c.nii", "c.nii.gz"), ("d.nii.gz", "d.nii")];
    for (shift, (written, called)) in names.into_iter().enumerate() {
        let written = folder.at(&format!("written/{written}"));
        shifted_image(&written, &space(LPI), shift as f32);
        std::fs::rename(written, folder.at(&format!("images/{called}"))).unwrap();
        let case = called.split('.').next().unwrap();
        mask(&folder.at(&format!("labels/{case}.nii.gz")), &space(LPI), &[(1, [0, 1], 4)]);
    }
    folder.write("labels/labels.json", r#"{"liver": 1}"#);
    folder.import(&folder.plan().unwrap()).unwrap();
    let dataset = folder.dataset().unwrap();
    Export { dataset: &dataset, organs: Vec::new(), masks: None }.write(&folder.at("raw"), &()).unwrap();
    for (_, called) in names {
        let case = called.split('.').next().unwrap();
        let file = folder.at(&format!("raw/imagesTr/{case}_0000.nii.gz"));
        assert!(std::fs::read(&file).unwrap().starts_with(b"\x1f\x8b"), "{called} is not compressed");
        let [own, exported] =
            [folder.at(&format!("images/{called}")), file].map(|path| nifti::read_image(&path).unwrap());
        assert!(own.voxels == exported.voxels && own.space.native == exported.space.native, "{called}");
    }
}
