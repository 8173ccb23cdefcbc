//! nnU-Net's label `ignore` and its regions, from a folder to the data set and back.

use std::collections::BTreeSet;

use polycl_base::Kind;
use polycl_data::{Export, Exported, Index, from_challenge, pairs};
use polycl_image::legend::IGNORED;
use polycl_image::{names, nifti};
use serde_json::{Value, json};

use crate::files::{Folder, LPS, image, mask, plan, salt, shifted_image, space};

/// A folder of nnU-Net's with one scan.
fn challenge(labels: &Value, boxes: &[(u16, [usize; 2], usize)]) -> Folder {
    let folder = Folder::new();
    image(&folder.at("raw/imagesTr/a_0000.nii.gz"), &space(LPS));
    mask(&folder.at("raw/labelsTr/a.nii.gz"), &space(LPS), boxes);
    let told =
        json!({"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"});
    folder.write("raw/dataset.json", &told.to_string());
    folder
}

fn imported(folder: &Folder) -> Index {
    folder.import(&plan(from_challenge(&folder.at("raw")).unwrap().0)).unwrap()
}

/// What is exported, and the labels of its `dataset.json`.
fn exported(folder: &Folder, organs: &[&str]) -> (Exported, Value) {
    let organs = organs.iter().map(|&organ| organ.to_owned()).collect();
    let made =
        Export { dataset: &folder.dataset().unwrap(), organs, masks: None }.write(&folder.at("out"), &());
    let told = std::fs::read(folder.at("out/dataset.json")).unwrap();
    (made.unwrap(), serde_json::from_slice(&told).unwrap())
}

/// Slices from the feet: nothing, the liver beside `ignore`, background beside `ignore`, `ignore`, the liver, nothing.
fn half_annotated(spelling: &str) -> Folder {
    let boxes = [(3, [1, 2], 20), (1, [1, 1], 4), (3, [3, 3], 32), (1, [4, 4], 4)];
    challenge(&json!({"background": 0, "liver": 1, "spleen": 2, spelling: 3}), &boxes)
}

#[test]
fn voxels_that_nobody_annotated_are_neither_organ_nor_background() {
    let folder = half_annotated("ignore");
    let index = imported(&folder);
    assert_eq!(Vec::from_iter(index.labels.values()), ["liver", "spleen"]);
    let scan = &index.scans[0];
    assert_eq!((scan.ignored.as_slice(), scan.blank.as_slice()), (&[[1, 3]][..], &[[3, 3]][..]));
    let shown = [0, 1, 2, 3, 4, 5].map(|slice| scan.shows("liver", slice));
    assert_eq!(shown, [Some(false), Some(true), None, None, Some(true), Some(false)]);
    assert!(scan.wholly_by_hand(&["liver".to_owned()]), "what is annotated is truth");
    let dataset = folder.dataset().unwrap();
    let count = |slice: usize, label: u16| {
        dataset.mask(0, slice).unwrap().into_iter().filter(|&voxel| voxel == label).count()
    };
    assert_eq!([1, 2, 3, 4].map(|slice| count(slice, IGNORED)), [16 * 32, 20 * 32, 32 * 32, 0]);
    assert_eq!([1, 4].map(|slice| count(slice, 1)), [4 * 32; 2]);
    // As if nothing had changed, nothing is imported once more.
    let again = plan(from_challenge(&folder.at("raw")).unwrap().0);
    assert_eq!(again.import(&folder.at("dataset"), true, &()).unwrap().kept, 1);
}

