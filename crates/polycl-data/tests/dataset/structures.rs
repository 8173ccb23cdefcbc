//! DICOM segmentations as masks: paired with their series, chosen by name, and read as files of any other format.

use std::path::Path;

use polycl_base::{Error, Kind};
use polycl_data::pairs::{self, Pair};
use polycl_data::{Choice, Chosen, Index, Origin, Salt, from_dicom, from_dicom_with_masks};
use polycl_fixtures::dicom::SEGMENTATIONS;
use polycl_image::dicom::find;
use polycl_image::{Given, nifti};

use crate::files::{Folder, notes, plan};

/// A folder `export` with the series `plain` and segmentations, each a file of its case's name.
fn export(cases: &[&str]) -> Folder {
    let folder = Folder::new();
    for (name, data) in SEGMENTATIONS.iter() {
        if name.starts_with("plain/") {
            std::fs::write(folder.at(&format!("export/{name}")), data).unwrap();
        }
    }
    for case in cases {
        std::fs::write(folder.at(&format!("export/{case}.dcm")), &SEGMENTATIONS[&format!("{case}/seg.dcm")])
            .unwrap();
    }
    folder
}

fn paired(
    folder: &Folder,
    names: Option<&str>,
    choice: Option<&str>,
) -> Result<(Vec<Pair>, Vec<String>), Error> {
    let names = names.map(|names| Given::parse(names, Path::new("")).unwrap());
    let choice = choice.map(|choice| choice.parse::<Choice>().unwrap());
    let salt = Salt::at(&folder.at("salt"));
    from_dicom_with_masks(&folder.at("export"), &[], &Chosen { names, choice }, &salt)
}

fn index(folder: &Folder, pairs: Vec<Pair>) -> Index {
    folder.import(&plan(pairs)).unwrap()
}

fn drawn(index: &Index) -> Vec<(&str, u16)> {
    index.scans[0].drawn.iter().map(|organ| (organ.as_str(), index.label(organ).unwrap())).collect()
}

/// The voxels of `case` where they are one of `values`.
fn voxels(case: &str, values: &[u16]) -> Vec<u16> {
    let bytes = &SEGMENTATIONS[&format!("{case}.u16")];
    let all = bytes.as_chunks().0.iter().map(|&two| u16::from_le_bytes(two));
    all.map(|value| if values.contains(&value) { value } else { 0 }).collect()
}

#[test]
fn a_segmentation_is_the_mask_of_its_series() {
    let folder = export(&["binary"]);
    let (pairs, told) = paired(&folder, None, None).unwrap();
    assert_eq!((pairs.len(), told), (1, vec![]));
    let index = index(&folder, pairs);
    assert_eq!(drawn(&index), [("Kidney, left", 2), ("Liver", 1), ("Tumour", 3)]);
    assert_eq!(index.scans[0].origin, Origin::Predicted);
    assert!(index.scans[0].masks[0].path.ends_with("binary.dcm"));
    // It is read again for exports, on the voxels of the scan.
    assert!(folder.dataset().unwrap().truth(0).unwrap().voxels == voxels("binary", &[1, 2, 3]));
    // Without masks asked for it is passed over and counted.
    let (pairs, told) = from_dicom(&folder.at("export"), &[], &Salt::at(&folder.at("salt"))).unwrap();
    assert!(pairs[0].label.is_none());
    assert_eq!(told, ["passed over: 1 segmentations (SEG)"]);
}

#[test]
fn of_several_one_is_chosen_or_all_are_listed() {
    let folder = export(&["binary", "labelmap", "fractional"]);
    let error = paired(&folder, None, None).unwrap_err();
    assert_eq!(error.kind, Kind::Request);
    assert_eq!(error.found.lines().count(), 4, "{error}");
    let taken = |choice: &str| {
        let (pairs, told) = paired(&folder, None, Some(choice))?;
        let label = pairs[0].label.as_ref().map(|label| label.path().file_name().unwrap().to_owned());
        Ok::<_, Error>((label, told))
    };
    let objects = find(&folder.at("export")).unwrap().structures;
    let labelmap =
        objects.into_iter().flatten().find(|object| object.path.ends_with("labelmap.dcm")).unwrap();
    let (label, told) = taken(&labelmap.uid).unwrap();
    assert_eq!(label.unwrap(), "labelmap.dcm");
    assert!(told[0].ends_with("labelmap.dcm: taken of 3 objects of its series"), "{told:?}");
    // They share one label.
    assert_eq!(taken("ORGANS").unwrap_err().kind, Kind::Request);
    assert_eq!(taken("HEART").unwrap_err().kind, Kind::Request);
    assert_eq!(taken("none").unwrap(), (None, vec!["passed over: segmentations and contours: 3".to_owned()]));
    // One is made a day later than the others.
    let path = folder.at("export/fractional.dcm");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|eight| eight == *b"\x08\0\x23\0DA\x08\0").unwrap() + 8;
    bytes[at..at + 8].copy_from_slice(b"20991231");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(taken("newest").unwrap().0.unwrap(), "fractional.dcm");
}

