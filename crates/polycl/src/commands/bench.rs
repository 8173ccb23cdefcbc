use std::path::PathBuf;

use polycl_app::bench::{self, Read, Sam2Steps, SamSteps, Steps, refine};
use polycl_image::Plane;
use polycl_nn::bench::Work;
use polycl_nn::device::Device;
use polycl_nn::net::Net;
use serde::Serialize;

use super::shared::NetworkArgs;
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Measure the speed of this machine, refinement and propagation
#[derive(clap::Subcommand)]
#[command(after_help = "Example:\n  polycl bench step --net unet --task supervised")]
pub enum Bench {
    Step(StepArgs),
    Sam(SamArgs),
    Sam2(Sam2Args),
    Refine(RefineArgs),
    Propagate(PropagateArgs),
    Read(ReadArgs),
}

/// Threads of a timed step without --threads, as many as the peer takes.
pub const THREADS: usize = 2;

/// Time random reads of slices from a data set, or the reading of a scan
///
/// Slices are read one after the other. Prints one JSON line. Files that were read before come from the operating
/// system's cache.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl bench read dataset")]
pub struct ReadArgs {
    /// Data set that `polycl import` wrote, or a scan: a file, or a folder of DICOM slices
    path: PathBuf,
    /// Number of slices to read
    #[arg(long, value_name = "N", default_value_t = 5000)]
    slices: usize,
}

/// Time one training or inference step on random slices
///
/// Prints one JSON line with the keys of the PyTorch peer (`pytorch_step.py`).
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl bench step --net unet --task supervised")]
pub struct StepArgs {
    /// Architecture of the network
    #[arg(long, value_parser = ["unet", "resnet18"], default_value = "unet")]
    net: String,
    /// Kind of step
    #[arg(long, value_parser = ["supervised", "contrastive", "inference"], default_value = "supervised")]
    task: String,
    /// Slices per step
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch: usize,
    /// Side of the square slices in pixels, a multiple of 32
    #[arg(long, value_name = "PIXELS", default_value_t = 256)]
    size: usize,
    /// Number of timed steps
    #[arg(long, value_name = "N", default_value_t = 7)]
    steps: usize,
    /// Number of steps before the timed ones
    #[arg(long, value_name = "N", default_value_t = 2)]
    warmup: usize,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
}

/// Time the image encoder and the mask decoder of a Segment Anything network
///
/// Prints one JSON line.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl bench sam --model litemedsam --boxes 4")]
pub struct SamArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Number of boxes decoded together
    #[arg(long, value_name = "N", default_value_t = 4)]
    boxes: usize,
    /// Number of timed repetitions
    #[arg(long, value_name = "N", default_value_t = 9)]
    steps: usize,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
}

/// Time SAM 2: encoding a frame, and following an object on it
///
/// The object is followed with seven memories and sixteen pointers. Prints one JSON line.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl bench sam2 --weights sam2.1_hiera_tiny.pt")]
pub struct Sam2Args {
    /// Official checkpoint (.pth, .pt), or safetensors with its tensor names
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Network [default: recognised from the weights]
    #[arg(long, value_name = "NAME")]
    model: Option<polycl_nn::sam2::Model>,
    /// Number of timed repetitions
    #[arg(long, value_name = "N", default_value_t = 5)]
    steps: usize,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: polycl_nn::device::Device,
}

