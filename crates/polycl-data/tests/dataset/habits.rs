//! Files as other programs and people leave them: read as they were meant, or refused.

use polycl_base::Kind;
use polycl_data::{Origin, from_challenge, pairs};
use polycl_image::orient::Reorientation;
use polycl_image::{Given, files, names, nifti};

use crate::files::{Folder, LPI, LPS, image, mask, notes, plan, salt, space};

fn utf16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn tables_are_read_as_spreadsheets_save_them() {
    let plain = "image,label,patient,names\nimages/ä 1.nii.gz,labels/m.nii.gz,P1,liver.csv\n";
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let tables = [
        plain.as_bytes().to_vec(),
        marked(plain),
        marked(&plain.replace(',', ";").replace('\n', "\r\n")),
        plain.replace(',', "\t").into_bytes(),
        plain.replace('\n', "\r").into_bytes(),
        format!("{plain},,,\r\n\r\n").into_bytes(),
        plain.replace("image,label,patient", "Image,LABEL,Patient").into_bytes(),
        utf16(&plain.replace('\n', "\r\n")),
    ];
    for (number, table) in tables.into_iter().enumerate() {
        let folder = Folder::new();
        image(&folder.at("images/ä 1.nii.gz"), &space(LPS));
        mask(&folder.at("labels/m.nii.gz"), &space(LPS), &[(3, [0, 1], 4)]);
        folder.write("liver.csv", "id;name\r\n3;liver\r\n");
        std::fs::write(folder.at("manifest.csv"), table).unwrap();
        let pairs = pairs::from_manifest(&folder.at("manifest.csv"), None, &salt()).unwrap();
        let index = folder.import(&plan(pairs)).unwrap();
        assert_eq!(
            (index.label("liver"), index.scans[0].patient.as_str()),
            (Some(3), "P1"),
            "table {number}"
        );
    }
}

#[test]
fn text_in_an_unknown_code_is_refused_and_lines_are_counted_right() {
    let folder = Folder::new();
    std::fs::write(folder.at("latin.csv"), b"image\n\xe4.nii\n").unwrap();
    let error = pairs::from_manifest(&folder.at("latin.csv"), None, &salt()).unwrap_err();
    assert_eq!(error.kind, Kind::Io);
    assert!(error.to_string().contains("UTF-8"), "{error}");
    let table = folder.write("empty.csv", "image,patient\r\na.nii,1\r\n,2\r\n");
    let error = pairs::from_manifest(&table, None, &salt()).unwrap_err();
    assert_eq!(error.found, "an empty cell in line 3");
}

#[test]
fn names_are_refused_where_a_value_has_two() {
    let folder = Folder::new();
    for twice in [r#"{"1": "liver", "1": "spleen"}"#, r#"{"labels": {"liver": 1, "liver": 2}}"#] {
        let error = names::read(&folder.write("labels.json", twice)).unwrap_err();
        assert_eq!(error.kind, Kind::Format);
        assert!(error.found.contains("twice"), "{error}");
    }
}

#[test]
fn numbers_of_labels_are_read_as_people_write_them() {
    let folder = Folder::new();
    for told in [
        r#"{"labels": {"background": 0, "liver": 1.0, "spleen": 2.0}}"#,
        r#"{"labels": {"background": "0", "liver": "1", "spleen": "2"}}"#,
        r#"{"labels": {"background": 0, "liver": [1], "spleen": [2]}}"#,
        r#"{"0": "background", "1.0": "liver", "2": "spleen"}"#,
    ] {
        let names = names::read(&folder.write("dataset.json", told)).unwrap().names;
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            [(1, "liver".into()), (2, "spleen".into())],
            "{told}"
        );
    }
    for wrong in [r#"{"liver": 1.5}"#, r#"{"liver": -1}"#, r#"{"liver": [1, 2.5]}"#] {
        assert_eq!(
            names::read(&folder.write("dataset.json", wrong)).unwrap_err().kind,
            Kind::Labels,
            "{wrong}"
        );
    }
}

