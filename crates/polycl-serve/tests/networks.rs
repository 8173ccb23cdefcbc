//! LiteMedSAM behind the page: the same volume as on the command line, bit for bit, live, stopped and gone on with.
//! Skipped where `polycl fetch litemedsam` was not run.

#[path = "kills/client.rs"]
mod client;
#[path = "rounds/person.rs"]
#[expect(dead_code, reason = "a part of it is for other tests")]
mod person;
#[path = "kills/server.rs"]
#[expect(dead_code, reason = "nothing is killed here")]
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use client::Client;
use person::Person;
use polycl_app::fetch;
use polycl_app::{MaskFormat, ScanPath, propagate};
use polycl_image::orient::Reorientation;
use polycl_image::{Mask, nifti};
use polycl_nn::device::Device;
use polycl_nn::propagate::Direction;
use polycl_phantom::{Config, Domain, cohort};
use serde_json::{Value, json};
use server::Server;

const LIVER: u16 = 1;

struct Bench {
    folder: tempfile::TempDir,
    server: Server,
    client: Client,
    scan: String,
    /// In canonical order.
    truth: Mask,
    /// The slice that shows most of the liver.
    k: usize,
}

impl Bench {
    fn new() -> Option<Self> {
        if fetch::needed("litemedsam").is_err() {
            eprintln!("skipped: polycl fetch litemedsam");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = Config { seed: 5, domain: Domain::A, size: 128, slices: Some(14) };
        let cohort = folder.path().join("cohort");
        cohort::write(&config, 0..1, &cohort, &()).unwrap();
        let truth = nifti::read_mask(&only(&cohort.join("labels"))).unwrap();
        let truth = Reorientation::to_canonical(&truth.space).apply(&truth);
        let area = |k: &usize| truth.plane(*k).iter().filter(|label| **label == LIVER).count();
        let k = (0..truth.space.shape[2]).max_by_key(area).unwrap();
        let server = Server::start(&cohort.join("images"));
        let client = server.client();
        let scan = client.first_scan();
        let bench = Self { folder, server, client, scan, truth, k };
        let until = Instant::now() + Duration::from_secs(60);
        while bench.client.get_json("/api/session").unwrap()["network"]["ready"] == false {
            assert!(Instant::now() < until, "the network is loaded");
            std::thread::sleep(Duration::from_millis(20));
        }
        bench.post("open", json!({"tab": "a"}));
        Some(bench)
    }

    fn post(&self, route: &str, body: Value) -> Value {
        let (status, told) = self.client.post(&format!("/api/scans/{}/{route}", self.scan), &body).unwrap();
        assert_eq!(status, 200, "{route}: {told}");
        told
    }

    fn state(&self) -> Value {
        self.client.get_json(&format!("/api/scans/{}", self.scan)).unwrap()
    }

    /// Draws the liver in a slice as a person would.
    fn draw(&self, seq: u64, k: usize) {
        let plane = self.truth.plane(k);
        let runs: Vec<[usize; 2]> =
            (0..plane.len()).filter(|&at| plane[at] == LIVER).map(|at| [at, 1]).collect();
        let planes = json!([{"k": k, "set": runs}]);
        self.post(
            "edits",
            json!({"tab": "a", "seq": seq, "plane": "axial", "label": LIVER, "planes": planes}),
        );
    }

    fn rest(&self) {
        while !self.state()["job"].is_null() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // The mask for other programs follows the end of the job.
        std::thread::sleep(Duration::from_millis(300));
    }

    fn written(&self) -> Mask {
        let folder = self.folder.path().join("cohort/images/polycl/masks");
        nifti::read_mask(&only(&folder)).unwrap()
    }

    /// The volume of `polycl propagate` from slices as they are drawn.
    fn expected(&self, drawn: &[usize]) -> Mask {
        let image = only(&self.folder.path().join("cohort/images"));
        let mut canonical = self.truth.clone();
        let pixels = canonical.space.shape[0] * canonical.space.shape[1];
        for (at, label) in canonical.voxels.iter_mut().enumerate() {
            if *label != LIVER || !drawn.contains(&(at / pixels)) {
                *label = 0;
            }
        }
        let space = nifti::read_space(&image).unwrap();
        let annotation = self.folder.path().join("drawn.nii.gz");
        nifti::write_mask(&annotation, &Reorientation::to_canonical(&space).invert(&canonical, &space))
            .unwrap();
        let out = self.folder.path().join(format!("volume{}.nii.gz", drawn.len()));
        let request = propagate::Request {
            scan: ScanPath { image, series: None, trust: None, fill_gaps: false },
            annotation: Some(annotation),
            clues: Vec::new(),
            out: out.clone(),
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
        };
        propagate::run(&request, &()).unwrap().unwrap();
        nifti::read_mask(&out).unwrap()
    }
}

/// The one scan or mask in a folder.
fn only(folder: &Path) -> std::path::PathBuf {
    let mut found = polycl_image::files::scans(folder).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn one_drawn_slice_becomes_the_volume_of_the_command_line() {
    let Some(bench) = Bench::new() else { return };
    bench.draw(1, bench.k);
    let begun = Instant::now();
    bench.post("propagate", json!({"tab": "a", "labels": [LIVER]}));
    bench.rest();
    eprintln!("14 slices of 128² in {:.1} s", begun.elapsed().as_secs_f32());
    let expected = bench.expected(&[bench.k]);
    let written = bench.written();
    let filled = expected.voxels.iter().filter(|label| **label == LIVER).count();
    assert!(filled > 1000, "{filled} voxels");
    assert!(written.voxels == expected.voxels, "another volume");
    let state = bench.state();
    let next = state["confidence"]["1"]["next"].as_u64().unwrap();
    assert_ne!(next as usize, bench.k);
    assert!(state["slices"]["1"].as_str().unwrap().contains('p'));
    // Undone as one step, and done again.
    bench.post("undo", json!({"tab": "a"}));
    let drawn = bench.state();
    assert_eq!(drawn["slices"]["1"].as_str().unwrap().matches(['p', 'v']).count(), 0, "{}", drawn["slices"]);
    bench.post("redo", json!({"tab": "a"}));
    // A second slice, and all that follows from both.
    let other = if bench.k > 2 { bench.k - 2 } else { bench.k + 2 };
    bench.draw(2, other);
    let other_drawn = bench.state()["slices"]["1"].as_str().unwrap().as_bytes()[other];
    assert_eq!(other_drawn, b'e');
    bench.server.stop();
}

#[test]
fn what_is_stopped_stays_and_goes_on_to_the_same_end() {
    let Some(bench) = Bench::new() else { return };
    bench.draw(1, bench.k);
    bench.post("propagate", json!({"tab": "a", "labels": [LIVER]}));
    std::thread::sleep(Duration::from_millis(150));
    bench.post("stop", json!({"tab": "a"}));
    bench.rest();
    bench.post("propagate", json!({"tab": "a", "labels": [LIVER]}));
    bench.rest();
    assert!(bench.written().voxels == bench.expected(&[bench.k]).voxels, "another volume");
    bench.server.stop();
}

#[test]
fn a_box_is_answered() {
    let Some(bench) = Bench::new() else { return };
    let plane = bench.truth.plane(bench.k);
    let width = bench.truth.space.shape[0];
    let own: Vec<[usize; 2]> =
        (0..plane.len()).filter(|&at| plane[at] == LIVER).map(|at| [at % width, at / width]).collect();
    let ends = |axis: usize| {
        (own.iter().map(|at| at[axis]).min().unwrap(), own.iter().map(|at| at[axis]).max().unwrap())
    };
    let ((x0, x1), (y0, y1)) = (ends(0), ends(1));
    let asked = json!({"tab": "a", "label": LIVER, "plane": "axial", "k": bench.k, "box": [x0, y0, x1, y1]});
    bench.post("prompt", asked.clone());
    let begun = Instant::now();
    let told = bench.post("prompt", asked);
    eprintln!("a box on an embedded slice in {:.2} s", begun.elapsed().as_secs_f32());
    assert!(told["predicted_iou"].as_f64().unwrap() > 0.5, "{told}");
    assert_eq!(bench.state()["slices"]["1"].as_str().unwrap().as_bytes()[bench.k], b'b');
    let answer = bench.client.get(&format!("/api/scans/{}/mask/axial/{}", bench.scan, bench.k)).unwrap().1;
    let runs = answer.chunks_exact(6);
    let found: u32 =
        runs.filter(|run| run[4] == 1).map(|run| u32::from_le_bytes([run[0], run[1], run[2], run[3]])).sum();
    assert!(found as usize > own.len() / 2 && (found as usize) < own.len() * 2, "{found} of {}", own.len());
    bench.server.stop();
}

/// People go first: a network that trains is paused, and has a low priority until it is.
#[test]
fn a_box_is_answered_at_once_while_a_network_trains() {
    if fetch::needed("litemedsam").is_err() || server::program().is_none() {
        eprintln!("skipped: polycl fetch litemedsam, or no polycl beside the tests");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = person::phantoms(folder.path(), 3, 256, 16);
    let server = Server::start(&images);
    let client = server.client();
    let person = Person { client: &client, images: &images };
    client.post("/api/session", &json!({"who": "Ann"})).unwrap();
    let rows = person.rows();
    rows[..2].iter().for_each(|row| drop(person.review(row)));
    let (scan, truth) = (&rows[2], person.truth(&rows[2].name));
    person.post(&scan.id, "open", &json!({"tab": "p"}));
    while client.get_json("/api/session").unwrap()["network"]["ready"] == false {
        std::thread::sleep(Duration::from_millis(20));
    }
    let boxes: Vec<_> =
        (0..truth.space.shape[2]).filter_map(|k| Some((k, bounds(truth.plane(k))?))).collect();
    // Seconds for a box in a slice that nobody has looked at, and in the same slice again.
    let ask = |&(k, area): &(usize, [usize; 4])| {
        let asked = json!({"tab": "p", "label": LIVER, "plane": "axial", "k": k, "box": area});
        [(); 2].map(|()| {
            let begun = Instant::now();
            person.post(&scan.id, "prompt", &asked);
            begun.elapsed().as_secs_f32()
        })
    };
    let (first, rest) = boxes.split_at(boxes.len() / 2);
    let at_rest: Vec<[f32; 2]> = first.iter().map(ask).collect();
    let (status, told) =
        client.post("/api/rounds", &json!({"scans": "reviewed", "settings": {"steps": 5}})).unwrap();
    assert_eq!(status, 200, "{told}");
    person.until("fine-tuning is under way", |rounds| {
        (rounds["now"]["step"] == "finetune" && rounds["now"]["of"] == 100).then_some(())
    });
    let while_training = rest.iter().map(|one| {
        // Training goes on in between.
        person.until("training goes on", |rounds| (rounds["now"]["paused"] == false).then_some(()));
        std::thread::sleep(Duration::from_millis(300));
        ask(one)
    });
    let while_training: Vec<[f32; 2]> = while_training.collect();
    let rounds = client.get_json("/api/rounds").unwrap();
    assert_eq!(rounds["now"]["running"], true, "{rounds}");
    let median = |times: &[[f32; 2]], at: usize| {
        let mut times: Vec<f32> = times.iter().map(|two| two[at]).collect();
        times.sort_by(f32::total_cmp);
        times[times.len() / 2]
    };
    let [new, again] = [0, 1].map(|at| [&at_rest, &while_training].map(|times| median(times, at)));
    eprintln!(
        "a box at rest and while a network trains: new slice {new:.2?} s, embedded slice {again:.2?} s"
    );
    assert!(again[1] < 0.5, "{while_training:?}");
    server.stop();
}

/// The box around the liver in a plane of 256 columns.
fn bounds(plane: &[u16]) -> Option<[usize; 4]> {
    let own =
        plane.iter().enumerate().filter(|(_, label)| **label == LIVER).map(|(at, _)| [at % 256, at / 256]);
    own.fold(None, |area: Option<[usize; 4]>, [x, y]| {
        let [x0, y0, x1, y1] = area.unwrap_or([x, y, x, y]);
        Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)])
    })
}
