//! The road from scans to masks by requests alone, without the command line: each step stopped in the middle, gone on
//! with, and held to the bits of an undisturbed one.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use polycl_app::{
    MaskFormat, RefineSettings, RunSettings, SamWeights, ScanPath, finetune, import, predict, pretrain,
    propagate, refine,
};
use polycl_base::Watch;
use polycl_image::preprocess::Preprocess;
use polycl_nn::device::Device;
use polycl_nn::predict::Components;
use polycl_nn::propagate::{Direction, Found};
use polycl_nn::smooth::SMOOTH;
use polycl_nn::train::Epoch;
use polycl_phantom::{Config, Domain, cohort, label};

/// Asks to stop from its `after`th step on, and notes what it hears.
struct Stopping {
    after: usize,
    steps: AtomicUsize,
    heard: Mutex<Vec<&'static str>>,
}

impl Stopping {
    fn after(after: usize) -> Self {
        Self { after, steps: AtomicUsize::new(0), heard: Mutex::default() }
    }
}

impl Watch for Stopping {
    fn step(&self, _: usize, _: usize) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn partial(&self, result: &dyn Any) {
        let kind = if result.is::<Epoch>() {
            "epoch"
        } else if result.is::<Found>() {
            "slice"
        } else {
            "other"
        };
        self.heard.lock().unwrap().push(kind);
    }

    fn stop(&self) -> bool {
        self.steps.load(Ordering::Relaxed) >= self.after
    }
}

/// A cohort of small phantoms.
fn scans(folder: &Path, patients: usize) {
    let config = Config { seed: 7, domain: Domain::A, size: 64, slices: Some(12) };
    cohort::write(&config, 0..patients, &folder.join("scans"), &()).unwrap();
}

fn import_request(folder: &Path, out: &str, go_on: bool) -> import::Request {
    import::Request {
        scans: import::Scans::Folders {
            images: folder.join("scans/images"),
            labels: Some(folder.join("scans/labels")),
            names: None,
        },
        origin: None,
        ranges: None,
        drawn: None,
        only: ["liver".to_owned()].into(),
        out: folder.join(out),
        go_on,
        preprocess: Preprocess { size: 32, ..Preprocess::default() },
        trust: None,
        fill_gaps: false,
        shard: None,
    }
}

