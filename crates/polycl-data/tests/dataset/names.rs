use std::collections::BTreeMap;
use std::path::Path;

use polycl_base::Kind;
use polycl_data::pairs;
use polycl_image::legend::Legend;
use polycl_image::{Given, names};

use crate::files::{Folder, LPS, image, mask, plan, salt, shifted_image, space};

fn given(text: &str, base: &Path) -> Legend {
    Given::parse(text, base).unwrap().values().unwrap()
}

#[test]
fn names_are_read_in_every_spelling() {
    let folder = Folder::new();
    let expected = BTreeMap::from([(1, "liver".to_owned()), (2, "spleen".to_owned())]);
    for (file, text) in [
        ("a.json", r#"{"1": "liver", "2": "spleen"}"#),
        ("b.json", r#"{"liver": 1, "spleen": 2}"#),
        ("c.json", r#"{"labels": {"background": 0, "liver": 1, "spleen": 2}, "numTraining": 3}"#),
        ("d.json", r#"{"labels": {"0": "background", "1": "liver", "2": "spleen"}}"#),
        ("e.json", r#"{"1": {"name": "liver", "voxels": 3}, "2": {"name": "spleen"}}"#),
        ("bom.json", "\u{feff}{\"1\": \"liver\", \"2\": \"spleen\"}"),
        ("bom.csv", "\u{feff}id,name\n1,liver\n2,spleen\n"),
        ("f.csv", "group,original_idx,structure,id\norgans,7,liver,1\norgans,8,spleen,2\n"),
    ] {
        assert_eq!(names::read(&folder.write(file, text)).unwrap().names, expected, "{file}");
        assert_eq!(given(file, folder.0.path()).names, expected, "{file}");
    }
    assert_eq!(given("1=liver, 2=spleen", Path::new("")).names, expected);
}

#[test]
fn names_that_make_no_sense_are_refused() {
    let folder = Folder::new();
    for text in [
        "{}",
        "[1, 2]",
        r#"{"labels": {"whole": [1, "core"]}}"#,
        r#"{"1": "liver", "2": "liver"}"#,
        r#"{"liver": 1, "spleen": 1}"#,
        r#"{"1": ""}"#,
        r#"{"liver": 70000}"#,
        r#"{"liver": -1}"#,
        r#"{"liver": 1.5}"#,
        r#"{"liver": null}"#,
    ] {
        assert_eq!(names::read(&folder.write("x.json", text)).unwrap_err().kind, Kind::Labels, "{text}");
    }
    assert_eq!(names::read(&folder.write("x.json", "{")).unwrap_err().kind, Kind::Format);
    for text in ["1=", "=liver", "x=liver", "1=liver,2"] {
        assert_eq!(Given::parse(text, Path::new("")).unwrap_err().kind, Kind::Labels, "{text}");
    }
}

/// Three scans: two conventions for the liver, one of them with a spleen, and none at all.
fn conventions() -> (Folder, Vec<pairs::Pair>) {
    let folder = Folder::new();
    for (case, shift) in [("a", 0.0), ("b", 1.0), ("c", 2.0)] {
        shifted_image(&folder.at(&format!("{case}.nii.gz")), &space(LPS), shift);
    }
    mask(&folder.at("a_mask.nii.gz"), &space(LPS), &[(1, [0, 1], 8)]);
    mask(&folder.at("b_mask.nii.gz"), &space(LPS), &[(5, [2, 3], 8), (1, [4, 4], 8)]);
    let manifest = "image,label,patient,domain,names\n\
        a.nii.gz,a_mask.nii.gz,p,x,1=liver\n\
        b.nii.gz,b_mask.nii.gz,p,y,\"1=spleen,5=liver,7=kidney\"\nc.nii.gz,,,,\n";
    let pairs = pairs::from_manifest(&folder.write("manifest.csv", manifest), None, &salt()).unwrap();
    (folder, pairs)
}

#[test]
fn conventions_are_joined_by_name_and_unnamed_organs_stay_unknown() {
    let (folder, pairs) = conventions();
    let index = folder.import(&plan(pairs)).unwrap();
    let dataset = folder.dataset().unwrap();
    let liver = index.label("liver").unwrap();
    for (scan, slice) in [(0, 0), (1, 2)] {
        let labels = dataset.mask(scan, slice).unwrap();
        assert_eq!(labels.iter().filter(|&&l| l == liver).count(), 256);
    }
    let [a, b, c] = [0, 1, 2].map(|scan| &index.scans[scan]);
    assert_eq!(
        (a.shows("spleen", 4), b.shows("spleen", 4), b.shows("kidney", 4)),
        (None, Some(true), Some(false))
    );
    assert_eq!(c.shows("liver", 0), None);
    assert_eq!((a.patient.as_str(), b.patient.as_str(), c.patient.as_str()), ("p", "p", "c"));
    assert_eq!((a.domain.as_deref(), c.domain.as_deref()), (Some("x"), None));
    let drawn = |organs: &[&str]| {
        let organs = organs.iter().map(|organ| organ.to_string()).collect::<Vec<_>>();
        index.scans.iter().map(|scan| scan.draws(&organs)).collect::<Vec<_>>()
    };
    assert_eq!(drawn(&["liver", "kidney"]), [false, true, false]);
    assert_eq!(drawn(&["lung"]), [false; 3]);
    assert_eq!(dataset.mask(2, 0).unwrap_err().kind, Kind::Labels);
}

#[test]
fn only_the_wanted_organs_are_kept_and_values_stay_where_files_agree() {
    let (folder, pairs) = conventions();
    let mut plan = plan(pairs);
    plan.only = ["spleen".to_owned(), "kidney".to_owned()].into();
    let index = folder.import(&plan).unwrap();
    assert_eq!(index.labels, BTreeMap::from([(1, "spleen".to_owned()), (7, "kidney".to_owned())]));
    assert!(!index.scans[0].labelled() && index.scans[1].labelled());
    plan.only = ["lung".to_owned()].into();
    assert_eq!(folder.import(&plan).unwrap_err().kind, Kind::Labels);
}

#[test]
fn images_of_one_name_are_told_apart_by_their_folders() {
    let folder = Folder::new();
    for name in ["p1/ct.nii.gz", "p2/ct.nii.gz", "other.nii.gz"] {
        image(&folder.at(name), &space(LPS));
    }
    let manifest = folder.write("m.csv", "image\np1/ct.nii.gz\np2/ct.nii.gz\nother.nii.gz\n");
    let cases = |manifest| {
        pairs::from_manifest(manifest, None, &salt()).unwrap().into_iter().map(|p| p.case).collect::<Vec<_>>()
    };
    assert_eq!(cases(&manifest), ["other", "p1_ct", "p2_ct"]);
    let named = folder.write("m.csv", "image,case\np1/ct.nii.gz,first\np2/ct.nii.gz,second\n");
    assert_eq!(cases(&named), ["first", "second"]);
    let long = "x".repeat(201);
    let names = ["../x", "zarr.json", "__x", "a\u{1b}[31mb", "\"a\nb\"", &long];
    let unusable = names.map(|name| format!("image,case\np1/ct.nii.gz,{name}\n"));
    for text in unusable.into_iter().chain(["image\np1/ct.nii.gz\np1/ct.nii.gz\n".to_owned()]) {
        let error = pairs::from_manifest(&folder.write("m.csv", &text), None, &salt()).unwrap_err();
        assert_eq!(error.kind, Kind::Pairing);
    }
    for text in ["label\nx\n", "image,color\nx.nii,red\n", "image,label\nx.nii\n", "image,case\n,a\n"] {
        let error = pairs::from_manifest(&folder.write("m.csv", text), None, &salt()).unwrap_err();
        assert_eq!(error.kind, Kind::Format, "{text}");
    }
}
