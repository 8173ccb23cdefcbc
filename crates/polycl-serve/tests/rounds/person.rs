//! A person who draws phantoms as they are, quickly.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use polycl_image::orient::Reorientation;
use polycl_image::{Mask, nifti};
use polycl_phantom::{Config, Domain, cohort};
use serde_json::{Value, json};

use super::client::Client;

pub const LIVER: u16 = 1;

/// Patients as files; the folder of their scans.
pub fn phantoms(folder: &Path, count: usize, size: usize, slices: usize) -> PathBuf {
    let config = Config { seed: 11, domain: Domain::A, size, slices: Some(slices) };
    let cohort = folder.join("cohort");
    cohort::write(&config, 0..count, &cohort, &()).unwrap();
    cohort.join("images")
}

pub struct Person<'a> {
    pub client: &'a Client,
    /// The folder of the scans; their true masks lie beside it.
    pub images: &'a Path,
}

/// A scan of the queue.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    pub name: String,
    pub state: String,
}

impl Person<'_> {
    pub fn rows(&self) -> Vec<Row> {
        self.client.scans();
        let queue = self.client.get_json("/api/scans").unwrap();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let row = |row| Row { id: text(row, "id"), name: text(row, "name"), state: text(row, "state") };
        queue["scans"].as_array().unwrap().iter().map(row).collect()
    }

    /// The true liver of a scan, in canonical order.
    pub fn truth(&self, name: &str) -> Mask {
        let mut mask =
            nifti::read_mask(&self.images.with_file_name("labels").join(format!("{name}.nii.gz"))).unwrap();
        mask.voxels.iter_mut().filter(|label| **label != LIVER).for_each(|label| *label = 0);
        Reorientation::to_canonical(&mask.space).apply(&mask)
    }

    /// The mask of a scan.
    pub fn mask(&self, id: &str) -> Vec<u16> {
        let runs = self.client.get(&format!("/api/scans/{id}/mask")).unwrap().1;
        let run = |run: &[u8]| {
            let length = u32::from_le_bytes([run[0], run[1], run[2], run[3]]) as usize;
            vec![u16::from_le_bytes([run[4], run[5]]); length]
        };
        runs.chunks_exact(6).flat_map(run).collect()
    }

    pub fn post(&self, id: &str, route: &str, body: &Value) -> Value {
        let (status, told) = self.client.post(&format!("/api/scans/{id}/{route}"), body).unwrap();
        assert_eq!(status, 200, "{route}: {told}");
        told
    }

    /// Draws the liver whole, whatever was there, and reviews the scan; the truth.
    pub fn review(&self, row: &Row) -> Vec<u16> {
        let opened = self.post(&row.id, "open", &json!({"tab": "p"}));
        let seq = opened["last_seq"].as_u64().unwrap() + 1;
        let truth = self.truth(&row.name);
        let planes: Vec<Value> = (0..truth.space.shape[2]).map(|k| plane(truth.plane(k), k)).collect();
        self.post(
            &row.id,
            "edits",
            &json!({"tab": "p", "seq": seq, "plane": "axial", "label": LIVER, "planes": planes}),
        );
        self.post(&row.id, "review", &json!({"tab": "p", "reviewed": true}));
        self.post(&row.id, "close", &json!({"tab": "p"}));
        truth.voxels
    }

    /// What a condition makes of all rounds, once it makes anything.
    pub fn until<T>(&self, what: &str, is_so: impl Fn(&Value) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let rounds = self.client.get_json("/api/rounds").unwrap();
            if let Some(found) = is_so(&rounds) {
                return found;
            }
            assert!(rounds["now"]["error"].is_null(), "{what}: {rounds:#}");
            assert!(begun.elapsed() < Duration::from_secs(300), "{what}: {rounds:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A plane in which a label is just what it should be.
fn plane(pixels: &[u16], k: usize) -> Value {
    let (mut set, mut clear) = (Vec::new(), Vec::new());
    let mut at = 0;
    for run in pixels.chunk_by(|a, b| a == b) {
        if run[0] == LIVER {
            set.push([at, run.len()])
        } else {
            clear.push([at, run.len()])
        }
        at += run.len();
    }
    json!({"k": k, "set": set, "clear": clear})
}
