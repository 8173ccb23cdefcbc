mod propagate;
mod refine;

use std::path::{Path, PathBuf};
use std::time::Instant;

use polycl_nn::bench::{Step, Work, decoding, embedding, tracking};
use polycl_nn::net::Net;
use polycl_nn::sam2::Sam2;
use polycl_volume::Input;
use polycl_volume::dataset::Dataset;
use serde_json::json;

use crate::cli::Outcome;
use crate::talk;

/// Measure how fast networks are here, and what refinement is worth
#[derive(clap::Subcommand)]
pub enum Bench {
    Step(StepArgs),
    Sam(SamArgs),
    Sam2(Sam2Args),
    Refine(refine::RefineArgs),
    Propagate(propagate::PropagateArgs),
    Read(ReadArgs),
}

/// Threads of a timed step where --threads does not say, as the peer has it.
pub const THREADS: usize = 2;

/// Time random reads of slices from a data set, one after the other, or the reading of a scan
///
/// Prints one JSON line. What was read before comes from the operating system's cache.
#[derive(clap::Args)]
pub struct ReadArgs {
    /// Data set that `polycl import` wrote, or a scan: a file, or a folder of DICOM slices
    path: PathBuf,
    /// Slices to read
    #[arg(long, value_name = "N", default_value_t = 5000)]
    slices: usize,
}

/// Time one training (or inference) step on random slices
///
/// Prints one JSON line with the keys of the PyTorch peer (`pytorch_step.py`). Takes two threads unless
/// --threads says otherwise.
#[derive(clap::Args)]
pub struct StepArgs {
    #[arg(long, value_parser = ["unet", "resnet18"], default_value = "unet")]
    net: String,
    #[arg(long, value_parser = ["supervised", "contrastive", "inference"], default_value = "supervised")]
    task: String,
    /// Slices a step
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch: usize,
    /// Side of the slices; a multiple of 32
    #[arg(long, value_name = "N", default_value_t = 256)]
    size: usize,
    /// Timed steps
    #[arg(long, value_name = "N", default_value_t = 7)]
    steps: usize,
    /// Steps before the timed ones
    #[arg(long, value_name = "N", default_value_t = 2)]
    warmup: usize,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
}

/// Time the image encoder and the mask decoder of a Segment Anything network
///
/// Prints one JSON line. Takes two threads unless --threads says otherwise.
#[derive(clap::Args)]
pub struct SamArgs {
    #[command(flatten)]
    network: super::sam::Network,
    /// Boxes that are decoded together
    #[arg(long, value_name = "N", default_value_t = 4)]
    boxes: usize,
    /// Timed repetitions
    #[arg(long, value_name = "N", default_value_t = 9)]
    steps: usize,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
}

/// Time SAM 2: encoding a frame, and finding an object on it with seven memories and sixteen pointers
///
/// Prints one JSON line. Takes two threads unless --threads says otherwise.
#[derive(clap::Args)]
pub struct Sam2Args {
    /// Official checkpoint, or safetensors with its names
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Which network, where the weights fit several
    #[arg(long, value_name = "NAME")]
    model: Option<polycl_nn::sam2::Model>,
    /// Timed repetitions
    #[arg(long, value_name = "N", default_value_t = 5)]
    steps: usize,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
}

pub fn run(bench: &Bench) -> anyhow::Result<Outcome> {
    match bench {
        Bench::Step(args) => time_step(args),
        Bench::Sam(args) => time_sam(args),
        Bench::Sam2(args) => time_sam2(args),
        Bench::Refine(args) => refine::run(args),
        Bench::Propagate(args) => propagate::run(args),
        Bench::Read(args) => time_reads(args),
    }
}

