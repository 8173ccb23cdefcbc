//! Imports that were broken off, or that met scans that cannot be read, and are gone on with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use polycl_base::{Kind, Watch};
use polycl_data::{Import, Imported};

use crate::files::{Folder, Heard, LPS, mask, shifted_image, space};

const CASES: [&str; 4] = ["a", "b", "c", "d"];

/// Four scans, each of its own voxels, the first with a mask.
fn scans() -> Folder {
    let folder = Folder::new();
    for (shift, case) in CASES.iter().enumerate() {
        shifted_image(&folder.at(&format!("images/{case}.nii.gz")), &space(LPS), shift as f32);
    }
    mask(&folder.at("labels/a.nii.gz"), &space(LPS), &[(1, [0, 1], 4)]);
    folder.write("labels/labels.json", r#"{"liver": 1, "spleen": 2}"#);
    folder
}

/// Breaks a scan off in its middle; its bytes as they were.
fn broken(file: &Path) -> Vec<u8> {
    let whole = std::fs::read(file).unwrap();
    std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
    whole
}

/// All files below a folder.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files.retain(|name, _| !name.starts_with(".polycl"));
    files
}

/// The cases that an import reads, and what it comes to.
fn go_on(plan: &Import, out: &Path) -> polycl_base::Result<(Vec<String>, Imported)> {
    let heard = Heard::default();
    let made = plan.import(out, true, &heard)?;
    let tasks = heard.tasks();
    let read = tasks.iter().map(|task| task.strip_prefix("import ").unwrap().to_owned());
    Ok((read.collect(), made))
}

#[test]
fn broken_scans_are_left_out_and_added_once_they_are_whole() {
    let folder = scans();
    let (out, plan) = (folder.at("dataset"), folder.plan().unwrap());
    plan.import(&folder.at("whole"), false, &()).unwrap();
    let wholes = ["b", "d"].map(|case| (case, broken(&folder.at(&format!("images/{case}.nii.gz")))));

    let made = plan.import(&out, false, &()).unwrap();
    let failed: Vec<_> = made.failed.iter().map(|(case, error)| (case.as_str(), error.kind)).collect();
    assert_eq!(failed, [("b", Kind::Truncated), ("d", Kind::Truncated)]);
    assert_eq!(folder.dataset().unwrap().index.scans.len(), 2);
    assert_eq!(plan.import(&out, false, &()).unwrap_err().kind, Kind::Request);

    for (case, whole) in wholes {
        std::fs::write(folder.at(&format!("images/{case}.nii.gz")), whole).unwrap();
    }
    let (read, made) = go_on(&plan, &out).unwrap();
    assert_eq!((read, made.kept, made.failed.len()), (vec!["b".into(), "d".into()], 2, 0));
    assert!(content(&out) == content(&folder.at("whole")), "as if they had never been broken");
    let (read, made) = go_on(&plan, &out).unwrap();
    assert_eq!((read.len(), made.kept), (0, 4));
}

/// A panic when a scan is begun leaves what a kill leaves.
struct Killed {
    at: usize,
}

impl Watch for Killed {
    fn step(&self, done: usize, _: usize) {
        assert!(done < self.at, "killed here");
    }
}

/// Asks to stop after so many scans.
struct Stopping(AtomicUsize);

impl Watch for Stopping {
    fn stop(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

#[test]
fn an_import_that_was_broken_off_anywhere_ends_in_the_same_bytes() {
    let folder = scans();
    let (out, plan) = (folder.at("dataset"), folder.plan().unwrap());
    plan.import(&folder.at("whole"), false, &()).unwrap();
    for (done, next) in CASES.iter().enumerate() {
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            plan.import(&out, false, &Killed { at: done })
        }));
        assert!(killed.is_err());
        // What of the next scan was already there, and half a line of the journal.
        let next = out.join("slices.zarr").join(next).join("image/c/0/0");
        std::fs::create_dir_all(&next).unwrap();
        std::fs::write(next.join("0"), "half a shard").unwrap();
        let journal = out.join("import.jsonl");
        let torn = [std::fs::read(&journal).unwrap().as_slice(), b"{\"case\":"].concat();
        std::fs::write(&journal, torn).unwrap();

        let error = folder.dataset().map(|_| ()).unwrap_err();
        assert!(error.found.contains("an import that has not ended"), "{error}");
        assert_eq!(plan.import(&out, false, &()).unwrap_err().kind, Kind::Request);
        let (read, made) = go_on(&plan, &out).unwrap();
        assert_eq!((read.len(), made.kept), (CASES.len() - done, done));
        assert!(content(&out) == content(&folder.at("whole")), "killed after {done} scans");
        std::fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn an_import_that_is_asked_to_stop_does_so_between_scans() {
    let folder = scans();
    let (out, plan) = (folder.at("dataset"), folder.plan().unwrap());
    let made = plan.import(&out, false, &Stopping(AtomicUsize::new(2))).unwrap();
    assert_eq!((made.left, made.index.scans.len()), (2, 2));
    assert_eq!(folder.dataset().map(|_| ()).unwrap_err().kind, Kind::Request, "none yet");
    let (read, made) = go_on(&plan, &out).unwrap();
    assert_eq!((read.len(), made.kept, made.left), (2, 2, 0));
}

#[test]
fn scans_are_imported_again_where_their_files_are_others_now() {
    let folder = scans();
    let out = folder.at("dataset");
    folder.import(&folder.plan().unwrap()).unwrap();
    mask(&folder.at("labels/b.nii.gz"), &space(LPS), &[(1, [0, 1], 4)]);
    let (read, made) = go_on(&folder.plan().unwrap(), &out).unwrap();
    assert_eq!((read, made.kept), (vec!["b".to_owned()], 4));
    assert_eq!(made.index.scans.iter().filter(|scan| scan.labelled()).count(), 2);
}

#[test]
fn what_was_begun_in_another_way_is_not_gone_on_with() {
    let folder = scans();
    let out = folder.at("dataset");
    folder.import(&folder.plan().unwrap()).unwrap();
    let before = content(&out);
    let mut plan = folder.plan().unwrap();
    plan.preprocess.size = 64;
    assert_eq!(go_on(&plan, &out).unwrap_err().kind, Kind::Request);
    let mut plan = folder.plan().unwrap();
    plan.only = ["spleen".to_owned()].into();
    assert_eq!(go_on(&plan, &out).unwrap_err().kind, Kind::Request);
    assert!(content(&out) == before);
    std::fs::write(folder.at("other/file"), "").unwrap();
    assert_eq!(go_on(&plan, &folder.at("other")).unwrap_err().kind, Kind::Request);
}

#[test]
fn the_same_voxels_under_two_patients_are_one_scan_too_many() {
    let folder = scans();
    std::fs::copy(folder.at("images/a.nii.gz"), folder.at("images/e.nii.gz")).unwrap();
    let made = folder.plan().unwrap().import(&folder.at("dataset"), false, &()).unwrap();
    let [(case, error)] = made.failed.try_into().unwrap();
    assert_eq!((case.as_str(), error.kind), ("e", Kind::Pairing));
    assert_eq!(made.index.scans.len(), 4);
}