#[test]
fn what_nobody_annotated_is_exported_as_nnunet_wants_it() {
    let folder = half_annotated("Ignore");
    let index = imported(&folder);
    let (made, told) = exported(&folder, &[]);
    assert_eq!(made.ignored, Some(3));
    assert_eq!(told["labels"], json!({"background": 0, "liver": 1, "spleen": 2, "ignore": 3}));
    assert!(told.get("regions_class_order").is_none());
    let [before, after] = ["raw", "out"]
        .map(|raw| nifti::read_mask(&folder.at(&format!("{raw}/labelsTr/a.nii.gz"))).unwrap().voxels);
    assert!(before == after);
    // One organ alone: the value is the last one.
    std::fs::remove_dir_all(folder.at("out")).unwrap();
    let (made, told) = exported(&folder, &["spleen"]);
    assert_eq!(
        (made.ignored, &told["labels"]),
        (Some(2), &json!({"background": 0, "spleen": 1, "ignore": 2}))
    );
    // And back.
    std::fs::remove_dir_all(folder.at("dataset")).unwrap();
    let again = folder.import(&plan(from_challenge(&folder.at("out")).unwrap().0)).unwrap();
    assert_eq!(
        (&again.scans[0].ignored, &again.scans[0].blank),
        (&index.scans[0].ignored, &index.scans[0].blank)
    );
}

#[test]
fn an_index_without_either_is_as_it_was() {
    let folder = challenge(&json!({"background": 0, "liver": 1}), &[(1, [1, 2], 4)]);
    imported(&folder);
    let text = std::fs::read_to_string(folder.at("dataset/index.json")).unwrap();
    assert!(["ignored", "blank", "regions"].iter().all(|key| !text.contains(key)), "{text}");
}

/// BraTS' regions: oedema is 1, necrosis 2, what enhances 3.
fn tumour() -> Folder {
    let labels = json!({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3});
    challenge(&labels, &[(1, [1, 3], 12), (2, [2, 3], 8), (3, [3, 3], 4)])
}

#[test]
fn regions_are_kept_and_train_as_their_parts() {
    let folder = tumour();
    let index = imported(&folder);
    let labels: Vec<_> = index.labels.iter().map(|(&value, name)| (value, name.as_str())).collect();
    assert_eq!(labels, [(1, "whole (1)"), (2, "core (2)"), (3, "enhancing")]);
    let parts = |organ: &str| index.parts(&[organ.to_owned()]);
    assert_eq!(parts("whole"), ["whole (1)", "core (2)", "enhancing"]);
    assert_eq!(parts("core"), ["core (2)", "enhancing"]);
    assert_eq!(parts("enhancing"), ["enhancing"]);
    assert_eq!(index.scans[0].presence["core (2)"], [[2, 3]]);
}

/// nnU-Net paints regions in the order of `regions_class_order`, each over those before it.
#[test]
fn regions_are_exported_as_they_came() {
    let folder = tumour();
    let index = imported(&folder);
    let (_, told) = exported(&folder, &[]);
    assert_eq!(told["labels"], json!({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}));
    assert_eq!(told["regions_class_order"], json!([1, 2, 3]));
    let names = names::read(&folder.at("out/dataset.json")).unwrap().names;
    assert_eq!(names, index.labels);
    // A region alone is its parts, and another of which parts are missing is none.
    std::fs::remove_dir_all(folder.at("out")).unwrap();
    let (made, told) = exported(&folder, &["core"]);
    assert_eq!(made.organs, ["core (2)", "enhancing"]);
    assert_eq!(told["labels"], json!({"background": 0, "core": [1, 2], "enhancing": 2}));
    assert_eq!(told["regions_class_order"], json!([1, 2]));
}