#[test]
fn a_ct_is_known_however_dataset_json_spells_it() {
    for channel in [
        r#""modality": "CT""#,
        r#""modality": ["CT"]"#,
        r#""channel_names": {"CT": 0}"#,
        r#""channel_names": {"0": "ct"}"#,
    ] {
        let folder = Folder::new();
        image(&folder.at("raw/imagesTr/a_0000.nii.gz"), &space(LPS));
        folder.write("raw/dataset.json", &format!("\u{feff}{{{channel}, \"labels\": {{\"liver\": 1}}}}"));
        assert_eq!(from_challenge(&folder.at("raw")).unwrap().0.len(), 1, "{channel}");
    }
}

#[test]
fn a_list_of_files_in_dataset_json_is_followed() {
    let folder = Folder::new();
    image(&folder.at("elsewhere/i.nii.gz"), &space(LPS));
    mask(&folder.at("elsewhere/l.nii.gz"), &space(LPS), &[(1, [0, 1], 4)]);
    let told = |images: &str| {
        format!(
            r#"{{"channel_names": {{"0": "CT"}}, "labels": {{"liver": 1}},
            "dataset": {{"c": {{"images": [{images}], "label": "../elsewhere/l.nii.gz"}}}}}}"#
        )
    };
    folder.write("raw/dataset.json", &told(r#""../elsewhere/i.nii.gz""#));
    let index = folder.import(&plan(from_challenge(&folder.at("raw")).unwrap().0)).unwrap();
    assert_eq!((index.scans[0].case.as_str(), index.scans[0].labelled()), ("c", true));
    folder.write("raw/dataset.json", &told(""));
    assert_eq!(from_challenge(&folder.at("raw")).unwrap_err().found, "0 images");
}

#[test]
fn a_mask_in_another_order_of_axes_gives_the_same_slices() {
    let imported = |order: Option<Reorientation>| {
        let folder = Folder::new();
        image(&folder.at("images/a.nii.gz"), &space(LPI));
        let label = folder.at("labels/a.nii.gz");
        mask(&label, &space(LPI), &[(1, [0, 1], 4), (2, [3, 5], 9)]);
        if let Some(order) = order {
            nifti::write_mask(&label, &order.apply(&files::read_mask(&label).unwrap())).unwrap();
        }
        folder.write("labels/labels.json", r#"{"liver": 1, "spleen": 2}"#);
        assert_eq!(notes(&folder.plan().unwrap(), &folder.at("other")).len(), usize::from(order.is_some()));
        folder.import(&folder.plan().unwrap()).unwrap();
        let dataset = folder.dataset().unwrap();
        let truth = dataset.truth(0).unwrap().voxels;
        (0..6).map(|slice| dataset.mask(0, slice).unwrap()).chain([truth]).collect::<Vec<_>>()
    };
    for (axes, flip) in [([1, 2, 0], [true, false, true]), ([0, 1, 2], [true, true, true])] {
        assert_eq!(imported(Some(Reorientation { axes, flip })), imported(None));
    }
}

#[test]
fn probabilities_beside_masks_are_no_second_mask() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    mask(&folder.at("labels/a.nii.gz"), &space(LPS), &[(1, [0, 1], 4)]);
    folder.write("labels/a.npz", "probabilities");
    folder.write("labels/labels.json", r#"{"liver": 1}"#);
    assert_eq!(folder.import(&folder.plan().unwrap()).unwrap().scans.len(), 1);
}

#[test]
fn masks_of_other_programs_are_no_truth_unless_a_person_says_so() {
    for (record, program) in [
        ("labels/predict_from_raw_data_args.json", "nnU-Net"),
        ("labels/plans.json", "nnU-Net"),
        ("labels/a.pkl", "nnU-Net"),
        ("labels/plans.pkl", "nnU-Net"),
        ("labels/summary.json", "nnU-Net"),
        ("labels/a/segmentations/statistics.json", "TotalSegmentator"),
    ] {
        let folder = Folder::new();
        image(&folder.at("images/a.nii.gz"), &space(LPS));
        let structures = record.contains("segmentations");
        let label = if structures { "labels/a/segmentations/liver.nii.gz" } else { "labels/a.nii.gz" };
        mask(&folder.at(label), &space(LPS), &[(1, [0, 1], 4)]);
        folder.write("labels/labels.json", r#"{"liver": 1}"#);
        folder.write(record, r#"{"metric_per_case": []}"#);
        let mut plan = folder.plan().unwrap();
        let said = notes(&plan, &folder.at("other"));
        assert!(said.len() == 1 && said[0].contains(program), "{said:?}");
        assert_eq!(folder.import(&plan).unwrap().scans[0].origin, Origin::Predicted, "{record}");
        std::fs::remove_dir_all(folder.at("dataset")).unwrap();
        plan.pairs[0].origin = Some(Origin::Hand);
        let index = folder.import(&plan).unwrap();
        assert_eq!(index.scans[0].origin, Origin::Hand, "{record}, corrected");
        let overridden = format!("that {program} made it (predicted)");
        assert!(index.scans[0].notes.iter().any(|note| note.ends_with(&overridden)), "{record}");
    }
}

#[test]
fn what_networks_of_monai_label_made_is_told_from_what_people_submitted() {
    let folder = Folder::new();
    for (kind, origin) in [("original", Origin::Predicted), ("final", Origin::Hand)] {
        image(&folder.at("images/a.nii.gz"), &space(LPS));
        let labels = folder.at(&format!("labels/{kind}/a.nii.gz"));
        mask(&labels, &space(LPS), &[(1, [0, 1], 4)]);
        let names = Given::parse("1=liver", folder.0.path()).unwrap();
        let pairs = pairs::from_folders(&folder.at("images"), labels.parent(), Some(&names)).unwrap().0;
        assert_eq!(folder.import(&plan(pairs)).unwrap().scans[0].origin, origin);
        std::fs::remove_dir_all(folder.at("dataset")).unwrap();
    }
}

/// A segmentation as 3D Slicer saves it: the box in which something is drawn, and names in the header. `space` is LPS.
fn segmentation(folder: &Folder, layers: [&str; 2]) {
    let header = format!(
        "NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\nsizes: 32 4 2\n\
         space directions: (1,0,0) (0,1,0) (0,0,3)\nkinds: domain domain domain\nencoding: raw\n\
         space origin: (-7,3,14)\nSegment0_Name:=liver\nSegment0_LabelValue:=3\nSegment0_Layer:={}\n\
         Segment0_Extent:=0 31 0 3 0 1\nSegment1_Name:=spleen\nSegment1_LabelValue:=7\nSegment1_Layer:={}\n\
         PatientName:=Jane\n\n",
        layers[0], layers[1]
    );
    let voxels = [[3; 128], [7; 128]].concat();
    std::fs::write(folder.at("labels/a.seg.nrrd"), [header.as_bytes(), &voxels].concat()).unwrap();
}

#[test]
fn segmentations_of_slicer_are_masks_with_their_own_names() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    segmentation(&folder, ["0", "0"]);
    assert_eq!(notes(&folder.plan().unwrap(), &folder.at("other")), Vec::<String>::new());
    folder.import(&folder.plan().unwrap()).unwrap();
    let dataset = folder.dataset().unwrap();
    let index = &dataset.index;
    assert_eq!((index.label("liver"), index.label("spleen")), (Some(3), Some(7)));
    let presence = &index.scans[0].presence;
    assert_eq!((&presence["liver"], &presence["spleen"]), (&vec![[1, 1]], &vec![[2, 2]]));
    let count = |slice: usize, label| dataset.mask(0, slice).unwrap().iter().filter(|&&v| v == label).count();
    assert_eq!((count(1, 3), count(2, 7), count(1, 7)), (128, 128, 0));
    std::fs::remove_dir_all(folder.at("dataset")).unwrap();
    // Labels of two layers may be the same numbers, and lie over each other.
    segmentation(&folder, ["0", "1"]);
    let path = folder.at("labels/a.seg.nrrd");
    let text = std::fs::read(&path).unwrap();
    let end = text.windows(2).position(|two| two == b"\n\n").unwrap();
    let header = String::from_utf8_lossy(&text[..end]).replace("dimension: 3\nspace", "dimension: 4\nspace");
    let header = header.replace("sizes: 32", "sizes: 2 32").replace("directions: (", "directions: none (");
    let header = header.replace("kinds:", "kinds: list").replace("LabelValue:=7", "LabelValue:=3");
    std::fs::write(&path, [header.as_bytes(), &text[end..], &text[end + 2..]].concat()).unwrap();
    let error = folder.plan().map(drop).unwrap_err();
    assert_eq!((error.kind, error.found.as_str()), (Kind::Labels, "layers of liver; spleen"));
}

#[test]
fn scans_in_folders_below_are_told() {
    let folder = Folder::new();
    for name in ["images/a.nii.gz", "images/p1/b.nii.gz", "images/masks/a.nii.gz"] {
        image(&folder.at(name), &space(LPS));
    }
    let images = folder.at("images");
    let told = format!(
        "{}: folders in it are not searched, and hold scans, too: {}",
        images.display(),
        images.join("p1/b.nii.gz").display()
    );
    assert_eq!(pairs::from_folders(&images, None, None).unwrap().1, [told.as_str()]);
    assert_eq!(pairs::unlabelled(&[images], &salt()).unwrap().1, [told]);
}

/// The cases of images of these names, and what is said of them.
fn cases(names: &[&str], told: Option<&str>) -> (Vec<String>, Vec<String>) {
    let folder = Folder::new();
    names.iter().for_each(|name| image(&folder.at(&format!("raw/imagesTr/{name}.nii.gz")), &space(LPS)));
    told.iter().for_each(|told| drop(folder.write("raw/dataset.json", told)));
    let images = folder.at("raw/imagesTr");
    let (pairs, notes) = pairs::from_folders(&images, None, None).unwrap();
    let (again, said) = pairs::unlabelled(&[images], &salt()).unwrap();
    let names = |pairs: Vec<pairs::Pair>| Vec::from_iter(pairs.into_iter().map(|pair| pair.case));
    let (pairs, again) = (names(pairs), names(again));
    assert_eq!((&pairs, &notes), (&again, &said), "import and predict see the same scans");
    (pairs, notes)
}

#[test]
fn channels_of_a_scan_are_told_from_numbered_patients() {
    assert_eq!(cases(&["a_0000", "b_0000", "c"], None), (["a", "b", "c"].map(String::from).to_vec(), vec![]));
    // Two scans with the same channels.
    let (found, notes) = cases(&["a_0000", "a_0001", "b_0000", "b_0001"], None);
    assert_eq!(found, ["a", "b"]);
    assert!(notes[0].contains("channels: 0000 is taken"), "{notes:?}");
    // One name with many numbers; the first is no other than the others.
    let (found, notes) = cases(&["amos_0000", "amos_0001", "amos_0002"], None);
    assert_eq!(found, ["amos_0000", "amos_0001", "amos_0002"]);
    assert!(notes[0].contains("are patients"), "{notes:?}");
    // As many numbers are no channels.
    let many = ["a", "b"].map(|site| (0..6).map(move |at| format!("{site}_{at:04}")));
    let many = Vec::from_iter(many.into_iter().flatten());
    assert_eq!(cases(&Vec::from_iter(many.iter().map(String::as_str)), None).0, many);
    // What the folder says counts.
    let two = r#"{"channel_names": {"0": "CT", "1": "PET"}}"#;
    assert_eq!(cases(&["a_0000", "a_0001"], Some(two)).0, ["a"]);
    // The CT is not always the first.
    let turned = r#"{"channel_names": {"0": "PET", "1": "CT"}}"#;
    let (found, notes) = cases(&["a_0000", "a_0001"], Some(turned));
    assert_eq!(found, ["a"]);
    assert!(notes[0].contains("channels: 0001 is taken"), "{notes:?}");
    // A PET alone is no CT for lack of another.
    let (found, notes) = cases(&["a_0000", "a_0001", "b_0000", "c_0001"], Some(turned));
    assert_eq!(found, ["a", "c"]);
    assert!(notes.iter().any(|note| note.contains("1 file of others without it")), "{notes:?}");
    let one = r#"{"channel_names": {"0": "CT"}}"#;
    assert_eq!(cases(&["a_0000", "a_0001", "b_0000", "b_0001"], Some(one)).0.len(), 4);
}

#[test]
fn masks_tell_channels_from_patients() {
    let found = |mask: &str| {
        let folder = Folder::new();
        ["a_0000", "a_0001"].iter().for_each(|name| {
            image(&folder.at(&format!("images/{name}.nii.gz")), &space(LPS));
        });
        mask_of(&folder, mask);
        Vec::from_iter(folder.plan().unwrap().pairs.into_iter().map(|pair| (pair.case, pair.label.is_some())))
    };
    assert_eq!(found("a"), [("a".to_owned(), true)]);
    assert_eq!(found("a_0001"), [("a_0000".to_owned(), false), ("a_0001".to_owned(), true)]);
}

/// A mask of a liver, with its name beside it.
fn mask_of(folder: &Folder, case: &str) {
    mask(&folder.at(&format!("labels/{case}.nii.gz")), &space(LPS), &[(1, [0, 1], 4)]);
    folder.write("labels/labels.json", r#"{"liver": 1}"#);
}

#[test]
fn a_segmentation_among_images_is_no_scan() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    segmentation(&folder, ["0", "0"]);
    std::fs::rename(folder.at("labels/a.seg.nrrd"), folder.at("images/a.seg.nrrd")).unwrap();
    let (pairs, notes) = pairs::from_folders(&folder.at("images"), None, None).unwrap();
    assert_eq!((pairs.len(), notes.len()), (1, 1), "{notes:?}");
}

#[test]
fn a_propagated_mask_in_another_order_is_refused() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPI));
    mask_of(&folder, "a");
    let order = Reorientation { axes: [0, 1, 2], flip: [false, false, true] };
    mask(&folder.at("labels/a.nii.gz"), &space(LPI), &[(1, [0, 1], 4)]);
    let turned = order.apply(&files::read_mask(&folder.at("labels/a.nii.gz")).unwrap());
    nifti::write_mask(&folder.at("labels/a.nii.gz"), &turned).unwrap();
    let rows = "case,label,slice,origin,pixels,confidence\na,1,4,hand,128,1\na,1,5,propagated,128,0.5\n";
    folder.write("labels/propagate.csv", rows);
    assert_eq!(folder.import(&folder.plan().unwrap()).unwrap_err().kind, Kind::Geometry);
}

#[test]
fn of_two_files_of_one_structure_none_is_taken_in_silence() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    for file in ["liver.nii.gz", "liver.nii"] {
        mask(&folder.at(&format!("labels/a/{file}")), &space(LPS), &[(1, [0, 1], 4)]);
    }
    assert_eq!(folder.plan().map(drop).unwrap_err().kind, Kind::Pairing);
}

#[test]
fn headers_of_slicer_that_do_not_tell_values_leave_names_to_others() {
    let folder = Folder::new();
    segmentation(&folder, ["0", "1"]);
    let path = folder.at("labels/a.seg.nrrd");
    let text = std::fs::read(&path).unwrap();
    let end = text.windows(2).position(|two| two == b"\n\n").unwrap();
    let header = String::from_utf8_lossy(&text[..end]).replace("Segment1_LabelValue:=7", "Segment1_Tags:=x");
    std::fs::write(&path, [header.as_bytes(), &text[end..]].concat()).unwrap();
    folder.write("labels/labels.json", r#"{"3": "liver", "7": "spleen"}"#);
    assert_eq!(names::beside(&path).unwrap().names.len(), 2);
    // Merged into three axes, what the header said of layers means nothing.
    files::read_mask(&path).unwrap();
}
