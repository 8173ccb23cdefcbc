//! Objects followed by SAM 2 through a scan, with random weights: what is found does not matter here, only
//! that it is found again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::tensor::Device;
use glam::{DAffine3, DMat3, DVec3};
use polycl_nn::device;
use polycl_nn::propagate::{
    Clue, Direction, Journal, Memory, Object, Place, Propagated, Request, Tracker, fingerprint, propagate,
};
use polycl_nn::sam::{MLP_NAMES, TwoWayConfig};
use polycl_nn::sam2::{HieraConfig, MemoryConfig, Model, Sam2, Sam2Config, Size, Version};
use polycl_nn::weights::{self, Weights};
use polycl_volume::dataset::Origin;
use polycl_volume::dataset::names::Names;
use polycl_volume::dataset::provenance::propagation::Row;
use polycl_volume::{Image, Mask, Space, Volume};

const SLICES: usize = 40;
const SHAPE: [usize; 3] = [30, 24, SLICES];

/// The reduced network of the parity tests.
fn tracker() -> Tracker {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/sam2/weights_21.safetensors");
    let trunk = HieraConfig {
        dim: 16,
        heads: 1,
        stages: [1, 2, 3, 2],
        windows: [8, 4, 14, 7],
        global: [5; 3],
        background: 7,
    };
    let decoder = TwoWayConfig { depth: 2, dim: 32, heads: 8, mlp: 2048, mlp_names: MLP_NAMES[1] };
    let memory = MemoryConfig { dim: 8, layers: 2, mlp: 64 };
    let config = Sam2Config { image: 256, trunk, decoder, memory, version: Version::V21 };
    let weights = Weights::new(&path, weights::read(&path).unwrap(), &Device::flex());
    let network = Sam2::load(weights, config).unwrap();
    Tracker::Memory(Memory::new(Model::Sam2(Version::V21, Size::Tiny), network, device::Device::Cpu))
}

/// Files count slices from the head here.
fn space() -> Space {
    let axes = DMat3::from_diagonal(DVec3::new(1.0, 1.0, -4.0));
    Space::new(SHAPE, DAffine3::from_mat3_translation(axes, DVec3::ZERO))
}

/// Two balls on a background that changes.
fn scan() -> (Image, Mask) {
    let space = space();
    let (mut image, mut mask) = (Vec::new(), Vec::new());
    for i in 0..space.voxels() {
        let [x, y, z] = [i % SHAPE[0], i / SHAPE[0] % SHAPE[1], i / (SHAPE[0] * SHAPE[1])];
        let near = |c: [f32; 3]| {
            let d = [x as f32 - c[0], y as f32 - c[1], (z as f32 - c[2]) / 2.0];
            d.iter().map(|d| d * d).sum::<f32>().sqrt()
        };
        let label = u16::from(near([9.0, 10.0, 20.0]) < 6.0) + 2 * u16::from(near([21.0, 14.0, 18.0]) < 5.0);
        let texture = (x * 7 + y * 5 + z * 3) % 23;
        image.push([-60.0, 90.0, 150.0][usize::from(label)] + texture as f32);
        mask.push(if [14, 20, 24].contains(&z) { label } else { 0 });
    }
    (Volume { space: space.clone(), voxels: image }, Volume { space, voxels: mask })
}

fn run(folder: &Path, stop: Option<usize>) -> (Option<Propagated>, usize) {
    let (image, annotation) = scan();
    let clues = [Clue { label: 3, slice: 30, place: Place::Box([4, 4, 12, 15]) }];
    let objects = Object::all(&image.space, Some(&annotation), &clues, &Names::new(), None);
    let request = Request {
        image: &image,
        annotation: Some(&annotation),
        objects: &objects,
        range: 0..=SLICES - 1,
        direction: Direction::Both,
    };
    let mut tracker = tracker();
    let key = fingerprint(&tracker, &request, device::Device::Cpu);
    let (journal, kept) = Journal::open(folder, &key, tracker.side()).unwrap();
    let mut done = |n: usize, _: usize| assert!(Some(n) != stop, "killed");
    let found = catch_unwind(AssertUnwindSafe(|| propagate(&mut tracker, &request, &journal, &mut done)));
    (found.ok().map(|found| found.unwrap()), kept)
}

/// Each stop leaves what the next run reads; the end is the same as without any.
#[test]
fn what_is_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, kept) = run(&folder.path().join("whole"), None);
    let whole = whole.unwrap();
    assert_eq!(kept, 0);
    let journal = folder.path().join("killed");
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
    let (_, annotation) = scan();
    let same =
        mask.voxels.iter().zip(&annotation.voxels).all(|(found, &drawn)| drawn == 0 || *found == drawn);
    assert!(same, "what was drawn has changed");
}
