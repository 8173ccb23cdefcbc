//! What is odd about scans and masks: told, noted in the data set, and decided by a person.

use polycl_base::Kind;
use polycl_data::provenance::{Records, settle};
use polycl_data::{Export, Origin, Record, from_dicom, pairs};
use polycl_fixtures::dicom::FILES;
use polycl_image::nifti::Form;
use polycl_image::{Folder as Scans, Input, files};

use crate::files::{Folder, LPS, image, mask, notes, plan, salt, space};
use crate::patients::with;

/// Gives the header of a NIfTI file another qform: slices 4 mm apart, 1.5 mm to the side.
fn contradict(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[88..92].copy_from_slice(&4.0_f32.to_le_bytes());
    let x = f32::from_le_bytes(bytes[268..272].try_into().unwrap());
    bytes[268..272].copy_from_slice(&(x + 1.5).to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

fn contradictory(scan: bool) -> Folder {
    let folder = Folder::new();
    image(&folder.at("images/a.nii"), &space(LPS));
    mask(&folder.at("labels/a.nii"), &space(LPS), &[(1, [0, 1], 4)]);
    folder.write("labels/labels.json", r#"{"liver": 1}"#);
    if scan {
        contradict(&folder.at("images/a.nii"));
    }
    contradict(&folder.at("labels/a.nii"));
    folder
}

#[test]
fn headers_that_contradict_themselves_are_told_and_a_person_decides() {
    let folder = contradictory(true);
    let told = |trust: Option<Form>, out: &str| {
        let mut plan = folder.plan().unwrap();
        plan.pairs = plan.pairs.into_iter().map(|pair| pair.trusting(trust)).collect();
        let said = notes(&plan, &folder.at(out));
        (said, polycl_data::Dataset::open(&folder.at(out)).unwrap())
    };
    // Both the scan and its mask say so: once is enough.
    let (said, dataset) = told(None, "plain");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("the sform is taken"), "{said:?}");
    let scan = &dataset.index.scans[0];
    assert_eq!((scan.spacing, scan.image.trust), ([1.0, 1.0, 3.0], None));
    assert_eq!(format!("a: {}", scan.notes[0]), said[0]);
    let (said, dataset) = told(Some(Form::Qform), "trusted");
    assert!(said.len() == 1 && said[0].ends_with("the qform is taken"), "{said:?}");
    let scan = &dataset.index.scans[0];
    assert_eq!((scan.spacing, scan.image.trust), ([1.0, 1.0, 4.0], Some(Form::Qform)));
    // What is read again is read in the same way.
    let truth = dataset.truth(0).unwrap();
    assert_eq!(truth.space.spacing(), [1.0, 1.0, 4.0]);
    assert_eq!(Input::at(&scan.image).unwrap().space().unwrap(), truth.space);
    let export = Export { dataset: &dataset, organs: Vec::new(), masks: None };
    export.write(&folder.at("raw"), &()).unwrap();
    let image = folder.at("raw/imagesTr/a_0000.nii.gz");
    assert_eq!(files::read_space(&image).unwrap().spacing(), [1.0, 1.0, 4.0]);
    assert_eq!(files::notes(&image).unwrap(), Vec::<String>::new());
}

#[test]
fn a_mask_that_contradicts_itself_is_told_where_its_scan_does_not() {
    let folder = contradictory(false);
    let said = notes(&folder.plan().unwrap(), &folder.at("out"));
    assert!(said.len() == 1 && said[0].starts_with("a: its mask: sform and qform"), "{said:?}");
    let index = polycl_data::Index::read(&folder.at("out")).unwrap();
    assert_eq!(index.scans[0].notes.len(), 1);
}

#[test]
fn another_form_trusted_is_another_scan_when_an_import_goes_on() {
    let folder = contradictory(true);
    let out = folder.at("dataset");
    folder.import(&folder.plan().unwrap()).unwrap();
    let mut plan = folder.plan().unwrap();
    plan.pairs = plan.pairs.into_iter().map(|pair| pair.trusting(Some(Form::Qform))).collect();
    let index = plan.import(&out, true, &()).unwrap().index;
    assert_eq!((index.scans.len(), index.scans[0].spacing[2]), (1, 4.0));
}

#[test]
fn a_healthy_data_set_has_no_notes() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    mask(&folder.at("labels/a.nii.gz"), &space(LPS), &[(1, [0, 1], 4)]);
    folder.write("labels/labels.json", r#"{"liver": 1}"#);
    assert_eq!(notes(&folder.plan().unwrap(), &folder.at("out")), Vec::<String>::new());
    let text = std::fs::read_to_string(folder.at("out/index.json")).unwrap();
    assert!(!text.contains("notes") && !text.contains("trust"), "{text}");
}

#[test]
fn a_data_set_whose_scans_have_moved_says_so() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    mask(&folder.at("labels/a.nii.gz"), &space(LPS), &[(1, [0, 1], 4)]);
    folder.write("labels/labels.json", r#"{"liver": 1}"#);
    folder.import(&folder.plan().unwrap()).unwrap();
    std::fs::rename(folder.at("labels"), folder.at("moved")).unwrap();
    let error = folder.dataset().unwrap().truth(0).unwrap_err();
    assert!(error.kind == Kind::Io && error.hint.unwrap().contains("import"));
    std::fs::rename(folder.at("images"), folder.at("moved too")).unwrap();
    let index = folder.dataset().unwrap().index;
    let error = Input::at(&index.scans[0].image).unwrap_err();
    assert!(error.kind == Kind::Io && error.hint.unwrap().contains("import"));
}

/// DICOM slices of one series, in a folder.
fn slices(folder: &Folder) {
    let own = FILES.iter().filter(|(name, _)| name.starts_with("axial/"));
    own.for_each(|(name, data)| std::fs::write(folder.at(&name.replace("axial/", "scan/")), data).unwrap());
}

#[test]
fn dicom_slices_are_the_scan_of_a_folder_and_what_lies_beside_them_is_told() {
    let folder = Folder::new();
    slices(&folder);
    let scan = folder.at("scan");
    let alone = Input::open(&scan, None).unwrap().notes().unwrap();
    image(&folder.at("scan/converted.nii.gz"), &space(LPS));
    mask(&folder.at("scan/result.nii.gz"), &space(LPS), &[(1, [0, 1], 4)]);
    let told = "DICOM slices are the scan; files of other formats beside them are left out: 2";
    // One scan, as inspect, refine and propagate take it.
    let input = Input::open(&scan, None).unwrap();
    assert!(matches!(input, Input::Series { .. }));
    assert_eq!(input.notes().unwrap(), [alone, vec![told.to_owned()]].concat());
    // All scans, as predict takes them.
    let (found, said) = pairs::unlabelled(std::slice::from_ref(&scan), &salt()).unwrap();
    assert!(found.len() == 1 && matches!(found[0].image, Input::Series { .. }));
    assert!(said.iter().any(|note| note.ends_with(told)), "{said:?}");
    assert_eq!(from_dicom(&scan, &[], &salt()).unwrap().0.len(), 1);
    // Of files alone --images speaks.
    let (found, said) = pairs::from_folders(&scan, None, None).unwrap();
    assert_eq!(found.len(), 2);
    let series = "DICOM series beside them are not: 1 (import those with --dicom)";
    assert!(said.iter().any(|note| note.ends_with(series)), "{said:?}");
}

#[test]
fn the_one_file_of_a_folder_is_its_scan_and_of_several_one_must_be_named() {
    let folder = Folder::new();
    image(&folder.at("scan/a.nii.gz"), &space(LPS));
    folder.write("scan/readme.txt", "nothing");
    assert_eq!(Scans::of(&folder.at("scan")).unwrap(), Scans::Files(vec![folder.at("scan/a.nii.gz")]));
    assert_eq!(Input::open(&folder.at("scan"), None).unwrap().path(), folder.at("scan/a.nii.gz"));
    image(&folder.at("scan/b.nii.gz"), &space(LPS));
    let error = Input::open(&folder.at("scan"), None).unwrap_err();
    assert!(error.kind == Kind::Request && error.found.starts_with("2 files"), "{error}");
}

#[test]
fn letters_in_another_spelling_are_the_same_name() {
    let (one, two) = ("M\u{fc}ller", "Mu\u{308}ller");
    let folder = Folder::new();
    image(&folder.at(&format!("images/{two}.nii.gz")), &space(LPS));
    mask(&folder.at(&format!("labels/{one}.nii.gz")), &space(LPS), &[(1, [0, 1], 4)]);
    folder.write("labels/labels.json", r#"{"liver": 1}"#);
    let index = folder.import(&folder.plan().unwrap()).unwrap();
    assert_eq!((index.scans[0].case.as_str(), index.scans[0].labelled()), (one, true));
    // Records and tables, too.
    folder.write("labels/polycl.json", &format!(r#"{{"cases": ["{two}"]}}"#));
    let label = folder.at(&format!("labels/{one}.nii.gz"));
    assert_eq!(Records::default().maker(&label).unwrap().unwrap().origin, Origin::Predicted);
    settle(&folder.at("labels"), one, &[]).unwrap();
    assert!(Records::default().maker(&label).unwrap().is_none());
    let rows = format!("image,label,names\nimages/{one}.nii.gz,labels\\{two}.nii.gz,1=liver\n");
    let manifest = folder.write("manifest.csv", &rows);
    let found = pairs::from_manifest(&manifest, None, &salt()).unwrap();
    assert_eq!(found[0].image.path(), folder.at(&format!("images/{two}.nii.gz")));
    assert_eq!(found[0].label.as_ref().unwrap().path(), label);
}

#[test]
fn records_are_settled_as_spreadsheets_save_them() {
    let folder = Folder::new();
    let table = "\u{feff}case;label;slice;origin;pixels;confidence\r\na;1;0;hand;4;1\r\nb;1;0;hand;4;1\r\n";
    folder.write("propagate.csv", table);
    settle(folder.0.path(), "a", &[]).unwrap();
    let text = std::fs::read_to_string(folder.at("propagate.csv")).unwrap();
    assert_eq!(text, "case,label,slice,origin,pixels,confidence\nb,1,0,hand,4,1\n");
    settle(folder.0.path(), "c", &[Record::Propagate]).unwrap();
}

#[test]
fn rows_are_counted_past_empty_lines() {
    let folder = Folder::new();
    let table = folder.write("m.csv", "image,patient\r\n\r\na.nii,1\r\n\r\n\r\n,2\r\n");
    let error = pairs::from_manifest(&table, None, &salt()).unwrap_err();
    assert_eq!(error.found, "an empty cell in line 6");
    let table = folder.write("m.csv", "image,patient\n\na.nii,\"1\n2\"\n\nb.nii\n");
    let error = pairs::from_manifest(&table, None, &salt()).unwrap_err();
    assert_eq!((error.found.as_str(), error.kind), ("1 in line 6", Kind::Format));
}

/// As much of a DICOM segmentation as says who drew it.
fn segmentation(word: &str, vr: bool) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM\x02\0\x02\0UI\x1c\x001.2.840.10008.5.1.4.1.1.66.4\0\x62\0\x08\0");
    let even = format!("{word}{}", if word.len() % 2 == 1 { " " } else { "" });
    let length = even.len() as u32;
    bytes.extend(if vr { [b'C', b'S', length as u8, 0] } else { length.to_le_bytes() });
    bytes.extend(even.into_bytes());
    bytes
}

#[test]
fn a_segmentation_beside_a_mask_says_who_drew_it() {
    let words =
        [("AUTOMATIC", Origin::Predicted), ("SEMIAUTOMATIC", Origin::Propagated), ("MANUAL", Origin::Hand)];
    for (word, origin) in words {
        for vr in [true, false] {
            let folder = Folder::new();
            image(&folder.at("images/a.nii.gz"), &space(LPS));
            mask(&folder.at("labels/a.nii.gz"), &space(LPS), &[(1, [0, 1], 4)]);
            folder.write("labels/labels.json", r#"{"liver": 1}"#);
            std::fs::write(folder.at("labels/a.dcm"), segmentation(word, vr)).unwrap();
            let mut plan = folder.plan().unwrap();
            let said = notes(&plan, &folder.at("out"));
            assert_eq!(said.len(), usize::from(origin != Origin::Hand), "{said:?}");
            assert!(said.iter().all(|note| note.contains(&format!("count as {origin},"))), "{said:?}");
            assert_eq!(folder.import(&plan).unwrap().scans[0].origin, origin);
            std::fs::remove_dir_all(folder.at("dataset")).unwrap();
            plan.pairs[0].origin = Some(Origin::Hand);
            assert_eq!(folder.import(&plan).unwrap().scans[0].origin, Origin::Hand, "{word}, corrected");
            // A record of ours knows better.
            let rows =
                "case,label,slice,origin,pixels,confidence\na,1,0,hand,128,1\na,1,1,propagated,128,0.5\n";
            folder.write("labels/propagate.csv", rows);
            let maker = Records::default().maker(&folder.at("labels/a.nii.gz")).unwrap().unwrap();
            assert_eq!((maker.origin, maker.program), (Origin::Propagated, None));
        }
    }
}

#[test]
fn a_segmentation_in_the_place_of_a_scan_is_called_one() {
    let folder = Folder::new();
    let ct = with(&FILES["axial/d0/002"], *b"\x08\0\x60\0CS", "SEG");
    let seg = with(&ct, *b"\x08\0\x16\0UI", "1.2.840.10008.5.1.4.1.1.66.4");
    std::fs::write(folder.at("export/a.dcm"), seg).unwrap();
    for path in ["export", "export/a.dcm"].map(|name| folder.at(name)) {
        let error = pairs::unlabelled(&[path], &salt()).map(drop).unwrap_err();
        assert!(error.found.contains("SEG"), "{error}");
        assert!(error.hint.unwrap().starts_with("give the folder that holds the CT slices"));
    }
    folder.write("export/a.dcm", "no image at all");
    for path in ["export", "export/a.dcm"].map(|name| folder.at(name)) {
        let error = pairs::unlabelled(&[path], &salt()).map(drop).unwrap_err();
        assert!(error.hint.unwrap().ends_with("or give a folder of DICOM slices"));
    }
}

#[test]
fn other_programs_are_told_once_for_all_their_masks() {
    let folder = Folder::new();
    for (shift, case) in ["a", "b", "c"].into_iter().enumerate() {
        crate::files::shifted_image(&folder.at(&format!("images/{case}.nii.gz")), &space(LPS), shift as f32);
        let label = folder.at(&format!("labels/{case}/segmentations/liver.nii.gz"));
        mask(&label, &space(LPS), &[(1, [0, 1], 4)]);
        folder.write(&format!("labels/{case}/segmentations/statistics.json"), "{}");
    }
    let said = notes(&folder.plan().unwrap(), &folder.at("out"));
    assert!(said.len() == 1 && said[0].contains("and 2 more: say that TotalSegmentator"), "{said:?}");
}

#[test]
fn a_folder_that_is_named_like_a_mask_is_called_a_folder() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    mask(&folder.at("labels/a.nii.gz/a.nii"), &space(LPS), &[(1, [0, 1], 4)]);
    folder.write("labels/labels.json", r#"{"liver": 1}"#);
    let error = folder.plan().map(drop).unwrap_err();
    assert_eq!(error.found, "a folder of that name");
    assert!(error.hint.unwrap().ends_with("a.nii.gz/a.nii"));
    let pairs = pairs::from_folders(&folder.at("labels"), None, None).unwrap().0;
    assert_eq!(plan(pairs).import(&folder.at("out"), false, &()).unwrap_err().found, "a folder of that name");
}
