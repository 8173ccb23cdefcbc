//! Segmentations of a DICOM folder as a person meets them: listed, imported by name, and scored.

#[path = "common/mod.rs"]
mod common;
use std::path::Path;

use polycl_fixtures::dicom::SEGMENTATIONS;
use polycl_image::dicom::structures::Structures;
use polycl_image::files::Reading;
use polycl_image::names::Names;
use polycl_image::{Input, nifti};

use common::{Folder, read, text, weights};

/// A folder `export` with a series, and segmentations of it called after their cases.
fn export(cases: &[&str]) -> Folder {
    let folder = Folder::new();
    for (name, data) in SEGMENTATIONS.iter().filter(|(name, _)| name.starts_with("plain/")) {
        std::fs::write(folder.at(&format!("export/{name}")), data).unwrap();
    }
    for case in cases {
        let bytes = &SEGMENTATIONS[&format!("{case}/seg.dcm")];
        std::fs::write(folder.at(&format!("export/{case}.dcm")), bytes).unwrap();
    }
    folder.write("salt", "32 bytes that are no secret here");
    folder
}

/// Dates and UIDs of the segmentations are those of the day on which they were made.
fn polycl(folder: &Folder, line: &str) -> String {
    let shown = folder.polycl_with(line, &[("POLYCL_SALT", Path::new("salt"))]);
    let words = shown.split_inclusive(|c: char| c.is_whitespace() || c == ',');
    let dated = |word: &str| {
        word.len() == 9 && word.starts_with("20") && word.trim_end_matches(',').parse::<u32>().is_ok()
    };
    words.map(|word| if dated(word) { "[date],".to_owned() } else { word.to_owned() }).collect()
}

#[test]
fn a_folder_tells_which_structures_it_holds() {
    let folder = export(&["binary", "overlapping"]);
    insta::assert_snapshot!(polycl(&folder, "inspect export"));
    insta::assert_snapshot!(polycl(&folder, "inspect export/binary.dcm"));
    insta::assert_snapshot!(polycl(&folder, "inspect export/plain --montage m.png --mask export/binary.dcm"));
}

#[test]
fn an_import_takes_the_structures_that_are_chosen() {
    let folder = export(&["overlapping", "fractional"]);
    insta::assert_snapshot!(polycl(&folder, "import --dicom export --size 32 --out dataset"));
    std::fs::remove_file(folder.at("export/fractional.dcm")).unwrap();
    insta::assert_snapshot!(polycl(&folder, "import --dicom export --size 32 --out dataset"));
    insta::assert_snapshot!(polycl(&folder, "import --dicom export --size 32 --out dataset --names heart"));
    insta::assert_snapshot!(polycl(
        &folder,
        "import --dicom export --size 32 --out dataset --names tumour,liver2"
    ));
}

#[test]
fn segmentations_are_scored_as_masks_of_other_formats_are() {
    let folder = export(&["dcmqi", "labelmap", "binary"]);
    // A machine drew the label map, and no reference is made of it.
    insta::assert_snapshot!(polycl(
        &folder,
        "evaluate --reference export/labelmap.dcm --prediction export/dcmqi.dcm --out scores"
    ));
    let scored = polycl(
        &folder,
        "evaluate --reference export/dcmqi.dcm --prediction export/labelmap.dcm --out scores",
    );
    assert!(scored.starts_with("exit 0"), "{scored}");
    let cases = std::fs::read_to_string(folder.at("scores/cases.csv")).unwrap();
    let dice: Vec<&str> = cases.lines().skip(1).filter_map(|line| line.split(',').nth(3)).collect();
    assert_eq!(dice.len(), 3, "{cases}");
    insta::assert_snapshot!(cases);
}

#[test]
fn a_segmentation_is_refined_and_propagated_as_the_same_mask_in_nifti() {
    let Some(_) = weights() else { return };
    let folder = export(&["dcmqi"]);
    let image = Input::open(&folder.at("export/plain"), None).unwrap().image().unwrap();
    let object = Structures::at(&folder.at("export/dcmqi.dcm")).unwrap().unwrap();
    let names = Names::from([(1, object.names()[&1].clone())]);
    let given = format!("--names 1={}", names[&1]);
    let drawn = object.mask(&image.space, &names, Reading::default()).unwrap();
    nifti::write_mask(&folder.at("drawn/dcmqi.nii"), &drawn.mask).unwrap();
    for line in ["refine export/plain --mask MASK --truth MASK", "propagate export/plain --annotation MASK"] {
        let use_case = line.split(' ').next().unwrap();
        let [seg, nifti] = ["export/dcmqi.dcm", "drawn/dcmqi.nii"].map(|mask| {
            let out = format!("{use_case}-{}/a.nii", &mask[..5]);
            let line = line.replace("MASK", mask);
            folder.done(&format!("{line} {given} --picture {use_case}-{}.png --out {out}", &mask[..5]));
            let picture = std::fs::read(folder.at(&format!("{use_case}-{}.png", &mask[..5]))).ok();
            (read(&folder, &out).voxels, text(&folder, &out.replace(".nii", ".labels.json")), picture)
        });
        assert!(seg.0.iter().any(|&label| label > 0));
        assert!(seg == nifti, "{use_case}: {} and {}", seg.1, nifti.1);
    }
}
