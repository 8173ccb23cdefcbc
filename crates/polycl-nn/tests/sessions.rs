//! Work on one loaded network at once gives what it gives in turn, to the bit.

mod following;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;

use polycl_data::Origin;
use polycl_data::provenance::propagation::Row;
use polycl_image::names::Names;
use polycl_nn::predict::Predictor;
use polycl_nn::propagate::{Follower, Found};
use polycl_nn::refine::{Options, Refiner, Rule};

use following::{SHAPE, Watcher, embedder, memory, run, scan};

/// Does the same for two patients in turn and then at once.
fn in_turn_and_at_once<T: Send>(work: impl Fn(u8, &str) -> T + Sync) -> [[T; 2]; 2] {
    let in_turn = [0, 1].map(|patient| work(patient, "in turn"));
    let at_once = thread::scope(|scope| {
        let work = &work;
        let both = [0, 1].map(|patient| scope.spawn(move || work(patient, "at once")));
        both.map(|one| one.join().unwrap())
    });
    [in_turn, at_once]
}

/// All that comes of a session.
#[derive(PartialEq)]
struct Outcome {
    mask: Vec<u16>,
    rows: Vec<Row>,
    /// The files of the journal.
    journal: BTreeMap<String, Vec<u8>>,
    /// Slices and labels as they were found, and their pixels.
    found: Vec<(usize, BTreeMap<u16, Vec<bool>>)>,
}

fn session(follower: &Follower, patient: u8, folder: &Path) -> Outcome {
    let watcher = Watcher::default();
    let propagated = run(follower, &scan(patient), folder, &watcher).0.unwrap();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let content = |path: &Path| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
    };
    let found = watcher.found.into_inner().unwrap();
    Outcome {
        mask: propagated.mask.voxels,
        rows: propagated.rows,
        journal: files.map(|path| content(&path)).collect(),
        found: found.iter().map(|found| (found.slice, found.planes())).collect(),
    }
}

/// Gives what came of one of them.
fn sessions_do_not_meet(follower: &Follower) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let [in_turn, at_once] = in_turn_and_at_once(|patient, way| {
        session(follower, patient, &folder.path().join(format!("{way} {patient}")))
    });
    assert!(in_turn[0].mask != in_turn[1].mask, "patients are alike, so that nothing would be seen");
    for (patient, (one, other)) in in_turn.iter().zip(&at_once).enumerate() {
        assert!(one.mask == other.mask, "patient {patient}: other masks");
        assert_eq!(one.rows, other.rows, "patient {patient}");
        assert!(one.journal == other.journal, "patient {patient}: other journals");
        assert!(one.found == other.found, "patient {patient}: other partial results");
    }
    let [one, _] = in_turn;
    let found: BTreeSet<(u16, usize)> = one.planes().map(|(label, slice, _)| (label, slice)).collect();
    let propagated = one.rows.iter().filter(|row| row.origin == Origin::Propagated);
    assert_eq!(found, propagated.map(|row| (row.label, row.slice)).collect(), "slices handed over");
    one
}

impl Outcome {
    /// Labels, slices and pixels that were handed over before the end.
    fn planes(&self) -> impl Iterator<Item = (u16, usize, &[bool])> {
        self.found.iter().flat_map(|(slice, planes)| {
            planes.iter().map(move |(label, plane)| (*label, *slice, plane.as_slice()))
        })
    }
}

#[test]
fn sessions_of_sam_2_do_not_meet() {
    let outcome = sessions_do_not_meet(&memory());
    let pixels = SHAPE[0] * SHAPE[1];
    // Both ways are blended in the end, so that a pixel of the mask is inside by one of them.
    let told = |label: u16, slice: usize, pixel: usize| {
        let mut own = outcome.planes().filter(|(other, at, _)| (*other, *at) == (label, slice));
        own.any(|(_, _, plane)| plane[pixel])
    };
    for row in outcome.rows.iter().filter(|row| row.origin == Origin::Propagated) {
        let plane = &outcome.mask[row.slice * pixels..][..pixels];
        let missed = (0..pixels).find(|&i| plane[i] == row.label && !told(row.label, row.slice, i));
        assert_eq!(missed, None, "{row:?}");
    }
}

#[test]
fn sessions_of_boxes_do_not_meet() {
    sessions_do_not_meet(&Follower::Boxes(embedder()));
}

#[test]
fn refinements_do_not_meet() {
    let refiner = Refiner::new(embedder());
    let [in_turn, at_once] = in_turn_and_at_once(|patient, _| {
        let (image, coarse) = scan(patient);
        let options = Options { rule: Rule::Paper, window: None, consistent: false };
        let refined = refiner.refine(&image, &coarse, &Names::new(), options, &()).unwrap().unwrap();
        (refined.mask.voxels, refined.decisions)
    });
    assert!(in_turn[0].1.iter().any(|decision| decision.evidence.is_some()), "the network was not asked");
    assert!(in_turn[0] != in_turn[1] && in_turn == at_once);
}

/// One network for all threads, and slices that a watcher may hand to another.
#[test]
fn loaded_networks_are_shared_by_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Follower>();
    shared::<Refiner>();
    shared::<Predictor>();
    shared::<Found>();
}