#[test]
fn names_choose_segments_whatever_their_spelling() {
    let folder = export(&["overlapping"]);
    // Liver and tumour overlap, and both were asked for.
    let (pairs, _) = paired(&folder, None, None).unwrap();
    assert_eq!(folder.import(&plan(pairs)).unwrap_err().kind, Kind::Voxels);
    let spellings = folder.write(
        "spellings.csv",
        "name,spelling\nkidney_left,kidney left\nkidney_left,L Kidney\ntumor,TUMOUR\n",
    );
    let (pairs, _) = paired(&folder, Some(&spellings.to_string_lossy()), None).unwrap();
    let index = index(&folder, pairs);
    assert_eq!(drawn(&index), [("kidney_left", 2), ("tumor", 3)]);
    assert!(folder.dataset().unwrap().truth(0).unwrap().voxels == voxels("binary", &[2, 3]));
    let error = paired(&folder, Some("heart,lung"), None).unwrap_err();
    assert_eq!((error.kind, &*error.found), (Kind::Labels, "Kidney, left, Liver, Tumour"));
}

#[test]
fn a_folder_of_masks_may_hold_segmentations() {
    let folder = export(&[]);
    let mut scan = find(&folder.at("export")).unwrap().series.remove(0).read().unwrap();
    for (case, hu) in [("a", 0.0), ("b", 1.0), ("c", 2.0)] {
        scan.voxels.fill(hu);
        nifti::write_image(&folder.at(&format!("images/{case}.nii.gz")), &scan).unwrap();
    }
    std::fs::write(folder.at("labels/a.dcm"), &SEGMENTATIONS["labelmap_rle/seg.dcm"]).unwrap();
    std::fs::write(folder.at("labels/b/1.2.3"), &SEGMENTATIONS["fractional/seg.dcm"]).unwrap();
    let given = Given::parse("liver,tumour", Path::new("")).unwrap();
    let (pairs, _) =
        pairs::from_folders(&folder.at("images"), Some(&folder.at("labels")), Some(&given)).unwrap();
    let labels: Vec<bool> = pairs.iter().map(|pair| pair.label.is_some()).collect();
    assert_eq!(labels, [true, true, false]);
    let plan = plan(pairs);
    let told = notes(&plan, &folder.at("dataset"));
    let fractional = "b: its mask: a fractional segmentation (probability): voxels of 0.5 and more belong to a segment, 200 is 1";
    assert!(told.iter().any(|note| note == fractional), "{told:?}");
    for number in [0, 1] {
        assert!(folder.dataset().unwrap().truth(number).unwrap().voxels == voxels("binary", &[1, 3]));
    }
    // Names without values are of no use to a mask that has values alone.
    nifti::write_mask(&folder.at("labels/c.nii.gz"), &folder.dataset().unwrap().truth(0).unwrap()).unwrap();
    let error =
        pairs::from_folders(&folder.at("images"), Some(&folder.at("labels")), Some(&given)).unwrap_err();
    assert_eq!(error.kind, Kind::Labels);
}

/// Who drew it is told by each segment: a person's stay believed beside a machine's.
#[test]
fn each_segment_has_its_maker() {
    let folder = export(&["odd_names"]);
    let organs = |names: &str| {
        let (pairs, _) = paired(&folder, Some(names), None).unwrap();
        let index = index(&folder, pairs);
        std::fs::remove_dir_all(folder.at("dataset")).unwrap();
        let scan = &index.scans[0];
        (scan.origin, scan.drawn.iter().map(|organ| scan.all_by_hand(organ)).collect::<Vec<_>>())
    };
    assert_eq!(organs("left kidney"), (Origin::Hand, vec![true]));
    assert_eq!(organs("left kidney,nodule"), (Origin::Predicted, vec![true, false]));
    assert_eq!(organs("肝臓"), (Origin::Propagated, vec![false]));
}

#[test]
fn a_segmentation_of_another_series_is_refused_and_a_missing_image_told() {
    let folder = export(&["binary"]);
    for (name, data) in SEGMENTATIONS.iter().filter(|(name, _)| name.starts_with("enhanced/")) {
        std::fs::write(folder.at(name), data).unwrap();
    }
    let manifest = folder.write("m.csv", "image,label\nenhanced,export/binary.dcm\n");
    let pairs = pairs::from_manifest(&manifest, None, &Salt::at(&folder.at("salt"))).unwrap();
    assert_eq!(folder.import(&plan(pairs)).unwrap_err().kind, Kind::Pairing);
    // A first slice without anything drawn is gone.
    std::fs::remove_file(folder.at("export/plain/000.dcm")).unwrap();
    let (pairs, _) = paired(&folder, None, None).unwrap();
    let told = notes(&plan(pairs), &folder.at("dataset"));
    assert!(
        told.iter().any(|note| note.ends_with("its mask: images that the object refers to are missing: 1")),
        "{told:?}"
    );
}