fn time_reads(args: &ReadArgs) -> anyhow::Result<Outcome> {
    anyhow::ensure!(args.slices > 0, "--slices: expected at least 1, found 0");
    if !Dataset::lies_in(&args.path) {
        return time_scan(&args.path);
    }
    let dataset = Dataset::open(&args.path)?;
    let scans = &dataset.index.scans;
    // A prime stride visits scans and slices in an order that no cache foresees.
    let slice = |i: usize| (i * 7919 % scans.len(), i * 104_729);
    let start = Instant::now();
    for (scan, slice) in (0..args.slices).map(slice) {
        dataset.image(scan, slice % scans[scan].slices)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let size = dataset.index.preprocess.size;
    let rate = args.slices as f64 / seconds;
    let timed = json!({ "slices": args.slices, "size": size, "seconds": seconds, "slices_per_s": rate });
    talk::data(format_args!("{timed}\n"));
    Ok(Outcome::Done)
}

fn time_scan(path: &Path) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let image = Input::open(path, None)?.image()?;
    let timed = json!({ "shape": image.space.shape, "seconds": start.elapsed().as_secs_f64() });
    talk::data(format_args!("{timed}\n"));
    Ok(Outcome::Done)
}

fn time_step(args: &StepArgs) -> anyhow::Result<Outcome> {
    anyhow::ensure!(args.batch > 0 && args.steps > 0, "expected at least one slice and one step");
    anyhow::ensure!(
        args.size > 0 && args.size.is_multiple_of(32),
        "--size: expected a multiple of 32, found {}",
        args.size
    );
    let idle = peak_rss_mib();
    let mut seconds = step(args).seconds();
    seconds.sort_by(f64::total_cmp);
    let StepArgs { net, task, batch, size, .. } = args;
    talk::data(format_args!(
        "{}\n",
        json!({
            "peer": concat!("polycl ", env!("CARGO_PKG_VERSION")),
            "device": args.device,
            "instruction_set": polycl_nn::kernels::instruction_set(),
            "net": net, "task": task, "batch": batch, "size": size,
            "threads": rayon::current_num_threads(),
            "median_s": median(&seconds),
            "min_s": seconds[0],
            "max_s": seconds[seconds.len() - 1],
            "idle_rss_mib": idle,
            "peak_rss_mib": peak_rss_mib(),
        })
    ));
    Ok(Outcome::Done)
}

fn time_sam(args: &SamArgs) -> anyhow::Result<Outcome> {
    anyhow::ensure!(args.boxes > 0 && args.steps > 0, "expected at least one box and one step");
    let (model, sam) = args.network.open(args.device)?;
    let repeats = [2, args.steps];
    let timed = json!({
        "peer": concat!("polycl ", env!("CARGO_PKG_VERSION")),
        "device": args.device,
        "instruction_set": polycl_nn::kernels::instruction_set(),
        "model": model.to_string(),
        "threads": rayon::current_num_threads(),
        "encoder_s": median_of(embedding(&sam, repeats, args.device)),
        "decoder_s": median_of(decoding(&sam, 1, repeats, args.device)),
        "boxes": args.boxes,
        "decoder_boxes_s": median_of(decoding(&sam, args.boxes, repeats, args.device)),
        "peak_rss_mib": peak_rss_mib(),
    });
    talk::data(format_args!("{timed}\n"));
    Ok(Outcome::Done)
}

fn time_sam2(args: &Sam2Args) -> anyhow::Result<Outcome> {
    anyhow::ensure!(args.steps > 0, "expected at least one step");
    let (model, network) = Sam2::open(&args.weights, args.model, args.device)?;
    let [encoding, finding] = tracking(&network, [1, args.steps], args.device)?.map(median_of);
    let timed = json!({
        "peer": concat!("polycl ", env!("CARGO_PKG_VERSION")),
        "device": args.device,
        "instruction_set": polycl_nn::kernels::instruction_set(),
        "model": model.to_string(),
        "threads": rayon::current_num_threads(),
        "encoder_s": encoding,
        "track_s": finding,
        "frame_s": encoding + finding,
        "peak_rss_mib": peak_rss_mib(),
    });
    talk::data(format_args!("{timed}\n"));
    Ok(Outcome::Done)
}

fn step(args: &StepArgs) -> Step {
    Step {
        net: if args.net == "unet" { Net::Unet } else { Net::Resnet18 },
        work: match args.task.as_str() {
            "supervised" => Work::Supervised,
            "contrastive" => Work::Contrastive,
            _ => Work::Inference,
        },
        batch: args.batch,
        size: args.size,
        steps: args.steps,
        warmup: args.warmup,
        device: args.device,
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

/// The most memory this process ever held, as the kernel counts it; `null` where it does not tell.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
}
