use polycl_base::{Error, Kind, Result};
use polycl_data::{Index, Origin, Ranges, Scan, Trust, pairs};
use serde_json::{Value, json};

use crate::files::{Folder, LPI, LPS, image, mask, notes, plan, salt, shifted_image, space};

const HEADER: &str = "case,label,name,slice,origin,pixels,confidence,slip\n";

/// A scan whose mask is named to hold liver and spleen.
fn scan(signs: [f64; 3]) -> Folder {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(signs));
    mask(&folder.at("labels/a.nii.gz"), &space(signs), &[(3, [0, 3], 10)]);
    folder.write("labels/labels.json", r#"{"3": "liver", "4": "spleen"}"#);
    folder
}

/// Slices 0 to 4 of the liver: the third is drawn, the last ends it.
const ROWS: &str = "a,3,liver,0,propagated,320,0.5,\na,3,liver,1,propagated,320,0.7,\n\
                    a,3,liver,2,hand,320,1,\na,3,liver,3,propagated,320,0.9,1.5\na,3,liver,4,propagated,0,0.6,\n";

fn import(folder: &Folder, rows: &str) -> Result<Index> {
    folder.write("labels/propagate.csv", &format!("{HEADER}{rows}"));
    folder.import(&folder.plan()?)
}

/// The folder's origin, as it is told by the files that are there.
fn told(folder: &Folder) -> Result<Origin> {
    let index = folder.import(&folder.plan()?)?;
    std::fs::remove_dir_all(folder.at("dataset")).unwrap();
    Ok(index.scans[0].origin)
}

#[test]
fn slices_of_a_propagated_mask_are_believed_as_far_as_they_say() {
    // Nobody has looked at the sixth slice, but the liver had ended before.
    let up = [0.5, 0.7, 1.0, 0.9, 0.6, 0.6];
    let down = [0.6, 0.6, 0.9, 1.0, 0.7, 0.5];
    for (signs, keep, confidence, drawn) in [
        (LPS, 1.0, &up[..], 2),
        (LPI, 1.0, &down[..], 3),
        // Three slices from the second on.
        (LPS, 0.5, &up[1..4], 1),
        (LPI, 0.5, &down[1..4], 2),
    ] {
        let folder = scan(signs);
        folder.write("labels/propagate.csv", &format!("{HEADER}{ROWS}b,9,,0,hand,1,1,\n"));
        let mut plan = folder.plan().unwrap();
        plan.preprocess.keep = keep;
        folder.import(&plan).unwrap();
        let scan = &folder.dataset().unwrap().index.scans[0];
        assert_eq!(scan.origin, Origin::Propagated);
        let trust = Trust {
            confidence: confidence.iter().copied().map(Some).collect(),
            by_hand: vec![[drawn, drawn]],
        };
        assert_eq!(scan.trust["liver"], trust, "{signs:?} {keep}");
        for (slice, &confidence) in confidence.iter().enumerate() {
            assert_eq!(scan.confidence("liver", slice), confidence);
            assert_eq!(scan.by_hand("liver", slice), slice == drawn);
        }
        let masked = |slice| folder.dataset().unwrap().mask(0, slice).unwrap().contains(&3);
        assert!(masked(drawn), "the drawn slice is where the mask is");
    }
}

/// A liver that was drawn in a sagittal plane, found in two beside it, and followed to both ends.
const SAGITTAL: &str = "case,label,slice,origin,pixels,confidence,plane\n\
                        a,3,2,propagated,0,0.1,sagittal\na,3,3,hand,40,1,sagittal\n\
                        a,3,4,propagated,120,0.5,sagittal\na,3,5,propagated,240,0.75,sagittal\n\
                        a,3,6,propagated,0,0.9,sagittal\n";