/// Measure refinement on masks that were made worse on purpose
///
/// Six kinds of mistakes in five strengths are made in a true mask, slice by slice. The paper's rule and the gate
/// refine each. Prints a table: Dice of slices before and after, HD95 of the volume, and the share of slices made
/// worse. An oracle takes the better of the coarse and the network's mask on every slice.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl bench refine scan.nii.gz --truth mask.nii.gz --model litemedsam")]
pub struct RefineArgs {
    /// CT scan: a file, or a folder of DICOM slices
    image: PathBuf,
    /// True mask of the scan
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Values of the labels to measure [default: all]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    labels: Vec<u16>,
    /// Step between the measured slices: 1 for all, 2 for every other
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// CSV file to write, with the measurements of every slice
    #[arg(long, value_name = "FILE")]
    slices: Option<PathBuf>,
    /// Folder for embeddings, which speed up later commands on the same scan
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

/// Measure propagation from one drawn slice, and from several
///
/// Takes slices of a true mask as drawn, propagates them, and compares with the rest. Prints a line for each label
/// and start: Dice and HD95 of the volume, slices missed, and slices filled that should be empty.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl bench propagate scan.nii.gz --truth mask.nii.gz --drawn 2,4")]
pub struct PropagateArgs {
    /// CT scan: a file, or a folder of DICOM slices
    image: PathBuf,
    /// True mask of the scan
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Values of the labels to measure [default: all]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    labels: Vec<u16>,
    /// Planes to draw in: axial, coronal or sagittal
    #[arg(long, value_name = "PLANE", default_value = "axial")]
    plane: Plane,
    /// Names of labels: 1=liver,2=spleen, or a file [default: from the files beside the mask]
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Numbers of drawn slices to start from as well, evenly apart
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    drawn: Vec<usize>,
    /// Number of other slices to compare with the suggested second one; 0 draws no second slice
    #[arg(long, value_name = "N", default_value_t = 0)]
    second: usize,
    /// Also print a line for every slice
    #[arg(long)]
    slices: bool,
    /// Folder for embeddings, which speed up later commands on the same scan
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

pub fn run(bench: Bench) -> anyhow::Result<Ended> {
    match bench {
        Bench::Step(args) => json(&args.steps().time()?),
        Bench::Sam(SamArgs { network, boxes, steps, device }) => {
            json(&SamSteps { weights: network.weights(), boxes, steps, device }.time()?)
        }
        Bench::Sam2(Sam2Args { weights, model, steps, device }) => {
            json(&Sam2Steps { weights, model, steps, device }.time()?)
        }
        Bench::Refine(args) => measure_refinement(args),
        Bench::Propagate(args) => measure_propagation(args),
        Bench::Read(ReadArgs { path, slices }) => json(&Read { path, slices }.time()?),
    }
}

fn json(timed: &impl Serialize) -> anyhow::Result<Ended> {
    talk::data(format_args!("{}\n", serde_json::to_string(timed)?));
    Ok(Ended::Done)
}

impl StepArgs {
    fn steps(self) -> Steps {
        Steps {
            net: if self.net == "unet" { Net::Unet } else { Net::Resnet18 },
            task: match self.task.as_str() {
                "supervised" => Work::Supervised,
                "contrastive" => Work::Contrastive,
                _ => Work::Inference,
            },
            batch: self.batch,
            size: self.size,
            steps: self.steps,
            warmup: self.warmup,
            device: self.device,
        }
    }
}

fn measure_refinement(args: RefineArgs) -> anyhow::Result<Ended> {
    anyhow::ensure!(args.every > 0, "--every: expected at least 1, found 0");
    let RefineArgs { image, truth, labels, every, slices, cache, network, device } = args;
    let weights = network.weights();
    let request = refine::Request { image, truth, labels, every, slices, cache, weights, device };
    let Some(lines) = refine::run(&request, &Terminal::new("masks"))? else { return Ok(Ended::Stopped) };
    talk::data(table(&lines));
    Ok(Ended::Done)
}

fn table(lines: &[refine::Line]) -> String {
    let mut text = String::from(
        "mistake      slices   Dice: coarse   paper    gate  oracle   worse by > 0.01: paper  gate   > 0.02: gate   HD95 (mm): coarse  paper   gate\n",
    );
    for refine::Line { mistake, slices, dice, worse, hd95 } in lines {
        text += &format!(
            "{mistake:<12} {slices:>6}         {:.4}  {:.4}  {:.4}  {:.4}                   {:>4.1}%  {:>4.1}%          {:>4.1}%              {:>6.2} {:>6.2} {:>6.2}\n",
            dice[0], dice[1], dice[2], dice[3], worse[0], worse[1], worse[2], hd95[0], hd95[1], hd95[2],
        );
    }
    text
}

fn measure_propagation(args: PropagateArgs) -> anyhow::Result<Ended> {
    let PropagateArgs { image, truth, labels, plane, names, drawn, second, slices, cache, network, device } =
        args;
    let weights = network.weights();
    let request = bench::propagate::Request {
        image,
        truth,
        labels,
        plane,
        names,
        drawn,
        second,
        slices,
        cache,
        weights,
        device,
    };
    bench::propagate::run(&request, &Terminal::new("propagate"))?;
    Ok(Ended::Done)
}