fn training(folder: &Path, out: &str, settings: &str) -> RunSettings {
    RunSettings {
        dataset: folder.join("dataset"),
        out: folder.join(out),
        config: None,
        settings: settings.parse().unwrap(),
        resume: true,
        save_every: Duration::from_secs(600),
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn same(folder: &Path, one: &str, other: &str, file: &str) {
    let [one, other] = [one, other].map(|name| bytes(&folder.join(name).join(file)));
    assert!(one == other, "{file} differs");
}

#[test]
fn every_step_goes_on_where_it_was_stopped() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    scans(folder, 4);

    import::run(&import_request(folder, "dataset", false), &()).unwrap();
    let stopped = import::run(&import_request(folder, "twice", false), &Stopping::after(2)).unwrap();
    assert!(stopped.left > 0 && stopped.failed.is_empty());
    let whole = import::run(&import_request(folder, "twice", true), &()).unwrap();
    assert_eq!((whole.left, whole.kept, whole.index.scans.len()), (0, 4 - stopped.left, 4));
    same(folder, "dataset", "twice", "index.json");

    let settings = "strategy = 'scan'\n[training]\nepochs = 2\nbatch = 2\nsteps = 3";
    let pretraining = |out: &str| pretrain::Request::new(&training(folder, out, settings), false).unwrap();
    pretrain::run(&pretraining("encoder"), &()).unwrap();
    let stopping = Stopping::after(4);
    let stopped = pretrain::run(&pretraining("encoder-twice"), &stopping).unwrap();
    assert!(stopped.state.stopped && stopped.state.within.is_some());
    assert_eq!(*stopping.heard.lock().unwrap(), ["other", "epoch"]);
    let whole = pretrain::run(&pretraining("encoder-twice"), &()).unwrap();
    assert_eq!((whole.state.epoch, whole.epochs), (2, 2));
    same(folder, "encoder", "encoder-twice", "latest.safetensors");

    let settings = format!(
        "organs = ['liver']\nencoder = '{}'\n[training]\nepochs = 2\nbatch = 2\nsteps = 3",
        folder.join("encoder").display()
    );
    let finetuning = |out: &str| finetune::Request::new(&training(folder, out, &settings)).unwrap();
    finetune::run(&finetuning("network"), &()).unwrap();
    assert!(finetune::run(&finetuning("network-twice"), &Stopping::after(2)).unwrap().state.stopped);
    finetune::run(&finetuning("network-twice"), &()).unwrap();
    same(folder, "network", "network-twice", "latest.safetensors");

    let prediction = |out: &str, go_on: bool| predict::Request {
        run: folder.join("network"),
        scans: vec![folder.join("scans/images")],
        out: folder.join(out),
        ranges: None,
        smooth: SMOOTH,
        flip: false,
        components: Components::All,
        probabilities: true,
        go_on,
        refinement: None,
        whole_scans: false,
        format: MaskFormat::Nifti,
        device: Device::Cpu,
        trust: None,
        shard: None,
    };
    let whole = predict::run(&prediction("masks", false), &()).unwrap();
    assert!((whole.of, whole.failed.len(), whole.left.len()) == (4, 0, 0));
    // Twelve slices are two steps: within the second scan.
    let stopped = predict::run(&prediction("masks-twice", false), &Stopping::after(3)).unwrap();
    assert_eq!(stopped.left, ["a001", "a002", "a003"]);
    assert!(!folder.join("masks-twice/a001.nii.gz").exists());
    let rest = predict::run(&prediction("masks-twice", true), &()).unwrap();
    assert!(rest.failed.is_empty() && rest.left.is_empty());
    for case in ["a000", "a001", "a002", "a003"] {
        same(folder, "masks", "masks-twice", &format!("{case}.nii.gz"));
        same(folder, "masks", "masks-twice", &format!("probabilities/{case}_liver.nii.gz"));
    }
}

/// A request is data: it goes to a file and back.
#[test]
fn requests_are_data() {
    let request = import_request(Path::new("/data"), "out", true);
    let text = serde_json::to_string(&request).unwrap();
    let again: import::Request = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    let request = propagation(Path::new("/data"), "volume");
    let again: propagate::Request = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
    assert_eq!(again, request);
}

fn propagation(folder: &Path, out: &str) -> propagate::Request {
    propagate::Request {
        scan: ScanPath {
            image: folder.join("scans/images/a000.nii.gz"),
            series: None,
            trust: None,
            fill_gaps: false,
        },
        annotation: Some(folder.join("drawn.nii.gz")),
        clues: Vec::new(),
        out: folder.join(out).join("volume.nii.gz"),
        range: None,
        direction: Direction::Both,
        model: None,
        weights: None,
        names: Some("1=liver".to_owned()),
        window: None,
        cache: None,
        picture: None,
        truth: None,
        format: MaskFormat::Nifti,
        device: Device::Cpu,
    }
}

/// One slice of the true liver.
fn draw(folder: &Path) -> PathBuf {
    let mut mask = polycl_image::nifti::read_mask(&folder.join("scans/labels/a000.nii.gz")).unwrap();
    let slice = polycl_image::orient::slice_of(&mask.space);
    let area = |k: usize| {
        let voxels = mask.voxels.iter().enumerate();
        voxels.filter(|&(at, &voxel)| voxel == label::LIVER && slice(at) == k).count()
    };
    let largest = (0..12).max_by_key(|&k| area(k)).unwrap();
    let slice = polycl_image::orient::slice_of(&mask.space);
    for (at, voxel) in mask.voxels.iter_mut().enumerate() {
        *voxel = u16::from(*voxel == label::LIVER && slice(at) == largest);
    }
    let path = folder.join("drawn.nii.gz");
    polycl_image::nifti::write_mask(&path, &mask).unwrap();
    path
}

#[test]
fn a_propagation_goes_on_within_a_scan() {
    if polycl_app::fetch::needed("litemedsam").is_err() {
        eprintln!("skipped: no weights; polycl fetch litemedsam");
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    scans(folder, 1);
    draw(folder);
    propagate::run(&propagation(folder, "whole"), &()).unwrap().unwrap();
    let stopping = Stopping::after(14);
    assert!(propagate::run(&propagation(folder, "twice"), &stopping).unwrap().is_none());
    assert!(stopping.heard.lock().unwrap().contains(&"slice"));
    assert!(!folder.join("twice/volume.nii.gz").exists());
    let found = propagate::run(&propagation(folder, "twice"), &()).unwrap().unwrap();
    assert_eq!(found.objects.len(), 1);
    same(folder, "whole", "twice", "volume.nii.gz");
    same(folder, "whole", "twice", "propagate.csv");
}

#[test]
fn a_refinement_that_is_stopped_leaves_nothing() {
    if polycl_app::fetch::needed("litemedsam").is_err() {
        eprintln!("skipped: no weights; polycl fetch litemedsam");
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    scans(folder, 1);
    let request = refine::Request {
        scan: propagation(folder, "unused").scan,
        mask: folder.join("scans/labels/a000.nii.gz"),
        out: folder.join("refined/a000.nii.gz"),
        weights: SamWeights::default(),
        how: RefineSettings::default(),
        picture: None,
        truth: None,
        names: None,
        format: MaskFormat::Nifti,
        device: Device::Cpu,
    };
    assert!(refine::run(&request, &Stopping::after(1)).unwrap().is_none());
    assert!(!folder.join("refined").join("refine.csv").exists() && !request.out.exists());
    let refined = refine::run(&request, &()).unwrap().unwrap();
    assert!(refined.decided.components > 0 && request.out.is_file());
}