#[test]
fn slices_are_believed_as_the_planes_that_cross_them() {
    for signs in [LPS, LPI] {
        let folder = scan(signs);
        let told = |rows: &str| {
            folder.write("labels/propagate.csv", rows);
            let index = folder.import(&folder.plan().unwrap()).unwrap();
            std::fs::remove_dir_all(folder.at("dataset")).unwrap();
            assert_eq!(index.scans[0].origin, Origin::Propagated);
            assert!((0..6).all(|slice| !index.scans[0].by_hand("liver", slice)), "slices that nobody drew");
            (0..6).map(|slice| index.scans[0].confidence("liver", slice)).collect::<Vec<_>>()
        };
        // By pixels: (40 · 1 + 120 · ½ + 240 · ¾) / 400.
        assert_eq!(told(SAGITTAL), [0.7; 6]);
        // From plane to plane no end was seen, or not all between: a part of every slice is unknown.
        for lost in ["a,3,2,", "a,3,4,", "a,3,6,"] {
            let rows: Vec<&str> = SAGITTAL.lines().filter(|row| !row.starts_with(lost)).collect();
            assert_eq!(told(&(rows.join("\n") + "\n")), [0.0; 6], "{lost}");
        }
        // The border of the scan is an end.
        let rows = [
            "a,3,29,hand,40,1",
            "a,3,30,propagated,120,0.5",
            "a,3,31,propagated,240,0.75",
            "a,3,28,propagated,0,1",
        ];
        let rows = rows.map(|row| format!("{row},sagittal\n")).concat();
        assert_eq!(told(&format!("case,label,slice,origin,pixels,confidence,plane\n{rows}")), [0.7; 6]);
    }
}

#[test]
fn masks_of_planes_are_compared_by_all_their_pixels() {
    let folder = scan(LPS);
    let told = |pixels: usize| {
        folder.write("labels/propagate.csv", &SAGITTAL.replace(",240,", &format!(",{},", pixels - 160)));
        let notes = notes(&folder.plan().unwrap(), &folder.at("dataset"));
        std::fs::remove_dir_all(folder.at("dataset")).unwrap();
        notes
    };
    let pixels = 4 * 10 * 32;
    assert!(told(pixels).is_empty());
    assert!(told(pixels - 1)[0].starts_with("a, liver: its mask has changed"));
}

#[test]
fn an_organ_that_was_not_looked_for_is_unknown() {
    let folder = scan(LPS);
    let index = import(&folder, ROWS).unwrap();
    let scan = &index.scans[0];
    assert!(scan.draws(&["liver".to_owned()]) && !scan.draws(&["spleen".to_owned()]));
    assert_eq!(scan.shows("spleen", 0), None);
    let folder = self::scan(LPS);
    let index = import(&folder, &format!("{ROWS}a,4,,1,propagated,0,0.5,\na,4,,3,hand,9,1,\n")).unwrap();
    assert!(index.scans[0].draws(&["spleen".to_owned()]));
    // It ends below; between and above nobody has looked, and it is not known to be absent.
    assert_eq!(
        index.scans[0].trust["spleen"].confidence,
        [Some(0.5), Some(0.5), None, Some(1.0), None, None]
    );
    let shown = |slice| index.scans[0].shows("spleen", slice);
    assert_eq!([0, 1, 2, 3, 4].map(shown), [Some(false), Some(false), None, Some(false), None]);
    // Nothing is drawn of what is kept: the scan is not labelled.
    let folder = self::scan(LPS);
    folder.write("labels/propagate.csv", &format!("{HEADER}{ROWS}"));
    let mut plan = folder.plan().unwrap();
    plan.only = ["spleen".to_owned()].into();
    let index = folder.import(&plan).unwrap();
    assert!(!index.scans[0].labelled() && index.scans[0].origin.is_hand());
}