#[test]
fn values_of_more_than_one_meaning_are_refused() {
    for labels in [
        json!({"whole": [1, 2], "core": 2, "ignore": 2}),
        json!({"whole": [1, 2], "ignore": [3, 4]}),
        json!({"whole": [0, 1]}),
        json!({"whole": [1, 2], "whole (1)": [1, 2, 3]}),
        json!({"whole": [1, 2], "whole (1)": 5}),
        json!({"": [1, 2]}),
        json!({"whole": [0, 0]}),
    ] {
        let folder = challenge(&labels, &[(1, [1, 2], 4)]);
        assert_eq!(from_challenge(&folder.at("raw")).unwrap_err().kind, Kind::Labels, "{labels}");
    }
    let folder = Folder::new();
    for (shift, (case, core)) in [("a", "[2, 3]"), ("b", "[2, 4]")].into_iter().enumerate() {
        shifted_image(&folder.at(&format!("{case}.nii.gz")), &space(LPS), shift as f32);
        mask(&folder.at(&format!("{case}/mask.nii.gz")), &space(LPS), &[(1, [1, 2], 4)]);
        folder
            .write(&format!("{case}/labels.json"), &format!(r#"{{"whole": [1, 2, 3, 4], "core": {core}}}"#));
    }
    let rows = "image,label\na.nii.gz,a/mask.nii.gz\nb.nii.gz,b/mask.nii.gz\n";
    let plan = plan(pairs::from_manifest(&folder.write("m.csv", rows), None, &salt()).unwrap());
    assert_eq!(folder.import(&plan).unwrap_err().kind, Kind::Labels);
}

#[test]
fn organs_and_values_that_are_kept_do_not_take_in_the_ignored() {
    let folder = half_annotated("ignore");
    let mut plan = plan(from_challenge(&folder.at("raw")).unwrap().0);
    plan.only = BTreeSet::from(["ignore".to_owned()]);
    assert_eq!(folder.import(&plan).unwrap_err().kind, Kind::Labels);
    plan.only = BTreeSet::from(["spleen".to_owned()]);
    let index = folder.import(&plan).unwrap();
    assert_eq!(index.scans[0].blank, [[3, 3]]);
    assert_eq!(index.scans[0].shows("spleen", 2), None);
    let folder = challenge(&json!({"liver": IGNORED, "ignore": 2}), &[(2, [1, 2], 4)]);
    let plan = crate::files::plan(from_challenge(&folder.at("raw")).unwrap().0);
    assert_eq!(folder.import(&plan).unwrap_err().kind, Kind::Labels);
}

/// A `dataset.json` may have another order than that of size: later labels are painted over earlier ones.
#[test]
fn regions_are_painted_as_they_were() {
    let labels = json!({"background": 0, "enhancing": 3, "core": [2, 3], "whole": [1, 2, 3], "ignore": 4});
    let folder = challenge(&labels, &[(1, [1, 3], 12), (2, [2, 3], 8), (3, [3, 3], 4)]);
    let told = |order: Value| {
        let file = folder.at("raw/dataset.json");
        let mut told: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        told["regions_class_order"] = order;
        folder.write("raw/dataset.json", &told.to_string());
        plan(from_challenge(&folder.at("raw")).unwrap().0)
    };
    for wrong in [json!([3, 2]), json!([2, 3, 1]), json!([3, 2, 1, 4])] {
        let error = folder.import(&told(wrong)).unwrap_err();
        assert!(error.kind == Kind::Labels && error.hint.is_some(), "{error}");
    }
    let index = folder.import(&told(json!([3, 2, 1]))).unwrap();
    let own = |region: polycl_data::Region| (region.name, region.organs.len(), region.painted);
    let painted = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let organs: Vec<String> = index.labels.values().cloned().collect();
        Vec::from_iter(index.painted(&organs, &names).into_iter().map(own))
    };
    let of = |name: &str, organs, painted: &str| (name.to_owned(), organs, painted.to_owned());
    let [enhancing, core, whole] =
        [of("enhancing", 1, "enhancing"), of("core", 2, "core (2)"), of("whole", 3, "whole (1)")];
    assert_eq!(painted(&[]), [enhancing.clone(), core.clone(), whole.clone()]);
    assert_eq!(painted(&["whole", "enhancing"]), [enhancing, whole]);
    let (_, told) = exported(&folder, &[]);
    assert_eq!(told["labels"], json!({"background": 0, "enhancing": 3, "core": [2, 3], "whole": [1, 2, 3]}));
    assert_eq!(told["regions_class_order"], json!([3, 2, 1]));
}
