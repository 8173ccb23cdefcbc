//! Many scans at once: what is broken, what is there already, and what is left when somebody stops.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use polycl_image::nifti;

use common::processes::signal;
use common::{Folder, grid, in_disc, painted};

/// A scan of two slices and its number.
fn scan(folder: &Folder, number: usize) {
    let name = format!("scans/s{number:03}.nii.gz");
    let space = grid([32, 32, 2], [8.0, 8.0, 8.0]);
    let level = number as f32;
    let image = painted(&space, |place| if in_disc(place, [0.0, 0.0], 90.0) { 40.0 + level } else { -900.0 });
    nifti::write_image(&folder.at(&name), &image).unwrap();
}

const BROKEN: [usize; 3] = [7, 100, 199];

/// A trained network and 200 scans, three of which are none.
fn hospital() -> Folder {
    let folder = Folder::new();
    for line in [
        "phantom --out cohort --patients 3 --size 32 --seed 3",
        "import --manifest cohort/manifest.csv --out dataset --size 32",
        "finetune dataset --organ liver --epochs 1 --steps 1 --batch 2 --out run",
    ] {
        folder.done(line);
    }
    (0..200).for_each(|number| scan(&folder, number));
    for number in BROKEN {
        folder.write(&format!("scans/s{number:03}.nii.gz"), "no scan");
    }
    folder
}

/// When each mask was written.
fn masks(folder: &Folder) -> BTreeMap<PathBuf, SystemTime> {
    let entries = std::fs::read_dir(folder.path().join("masks")).into_iter().flatten().map(|e| e.unwrap());
    let masks = entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "gz"));
    masks.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect()
}

/// How many masks are new or were written again.
fn made(before: &BTreeMap<PathBuf, SystemTime>, after: &BTreeMap<PathBuf, SystemTime>) -> usize {
    after.iter().filter(|&(path, time)| before.get(path) != Some(time)).count()
}

/// Asks a prediction to stop when it has written some masks, and returns what it said.
#[cfg(unix)]
fn stopped(folder: &Folder, masks: &Path) -> String {
    let child = Command::new(env!("CARGO_BIN_EXE_polycl"))
        .args(["predict", "run", "scans", "--out", "masks"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !masks.join("s009.nii.gz").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no masks");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    said
}

#[test]
#[cfg(unix)]
fn two_hundred_scans_three_of_them_broken() {
    let folder = hospital();
    let said = stopped(&folder, &folder.path().join("masks"));
    let begun = masks(&folder);
    assert!(said.contains("stopped before s0") && said.contains("s199"), "{said}");
    assert!(said.contains(&format!("{} of 200 scans segmented", begun.len())), "{said}");
    assert!(said.contains("resume with --continue"), "{said}");

    let said = folder.polycl("predict run scans --out masks --continue");
    assert!(said.starts_with("exit 1\n"), "{said}");
    let all = masks(&folder);
    assert_eq!((all.len(), made(&begun, &all)), (197, 197 - begun.len()));
    let kept = format!("{} of 200 scans segmented, {} were there already", 197 - begun.len(), begun.len());
    let (_, end) = said.split_once(&kept).unwrap();
    insta::assert_snapshot!(end);

    let line = "predict run scans --out masks --continue";
    let said = folder.polycl(line);
    assert!(said.starts_with("exit 1\n") && said.contains("197 of 200 masks are there already"), "{said}");
    assert_eq!(made(&all, &masks(&folder)), 0);
    BROKEN.into_iter().for_each(|number| scan(&folder, number));
    folder.done(line);
    let whole = masks(&folder);
    assert_eq!((whole.len(), made(&all, &whole)), (200, 3));

    // A scan that has changed, a mask that has gone, and masks that were made another way.
    std::thread::sleep(Duration::from_millis(20));
    std::fs::copy(folder.at("scans/s010.nii.gz"), folder.at("scans/s011.nii.gz")).unwrap();
    std::fs::remove_file(folder.at("masks/s012.nii.gz")).unwrap();
    folder.done(line);
    let again = masks(&folder);
    assert_eq!(made(&whole, &again), 2);
    folder.done("predict run scans/s001.nii.gz scans/s002.nii.gz --out masks --continue --largest");
    let largest = masks(&folder);
    assert_eq!(made(&again, &largest), 2);
    folder.done("predict run scans/s001.nii.gz --out masks");
    assert_eq!(made(&largest, &masks(&folder)), 1, "without --continue everything is made anew");
}
