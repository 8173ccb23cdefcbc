//! `polycl phantom` as a user runs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn phantom(dir: &Path, more: &[&str]) -> Output {
    let fixed = ["phantom", "--out", "cohort", "--patients", "2"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_polycl"));
    command.current_dir(dir).args(fixed).args(more).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// All files under `dir`, relative to it, and their content.
fn files(dir: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert((name, fs::read(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn writes_a_cohort_and_says_what_is_next() {
    let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let output = phantom(one.path(), &["--domain", "b", "--size", "32"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!(stderr(&output), @r"
    cohort: 2 patients of domain b, seed 0
    next: polycl import --manifest cohort/manifest.csv --out DATASET
    ");
    let written = files(&one.path().join("cohort"));
    let names: Vec<&str> = written.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "dataset.json",
            "images/b000.nii.gz",
            "images/b001.nii.gz",
            "labels/b000.nii.gz",
            "labels/b001.nii.gz",
            "labels/labels.json",
            "manifest.csv",
        ]
    );
    let manifest = fs::read_to_string(one.path().join("cohort/manifest.csv")).unwrap();
    insta::assert_snapshot!(manifest, @r"
    image,label,patient,domain
    images/b000.nii.gz,labels/b000.nii.gz,b000,b
    images/b001.nii.gz,labels/b001.nii.gz,b001,b
    ");
    let dataset = fs::read_to_string(one.path().join("cohort/dataset.json")).unwrap();
    let dataset: serde_json::Value = serde_json::from_str(&dataset).unwrap();
    assert_eq!((&dataset["labels"]["background"], &dataset["labels"]["liver"]), (&0.into(), &1.into()));
    // The same bytes again, on one thread.
    let again = phantom(two.path(), &["--domain", "b", "--size", "32", "--threads", "1"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(written, files(&two.path().join("cohort")));
}

#[test]
fn refuses_a_folder_that_holds_something() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("cohort")).unwrap();
    fs::write(folder.path().join("cohort/notes.txt"), "mine").unwrap();
    let output = phantom(folder.path(), &["--size", "32"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output), @r"
    error: cohort: expected a new folder to write to, found a file or folder that is there already
    hint: choose another name, or remove what is there
    ");
    assert_eq!(files(&folder.path().join("cohort")), [("notes.txt".into(), b"mine".into())].into());
}

#[test]
fn refuses_a_size_that_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = phantom(folder.path(), &["--size", "16"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("cohort").exists());
}

/// The first patient's number keeps cohorts of one seed apart, and changes no patient.
#[test]
fn a_cohort_may_begin_later() {
    let images = |more: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let made = phantom(dir.path(), more);
        assert!(made.status.success(), "{}", stderr(&made));
        files(&dir.path().join("cohort/images"))
    };
    let (first, later) = (images(&["--size", "32"]), images(&["--size", "32", "--first", "1"]));
    let names = later.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["a001.nii.gz", "a002.nii.gz"]);
    assert_eq!(first.intersection(&later).count(), 1, "patient 1 is the same in both");
}