#[test]
fn one_file_per_structure_may_be_propagated_by_itself() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    mask(&folder.at("labels/a/liver.nii.gz"), &space(LPS), &[(1, [0, 5], 10)]);
    mask(&folder.at("labels/a/spleen.nii.gz"), &space(LPS), &[(1, [0, 1], 2)]);
    folder.write("labels/a/propagate.csv", &format!("{HEADER}liver,1,,5,propagated,320,0.25,\n"));
    let index = folder.import(&folder.plan().unwrap()).unwrap();
    let scan = &index.scans[0];
    assert_eq!(scan.origin, Origin::Propagated);
    assert_eq!([scan.confidence("liver", 5), scan.confidence("liver", 4)], [0.25, 0.0]);
    // The spleen beside it is a person's.
    assert!((0..6).all(|slice| scan.confidence("spleen", slice) == 1.0));
    assert!(scan.all_by_hand("spleen") && !scan.all_by_hand("liver"));
    assert!(scan.draws(&["liver".to_owned(), "spleen".to_owned()]));
}

#[test]
fn a_slice_that_was_looked_at_is_known_however_little_it_is_believed() {
    let folder = scan(LPS);
    let rows = "a,3,liver,1,propagated,320,0,\na,3,liver,2,hand,320,1,\na,3,liver,4,propagated,0,0,\n";
    let index = import(&folder, rows).unwrap();
    let scan = &index.scans[0];
    let shown = [None, Some(true), Some(true), None, Some(false), Some(false)];
    assert_eq!([0, 1, 2, 3, 4, 5].map(|slice| scan.shows("liver", slice)), shown);
    assert_eq!([0, 1, 4, 5].map(|slice| scan.confidence("liver", slice)), [0.0; 4]);
    assert_eq!(folder.dataset().unwrap().index.scans[0].trust, scan.trust, "as it was written");
}

#[test]
fn a_mask_that_is_not_what_propagation_left_is_told() {
    let note = |rows: &str, boxes: &[(u16, [usize; 2], usize)]| {
        let folder = scan(LPI);
        mask(&folder.at("labels/a.nii.gz"), &space(LPI), boxes);
        folder.write("labels/propagate.csv", &format!("{HEADER}{rows}"));
        notes(&folder.plan().unwrap(), &folder.at("dataset"))
    };
    assert!(note(ROWS, &[(3, [0, 3], 10)]).is_empty());
    let changed = [&[(3, [0, 3], 10), (3, [2, 2], 11)][..], &[(3, [0, 4], 10)], &[(3, [1, 3], 10)], &[]];
    for boxes in changed {
        let told = note(ROWS, boxes);
        assert!(told.len() == 1 && told[0].starts_with("a, liver: its mask has changed"), "{told:?}");
        assert!(told[0].contains("another folder"));
    }
    let told = note(ROWS, &[(3, [0, 3], 10), (4, [5, 5], 3)]);
    assert!(told.len() == 1 && told[0].starts_with("a, spleen: ") && told[0].contains("no rows"), "{told:?}");
    // Structures that overlap are counted before they are painted over each other.
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    mask(&folder.at("labels/a/liver.nii.gz"), &space(LPS), &[(1, [5, 5], 10)]);
    mask(&folder.at("labels/a/lesion.nii.gz"), &space(LPS), &[(1, [5, 5], 2)]);
    folder.write("labels/a/propagate.csv", &format!("{HEADER}liver,1,,5,propagated,320,0.25,\n"));
    let told = notes(&folder.plan().unwrap(), &folder.at("dataset"));
    assert!(told.len() == 1 && told[0].contains("more than one structure"), "{told:?}");
}

