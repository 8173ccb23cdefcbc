//! What bad series get: a typed error that says what was expected and found, with a hint.

use std::fmt::Write;

use polycl_base::Error;
use polycl_fixtures::dicom::{FILES, unpack};
use polycl_image::dicom::{choose, digest, find};

/// The error of reading a case, its folder's name left out.
fn refused(case: &str) -> String {
    let folder = unpack(case);
    let found = find(folder.path()).unwrap();
    let error = choose(&found, folder.path(), None).and_then(|series| series.read()).expect_err(case);
    told(&error, folder.path())
}

fn told(error: &Error, folder: &std::path::Path) -> String {
    let text = format!("{error}\nhint: {}", error.hint.as_deref().expect("a hint"));
    let text = text.replace(&folder.display().to_string(), "FOLDER");
    for secret in ["SECRET", "4711", "Mustermann", "Erika"] {
        assert!(!text.contains(secret) && !format!("{error:?}").contains(secret), "{text}");
    }
    text
}

#[test]
fn bad_series() {
    let mut all = String::new();
    let mut cases: Vec<&str> = FILES.keys().filter_map(|name| Some(name.split_once('/')?.0)).collect();
    cases.dedup();
    for case in cases.iter().filter(|case| case.starts_with("refused_")) {
        writeln!(all, "{case}\n{}\n", refused(case)).unwrap();
    }
    insta::assert_snapshot!(all.trim_end());
}

#[test]
fn several_series() {
    let folder = unpack("several");
    let found = find(folder.path()).unwrap();
    assert_eq!(found.series.len(), 2);
    insta::assert_snapshot!(told(&choose(&found, folder.path(), None).unwrap_err(), folder.path()));
    insta::assert_snapshot!(told(&choose(&found, folder.path(), Some("1.2.3")).unwrap_err(), folder.path()));
    let uid = &found.series[1].uid;
    assert_eq!(&choose(&found, folder.path(), Some(uid)).unwrap().uid, uid);
    assert_eq!(&choose(&found, folder.path(), Some(&digest(uid))).unwrap().uid, uid);
}

#[test]
fn nothing_prints_the_patient() {
    let folder = unpack("axial");
    let found = find(folder.path()).unwrap();
    let printed = format!("{found:?} {:?} {:?}", found.series[0].patient, found.series[0].notes());
    assert!(!printed.contains("4711") && !printed.contains("Erika"), "{printed}");
}

#[test]
fn an_empty_folder_and_a_file_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path| {
        let found = find(path).unwrap();
        told(&choose(&found, path, None).unwrap_err(), folder.path())
    };
    let empty = error(folder.path());
    std::fs::write(folder.path().join("a.txt"), b"text").unwrap();
    insta::assert_snapshot!(format!("{empty}\n{}", error(&folder.path().join("a.txt"))));
}
