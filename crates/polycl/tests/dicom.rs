//! The road from a PACS: folders of DICOM files to data sets and masks, and what must not be told on the way.

#[path = "common/mod.rs"]
mod common;
use std::path::Path;

use polycl_fixtures::dicom::FILES;

use common::{Folder, contents};

/// A folder `export` of series in folders of their own, and a secret that is always the same.
fn export(cases: &[&str]) -> Folder {
    let folder = Folder::new();
    for (name, data) in FILES.iter() {
        if cases.iter().any(|case| name.starts_with(&format!("{case}/"))) {
            std::fs::write(folder.at(&format!("export/{name}")), with_frame_of_reference(data)).unwrap();
        }
    }
    folder.write("salt", "32 bytes that are no secret here");
    folder
}

/// The same file with the element that ties masks to a scan, before those that describe the pixels.
fn with_frame_of_reference(file: &[u8]) -> Vec<u8> {
    const SAMPLES: [u8; 6] = *b"\x28\0\x02\0US";
    let at = file.windows(6).position(|six| six == SAMPLES).expect("explicit VR");
    [&file[..at], b"\x20\0\x52\0UI\x08\x001.2.3.4\0", &file[at..]].concat()
}

fn polycl(folder: &Folder, line: &str) -> String {
    folder.polycl_with(line, &[("POLYCL_SALT", Path::new("salt"))])
}

/// What the tags of the files say of patients, which nothing may repeat.
const IDENTIFYING: [&str; 3] = ["Mustermann", "1.2.826.0.1.3680043", "B30f"];

#[test]
fn series_become_cases_and_no_tag_gets_into_the_data_set() {
    let folder = export(&["axial", "oblique", "jpeg_ls", "tilt"]);
    let made = polycl(&folder, "import --dicom export --size 32 --out dataset");
    insta::assert_snapshot!(made);
    let mut told = made.into_bytes();
    contents(&folder.at("dataset")).into_iter().for_each(|(path, bytes)| {
        told.extend(path.display().to_string().into_bytes());
        told.extend(bytes);
    });
    for tag in IDENTIFYING {
        assert!(!told.windows(tag.len()).any(|window| window == tag.as_bytes()), "{tag}");
    }
    insta::assert_snapshot!(polycl(&folder, "import --dicom export --size 32 --out dataset --continue"));
}

#[test]
fn of_several_series_one_must_be_named() {
    let folder = export(&["axial", "oblique"]);
    insta::assert_snapshot!(polycl(&folder, "inspect export"));
    insta::assert_snapshot!(polycl(&folder, "import --dicom export --series 1.2.3 --size 32 --out dataset"));
    insta::assert_snapshot!(polycl(&folder, "inspect export/axial"));
    folder.write("notes/readme.txt", "nothing here");
    insta::assert_snapshot!(polycl(&folder, "import --dicom notes --size 32 --out dataset"));
}

#[test]
fn masks_of_a_series_are_segmentations_too() {
    let folder = export(&["axial", "tilt"]);
    for line in [
        "phantom --out cohort --patients 3 --size 32 --seed 3",
        "import --manifest cohort/manifest.csv --out dataset --size 32",
        "finetune dataset --organ liver --epochs 1 --steps 1 --batch 2 --out run",
    ] {
        folder.done(line);
    }
    insta::assert_snapshot!(polycl(&folder, "predict run export/axial --out masks --format dicom-seg"));
    let written: Vec<_> = contents(&folder.at("masks")).into_keys().collect();
    let ending =
        |ending: &str| written.iter().filter(|path| path.to_string_lossy().ends_with(ending)).count();
    assert_eq!((ending(".nii.gz"), ending(".dcm")), (1, 1), "{written:?}");
    insta::assert_snapshot!(polycl(&folder, "predict run cohort/images --out others --format dicom-seg"));
    // The gantry was tilted: no DICOM segmentation has such a grid.
    insta::assert_snapshot!(polycl(&folder, "predict run export/tilt --out tilted --format dicom-seg"));
    // Contours lie in the planes of its slices.
    insta::assert_snapshot!(polycl(&folder, "predict run export/tilt --out contours --format rtstruct"));
    let written: Vec<_> = contents(&folder.at("contours")).into_keys().collect();
    assert_eq!(written.iter().filter(|path| path.to_string_lossy().ends_with(".dcm")).count(), 1);
}