#[test]
fn ranges_of_a_person_go_over_a_machines_mask() {
    let folder = scan(LPS);
    let file = folder.write("ranges.csv", "scan,organ,first_slice,last_slice\na,liver,0,4\n");
    let import = |origin: Option<Origin>| {
        let mut plan = folder.plan().unwrap();
        plan.pairs[0].origin = origin;
        plan.ranges = Some(Ranges::read(&file).unwrap());
        let told = plan.import(&folder.at("dataset"), false, &())?.index;
        std::fs::remove_dir_all(folder.at("dataset")).unwrap();
        Ok::<_, Error>(told.scans[0].clone())
    };
    for origin in [None, Some(Origin::Hand)] {
        let scan = import(origin).unwrap();
        assert!(
            scan.left_undrawn("liver", 4) && scan.by_hand("liver", 3),
            "a person may have drawn some slices"
        );
    }
    let scan = import(Some(Origin::Predicted)).unwrap();
    assert_eq!(scan.presence["liver"], [[0, 4]]);
    let believed = |scan: &Scan| [0, 3, 4, 5].map(|slice| scan.confidence("liver", slice));
    assert_eq!(believed(&scan), [1.0, 1.0, 0.0, 1.0], "the mask ends too early");
    // Nobody had looked at the first slice before.
    let rows = ROWS.split_once('\n').unwrap().1;
    folder.write("labels/propagate.csv", &format!("{HEADER}{rows}"));
    let scan = import(None).unwrap();
    assert_eq!(
        believed(&scan),
        [0.0, 0.9, 0.0, 1.0],
        "beyond the ends that a person names nothing is to be drawn"
    );
    assert!(scan.by_hand("liver", 5) && !scan.by_hand("liver", 3));
    assert_eq!(scan.shows("liver", 0), Some(true));
    // What a person drew, ranges do not deny.
    folder.write("ranges.csv", "scan,organ,first_slice,last_slice\na,liver,3,3\n");
    assert_eq!(import(None).unwrap_err().kind, Kind::Labels);
}

