//! Patients as the tags of DICOM files tell of them, and do not tell.

use std::collections::BTreeSet;

use polycl_data::{Index, Salt, from_dicom};
use polycl_fixtures::dicom::FILES;

use crate::files::{Folder, notes, plan};

/// Two scans of two studies, whose tags say these IDs and names.
fn export(tags: [[&str; 2]; 2]) -> Folder {
    let folder = Folder::new();
    for ((case, study), [id, name]) in [("axial", "1.2.3"), ("oblique", "1.2.4")].into_iter().zip(tags) {
        for (file, data) in FILES.iter().filter(|(file, _)| file.starts_with(&format!("{case}/"))) {
            let data = with(data, *b"\x10\0\x10\0PN", name);
            let data = with(&data, *b"\x10\0\x20\0LO", id);
            let data = with(&data, *b"\x20\0\x0d\0UI", study);
            std::fs::write(folder.at(&format!("export/{file}")), data).unwrap();
        }
    }
    folder
}

/// A file of explicit value representations with another text in one element.
pub fn with(file: &[u8], element: [u8; 6], text: &str) -> Vec<u8> {
    let at = file.windows(6).position(|six| six == element).expect("the element") + 6;
    let length = usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let mut text = text.as_bytes().to_vec();
    if text.len() % 2 == 1 {
        text.push(if element[4..] == *b"UI" { 0 } else { b' ' });
    }
    let own = (text.len() as u16).to_le_bytes();
    [&file[..at], &own, &text, &file[at + 2 + length..]].concat()
}

/// The patients of an import, what of them is told, and what is noted of each scan.
fn patients(tags: [[&str; 2]; 2]) -> (usize, Vec<String>, Vec<Vec<String>>) {
    let folder = export(tags);
    let salt = Salt::at(&folder.at("salt"));
    let (pairs, _) = from_dicom(&folder.at("export"), &[], &salt).unwrap();
    let of_patients = |note: &String| note.contains("--manifest");
    let said = notes(&plan(pairs), &folder.at("dataset")).into_iter().filter(of_patients).collect();
    let index = Index::read(&folder.at("dataset")).unwrap();
    let noted =
        index.scans.iter().map(|scan| scan.notes.iter().filter(|note| of_patients(note)).cloned().collect());
    let patients: BTreeSet<_> = index.scans.iter().map(|scan| &scan.patient).collect();
    (patients.len(), said, noted.collect())
}

#[test]
fn a_placeholder_is_one_patient_and_that_is_told_and_noted() {
    for tags in
        [["", "ANONYMOUS"], ["REMOVED", "REMOVED"], ["0000", ""], ["De-identified", "^^^^"], ["xxx", "N/A"]]
    {
        let (count, said, noted) = patients([tags, tags]);
        let text = tags.into_iter().find(|text| !text.is_empty()).unwrap();
        let told = format!(
            "2 scans have the patient {text} in their tags, and count as one patient: tell patients apart with --manifest \
             and its columns image, series and patient"
        );
        assert_eq!((count, &said), (1, &vec![told]), "{tags:?}");
        assert_eq!(noted, [said.clone(), said]);
    }
}

#[test]
fn where_nothing_is_said_the_study_is_the_patient() {
    let (count, said, noted) = patients([["", ""], ["  ", ""]]);
    assert!(
        count == 2
            && said[0]
                .starts_with("2 scans have no patient in their tags, so each study counts as a patient")
    );
    assert_eq!(noted, [said.clone(), said]);
}

#[test]
fn what_tells_patients_apart_does() {
    for (tags, count) in [
        // A name stands for its patient where the ID is a placeholder.
        ([["anonymous", "Doe^J"], ["anonymous", "Roe^R"]], 2),
        // Pseudonyms are no placeholders.
        ([["ANON-0012", "ANON-0012"], ["ANON-0013", "ANON-0013"]], 2),
        ([["1", "Anonymous"], ["2", "Anonymous"]], 2),
        // One of whom nothing is known, beside others.
        ([["", "ANONYMOUS"], ["A1", "Doe^J"]], 2),
    ] {
        assert_eq!(patients(tags), (count, Vec::new(), vec![Vec::new(); 2]), "{tags:?}");
    }
}
