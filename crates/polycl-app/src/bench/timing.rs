//! Seconds that reading and computing take here.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use polycl_data::Dataset;
use polycl_image::Input;
use polycl_nn::bench::{Step, Work, decoding, embedding, tracking};
use polycl_nn::device::Device;
use polycl_nn::net::Net;
use polycl_nn::sam2::{self, Sam2};
use serde::{Deserialize, Serialize};

use crate::refinement::SamWeights;

const PEER: &str = concat!("polycl ", env!("CARGO_PKG_VERSION"));

/// Random reads of slices from a data set, or the reading of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    pub path: PathBuf,
    pub slices: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reading {
    Slices { slices: usize, size: usize, seconds: f64, slices_per_s: f64 },
    Scan { shape: [usize; 3], seconds: f64 },
}

impl Read {
    /// Times the reads, one after the other.
    ///
    /// # Errors
    /// What reading can say.
    pub fn time(&self) -> anyhow::Result<Reading> {
        ensure!(self.slices > 0, "--slices: expected at least 1, found 0");
        if !Dataset::lies_in(&self.path) {
            let start = Instant::now();
            let image = Input::open(&self.path, None)?.image()?;
            return Ok(Reading::Scan { shape: image.space.shape, seconds: start.elapsed().as_secs_f64() });
        }
        let dataset = Dataset::open(&self.path)?;
        let scans = &dataset.index.scans;
        // A prime stride visits scans and slices in an order that no cache foresees.
        let slice = |i: usize| (i * 7919 % scans.len(), i * 104_729);
        let start = Instant::now();
        for (scan, slice) in (0..self.slices).map(slice) {
            dataset.image(scan, slice % scans[scan].slices)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let size = dataset.index.preprocess.size;
        Ok(Reading::Slices { slices: self.slices, size, seconds, slices_per_s: self.slices as f64 / seconds })
    }
}

/// Training or inference steps on random slices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    pub net: Net,
    pub task: Work,
    pub batch: usize,
    pub size: usize,
    pub steps: usize,
    pub warmup: usize,
    pub device: Device,
}

/// Seconds of a step, with the keys of the PyTorch peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepTimes {
    peer: &'static str,
    device: Device,
    instruction_set: &'static str,
    net: Net,
    task: Work,
    batch: usize,
    size: usize,
    threads: usize,
    median_s: f64,
    min_s: f64,
    max_s: f64,
    idle_rss_mib: Option<f64>,
    peak_rss_mib: Option<f64>,
}

impl Steps {
    /// # Errors
    /// Sizes that make no sense.
    pub fn time(&self) -> anyhow::Result<StepTimes> {
        let &Self { net, task, batch, size, steps, warmup, device } = self;
        ensure!(batch > 0 && steps > 0, "expected at least one slice and one step");
        ensure!(size > 0 && size.is_multiple_of(32), "--size: expected a multiple of 32, found {size}");
        let idle_rss_mib = peak_rss_mib();
        let mut seconds = Step { net, work: task, batch, size, steps, warmup, device }.seconds();
        seconds.sort_by(f64::total_cmp);
        Ok(StepTimes {
            peer: PEER,
            device,
            instruction_set: polycl_nn::kernels::instruction_set(),
            net,
            task,
            batch,
            size,
            threads: rayon::current_num_threads(),
            median_s: median(&seconds),
            min_s: seconds[0],
            max_s: seconds[seconds.len() - 1],
            idle_rss_mib,
            peak_rss_mib: peak_rss_mib(),
        })
    }
}

/// The network that was timed, and the machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Setting {
    peer: &'static str,
    device: Device,
    instruction_set: &'static str,
    model: String,
    threads: usize,
}

impl Setting {
    fn of(model: &impl std::fmt::Display, device: Device) -> Self {
        let instruction_set = polycl_nn::kernels::instruction_set();
        let threads = rayon::current_num_threads();
        Self { peer: PEER, device, instruction_set, model: model.to_string(), threads }
    }
}

/// The image encoder and the mask decoder of a Segment Anything network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamSteps {
    pub weights: SamWeights,
    /// Boxes that are decoded together.
    pub boxes: usize,
    pub steps: usize,
    pub device: Device,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SamTimes {
    #[serde(flatten)]
    setting: Setting,
    encoder_s: f64,
    decoder_s: f64,
    boxes: usize,
    decoder_boxes_s: f64,
    peak_rss_mib: Option<f64>,
}

impl SamSteps {
    /// # Errors
    /// Weights that cannot be read.
    pub fn time(&self) -> anyhow::Result<SamTimes> {
        ensure!(self.boxes > 0 && self.steps > 0, "expected at least one box and one step");
        let (model, sam) = self.weights.open(self.device)?;
        let repeats = [2, self.steps];
        Ok(SamTimes {
            setting: Setting::of(&model, self.device),
            encoder_s: median_of(embedding(&sam, repeats, self.device)),
            decoder_s: median_of(decoding(&sam, 1, repeats, self.device)),
            boxes: self.boxes,
            decoder_boxes_s: median_of(decoding(&sam, self.boxes, repeats, self.device)),
            peak_rss_mib: peak_rss_mib(),
        })
    }
}

/// Encoding a frame by SAM 2, and finding an object on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sam2Steps {
    pub weights: PathBuf,
    pub model: Option<sam2::Model>,
    pub steps: usize,
    pub device: Device,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sam2Times {
    #[serde(flatten)]
    setting: Setting,
    encoder_s: f64,
    track_s: f64,
    frame_s: f64,
    peak_rss_mib: Option<f64>,
}

impl Sam2Steps {
    /// # Errors
    /// Weights that cannot be read.
    pub fn time(&self) -> anyhow::Result<Sam2Times> {
        ensure!(self.steps > 0, "expected at least one step");
        let (model, network) = Sam2::open(&self.weights, self.model, self.device)?;
        let [encoder_s, track_s] = tracking(&network, [1, self.steps], self.device)?.map(median_of);
        Ok(Sam2Times {
            setting: Setting::of(&model, self.device),
            encoder_s,
            track_s,
            frame_s: encoder_s + track_s,
            peak_rss_mib: peak_rss_mib(),
        })
    }
}

fn median_of(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    median(&seconds)
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The most memory this process ever held, as the kernel counts it; `None` where it does not tell.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
}
