//! Objects followed by SAM 2 through a scan, with random weights: what is found does not matter here, only
//! that it is found again.

mod following;

use std::path::Path;
use std::sync::atomic::Ordering;

use polycl_data::Origin;
use polycl_data::provenance::propagation::Row;
use polycl_image::Mask;
use polycl_nn::propagate::Propagated;

use following::{Watcher, memory, scan};

/// Runs until a step, or to the end. The network is loaded each time, as by a process of its own.
fn run(folder: &Path, stop_at: Option<usize>) -> (Option<Propagated>, usize) {
    let watcher = Watcher { stop_at, ..Watcher::default() };
    following::run(&memory(), &scan(0), folder, &watcher)
}

/// Each stop leaves what the next run reads; the end is the same as without any.
#[test]
fn what_is_stopped_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, kept) = run(&folder.path().join("whole"), None);
    let whole = whole.unwrap();
    assert_eq!(kept, 0);
    let journal = folder.path().join("stopped");
    // Before anything has been looked at.
    let watcher = Watcher::default();
    watcher.stopping.store(true, Ordering::Relaxed);
    assert!(following::run(&memory(), &scan(0), &journal, &watcher).0.is_none());
    let mut before = 0;
    for stop in [25, 61] {
        let (found, kept) = run(&journal, Some(stop));
        assert!(found.is_none() && (kept > 0) == (stop > 25), "{kept} slices kept");
        assert!(kept >= before);
        before = kept;
    }
    let (resumed, kept) = run(&journal, None);
    let resumed = resumed.unwrap();
    assert!(kept > before);
    assert!(whole.mask.voxels == resumed.mask.voxels, "other masks");
    assert_eq!(whole.rows, resumed.rows);
    check_rows(&whole.rows);
    check_drawn(&whole.mask);
    assert!(whole.rows.iter().any(|row| row.object_score > Some(0.0)), "nothing was found");
    // Traces of drawn slices stay, and the last sixteen of each way.
    let traces = std::fs::read_dir(&journal)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "traces"));
    assert!(traces.count() <= 4 + 2 * 16);
}

/// What is lost or damaged on the way is found again, with the memories that it was found with first.
#[test]
fn damaged_journals() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&folder.path().join("whole"), None).0.unwrap();
    let files = |ending: &str, journal: &Path| {
        let entries = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
        files.sort();
        files
    };
    for damage in ["drawn", "trace", "answer", "rest"] {
        let journal = folder.path().join(damage);
        assert!(run(&journal, Some(66)).0.is_none());
        let named = |ending: &str, start: &str| {
            let files = files(ending, &journal);
            let of = files
                .into_iter()
                .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start));
            of.collect::<Vec<_>>()
        };
        match damage {
            "drawn" => std::fs::remove_file(&named("traces", "prompts")[0]).unwrap(),
            "trace" => std::fs::write(named("traces", "down").last().unwrap(), b"broken").unwrap(),
            "answer" => std::fs::write(&named("safetensors", "up")[4], b"broken").unwrap(),
            _ => named("safetensors", "down")
                .iter()
                .step_by(2)
                .for_each(|path| std::fs::remove_file(path).unwrap()),
        }
        let found = run(&journal, None).0.unwrap();
        assert!(found.mask.voxels == whole.mask.voxels, "{damage}: other masks");
        assert_eq!(found.rows, whole.rows, "{damage}");
    }
}

fn check_rows(rows: &[Row]) {
    for label in [1, 2] {
        let by_hand: Vec<usize> =
            rows.iter().filter(|r| r.label == label && r.origin == Origin::Hand).map(|r| r.slice).collect();
        assert_eq!(by_hand, [14, 20, 24], "label {label}");
    }
    let propagated = rows.iter().filter(|row| row.origin == Origin::Propagated);
    for row in propagated {
        assert!(row.object_score.is_some() && (0.0..=1.0).contains(&row.confidence), "{row:?}");
    }
    assert!(rows.iter().any(|row| row.label == 3 && row.slice == 30), "the box's slice");
}

/// Drawn pixels come back.
fn check_drawn(mask: &Mask) {
    let (_, annotation) = scan(0);
    let same =
        mask.voxels.iter().zip(&annotation.voxels).all(|(found, &drawn)| drawn == 0 || *found == drawn);
    assert!(same, "what was drawn has changed");
}