#[test]
fn probabilities_beside_predictions_are_no_case() {
    let folder = scan(LPS);
    image(&folder.at("labels/probabilities/a_liver.nii.gz"), &space(LPS));
    assert_eq!(folder.plan().map(|_| ()).unwrap_err().kind, Kind::Pairing, "a case of this name");
    folder.write("labels/polycl.json", r#"{"cases": ["a"]}"#);
    assert_eq!(told(&folder).unwrap(), Origin::Predicted);
}

#[test]
fn the_files_beside_a_mask_tell_who_drew_it() {
    let folder = scan(LPS);
    let record = |name: &str, text: &str| {
        let file = folder.write(&format!("labels/{name}"), text);
        let origin = told(&folder);
        std::fs::remove_file(file).unwrap();
        origin.unwrap()
    };
    assert_eq!(told(&folder).unwrap(), Origin::Hand);
    assert_eq!(record("propagate.csv", &format!("{HEADER}{ROWS}")), Origin::Propagated);
    assert_eq!(record("propagate.csv", &format!("{HEADER}b,3,,0,hand,1,1,\n")), Origin::Hand);
    assert_eq!(record("polycl.json", r#"{"cases": ["a"], "weights": ""}"#), Origin::Predicted);
    assert_eq!(record("polycl.json", r#"{"cases": ["b"]}"#), Origin::Hand);
    assert_eq!(record("polycl.json", r#"{"trained_on": []}"#), Origin::Predicted, "an earlier version's");
    assert_eq!(record("refine.csv", "case,label\na,3\n"), Origin::Predicted);
    assert_eq!(record("refine.csv", "case,label\nb,3\n"), Origin::Hand);
}

#[test]
fn of_several_records_the_least_believable_counts() {
    let folder = scan(LPS);
    folder.write("labels/propagate.csv", &format!("{HEADER}{ROWS}"));
    for (file, text) in [("polycl.json", r#"{"cases": ["a"]}"#), ("refine.csv", "case,label\na,3\n")] {
        let file = folder.write(&format!("labels/{file}"), text);
        let index = folder.import(&folder.plan().unwrap()).unwrap();
        assert_eq!(index.scans[0].origin, Origin::Predicted, "{text}");
        assert!(index.scans[0].trust.is_empty(), "what the slices of another mask were");
        std::fs::remove_dir_all(folder.at("dataset")).unwrap();
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn white_space_around_a_case_hides_nothing() {
    for (file, text) in [
        ("propagate.csv", format!("{HEADER}{}", ROWS.replace("a,3", "a ,3"))),
        ("polycl.json", r#"{"cases": ["a "]}"#.to_owned()),
        ("refine.csv", "case,label\na ,3\n".to_owned()),
    ] {
        let folder = scan(LPS);
        for kind in ["images", "labels"] {
            std::fs::rename(folder.at(&format!("{kind}/a.nii.gz")), folder.at(&format!("{kind}/a .nii.gz")))
                .unwrap();
        }
        folder.write(&format!("labels/{file}"), &text);
        assert_ne!(told(&folder).unwrap(), Origin::Hand, "{file}");
    }
}

#[test]
#[cfg(unix)]
fn a_chain_of_links_is_followed_step_by_step() {
    use std::os::unix::fs::symlink;
    let folder = scan(LPS);
    std::fs::rename(folder.at("labels/a.nii.gz"), folder.at("far/b.nii.gz")).unwrap();
    folder.write("middle/polycl.json", r#"{"cases": ["m"]}"#);
    symlink(folder.at("far/b.nii.gz"), folder.at("middle/m.nii.gz")).unwrap();
    symlink("../middle/m.nii.gz", folder.at("labels/a.nii.gz")).unwrap();
    assert_eq!(told(&folder).unwrap(), Origin::Predicted);
    std::fs::remove_file(folder.at("middle/polycl.json")).unwrap();
    assert_eq!(told(&folder).unwrap(), Origin::Hand);
    // Links in a circle end nowhere, and are no mask.
    std::fs::remove_file(folder.at("middle/m.nii.gz")).unwrap();
    symlink(folder.at("labels/a.nii.gz"), folder.at("middle/m.nii.gz")).unwrap();
    assert_eq!(told(&folder).unwrap_err().kind, Kind::Io);
}

#[test]
#[cfg(unix)]
fn a_link_does_not_make_a_prediction_a_label_of_a_hand() {
    let folder = scan(LPS);
    std::fs::rename(folder.at("labels/a.nii.gz"), folder.at("masks/a.nii.gz")).unwrap();
    folder.write("masks/polycl.json", r#"{"cases": ["a"]}"#);
    std::os::unix::fs::symlink(folder.at("masks/a.nii.gz"), folder.at("labels/a.nii.gz")).unwrap();
    assert_eq!(told(&folder).unwrap(), Origin::Predicted);
}

#[test]
fn an_origin_may_be_stated_but_a_hand_not_against_the_files() {
    let folder = scan(LPS);
    shifted_image(&folder.at("images/b.nii.gz"), &space(LPS), 1.0);
    mask(&folder.at("labels/b.nii.gz"), &space(LPS), &[(3, [1, 3], 10)]);
    folder.write("labels/propagate.csv", &format!("{HEADER}{ROWS}"));
    let stated = |a: &str, b: &str| {
        let row = |case: &str, origin: &str| format!("images/{case}.nii.gz,labels/{case}.nii.gz,{origin}\n");
        let rows = format!("image,label,origin\n{}{}", row("a", a), row("b", b));
        let index =
            folder.import(&plan(pairs::from_manifest(&folder.write("m.csv", &rows), None, &salt())?))?;
        std::fs::remove_dir_all(folder.at("dataset")).unwrap();
        Ok::<_, Error>([index.scans[0].origin, index.scans[1].origin])
    };
    assert_eq!(stated("", "").unwrap(), [Origin::Propagated, Origin::Hand]);
    assert_eq!(stated("predicted", "hand").unwrap(), [Origin::Predicted, Origin::Hand]);
    assert_eq!(stated("propagated", "propagated").unwrap(), [Origin::Propagated, Origin::Propagated]);
    let error = stated("hand", "hand").unwrap_err();
    assert_eq!((error.kind, error.file()), (Kind::Request, Some(&*folder.at("labels/a.nii.gz"))));
    assert!(error.found.contains("propagate.csv") && error.hint.unwrap().contains("another folder"));
    assert_eq!(stated("", "machine").unwrap_err().kind, Kind::Format);
    let rows = "image,label,origin\nimages/a.nii.gz,,hand\n";
    assert_eq!(
        pairs::from_manifest(&folder.write("m.csv", rows), None, &salt()).unwrap_err().kind,
        Kind::Format
    );
}

#[test]
fn tables_of_propagation_that_make_no_sense_are_refused() {
    for rows in [
        "a,3,liver,6,propagated,1,0.5,\n",
        "a,3,liver,-1,propagated,1,0.5,\n",
        "a,3,liver,1.5,propagated,1,0.5,\n",
        "a,3,liver,99999999999999999999,propagated,1,0.5,\n",
        "a,0,,1,propagated,1,0.5,\n",
        "a,70000,,1,propagated,1,0.5,\n",
        "a,liver,,1,propagated,1,0.5,\n",
        "a,3,liver,1,predicted,1,0.5,\n",
        "a,3,liver,1,,1,0.5,\n",
        "a,3,liver,1,propagated,1,1.01,\n",
        "a,3,liver,1,propagated,1,-0.1,\n",
        "a,3,liver,1,propagated,1,NaN,\n",
        "a,3,liver,1,propagated,1,inf,\n",
        "a,3,liver,1,propagated,1,,\n",
        ",3,liver,1,propagated,1,0.5,\n",
        "a,3,liver,1,propagated\n",
        "a,3,liver,1,propagated,-1,0.5,\n",
        "a,3,liver,1,propagated,1,0.5,\na,3,liver,1,hand,1,1,\n",
    ] {
        let folder = scan(LPS);
        let error = import(&folder, rows).unwrap_err();
        assert_eq!(
            (error.kind, error.file()),
            (Kind::Format, Some(&*folder.at("labels/propagate.csv"))),
            "{rows}"
        );
        assert!(!folder.0.path().join("dataset").exists());
    }
    for (file, text) in [
        ("propagate.csv", "case,label,slice,origin,pixels\na,3,1,hand,9\n"),
        ("propagate.csv", ""),
        ("propagate.csv", &format!("{SAGITTAL}a,3,7,propagated,0,1,axial\n")),
        ("propagate.csv", &format!("{SAGITTAL}a,3,7,propagated,0,1,oblique\n")),
        ("propagate.csv", &format!("{SAGITTAL}a,3,32,propagated,0,1,sagittal\n")),
        ("polycl.json", "{"),
        ("polycl.json", r#"{"cases": "a"}"#),
        ("refine.csv", "scan\na\n"),
    ] {
        let folder = scan(LPS);
        let file = folder.write(&format!("labels/{file}"), text);
        let error = told(&folder).unwrap_err();
        assert_eq!((error.kind, error.file()), (Kind::Format, Some(&*file)), "{text}");
    }
}

#[test]
fn a_data_set_drawn_by_hand_says_nothing_of_origins() {
    let folder = scan(LPS);
    folder.import(&folder.plan().unwrap()).unwrap();
    let text = std::fs::read_to_string(folder.at("dataset/index.json")).unwrap();
    assert!(!text.contains("origin") && !text.contains("trust"), "{text}");
    assert!(folder.dataset().unwrap().index.scans[0].by_hand("liver", 0));
}

#[test]
fn trust_that_cannot_be_is_refused() {
    let folder = scan(LPS);
    import(&folder, ROWS).unwrap();
    let whole = std::fs::read_to_string(folder.at("dataset/index.json")).unwrap();
    let trust = |confidence: &[f64], by_hand| json!({"confidence": confidence, "by_hand": by_hand});
    for (key, value) in [
        ("origin", json!("machine")),
        ("origin", json!("hand")),
        ("trust", json!({"liver": trust(&[1.0; 5], [[0, 0]])})),
        ("trust", json!({"liver": trust(&[1.5; 6], [[0, 0]])})),
        ("trust", json!({"liver": trust(&[1.0; 6], [[5, 6]])})),
        ("trust", json!({"liver": {"confidence": [1, 1, 1, 1, 1, "0"], "by_hand": []}})),
    ] {
        let mut index: Value = serde_json::from_str(&whole).unwrap();
        index["scans"][0][key] = value.clone();
        folder.write("dataset/index.json", &index.to_string());
        assert_eq!(folder.dataset().map(|_| ()).unwrap_err().kind, Kind::Format, "{key} {value}");
    }
    folder.write("dataset/index.json", &whole);
    folder.dataset().unwrap();
}
