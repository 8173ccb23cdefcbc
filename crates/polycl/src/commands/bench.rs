use std::path::PathBuf;

use polycl_app::bench::{self, Read, Sam2Steps, SamSteps, Steps, refine};
use polycl_nn::bench::Work;
use polycl_nn::device::Device;
use polycl_nn::net::Net;
use serde::Serialize;

use super::shared::NetworkArgs;
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Measure how fast networks are here, and what refinement is worth
#[derive(clap::Subcommand)]
pub enum Bench {
    Step(StepArgs),
    Sam(SamArgs),
    Sam2(Sam2Args),
    Refine(RefineArgs),
    Propagate(PropagateArgs),
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
    network: NetworkArgs,
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

/// Measure what refinement does to masks that were made worse on purpose
///
/// Six kinds of mistakes in five strengths are made in a true mask, slice by slice, and refined by the
/// paper's rule and through the gate. Prints a table: Dice of slices before, after each, and of an oracle
/// that takes the better of the coarse and the network's mask on every slice; HD95 of the volume; and how many slices each
/// made worse.
#[derive(clap::Args)]
pub struct RefineArgs {
    /// CT scan
    image: PathBuf,
    /// Its true mask
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Labels to take, by number; all without it
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    labels: Vec<u16>,
    /// Take every Nth slice only
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Also write what was measured of every slice to a CSV file
    #[arg(long, value_name = "FILE")]
    slices: Option<PathBuf>,
    /// Folder in which embeddings are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

/// Measure what propagation makes of one annotated slice, and of several
///
/// Takes slices of a true mask for drawn ones, propagates them, and compares with the rest. Prints a line
/// for each label and start: Dice and HD95 of the volume, slices that were missed and slices that should
/// be empty.
#[derive(clap::Args)]
pub struct PropagateArgs {
    /// CT scan
    image: PathBuf,
    /// Its true mask
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Labels to take, by number; all without it
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    labels: Vec<u16>,
    /// Names of labels: a file, or 1=liver,2=spleen; else those beside the mask
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Also draw so many slices, evenly apart
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    drawn: Vec<usize>,
    /// Also draw a second slice: the one that is suggested, and each of so many others
    #[arg(long, value_name = "N", default_value_t = 0)]
    second: usize,
    /// Print what is known of every slice, too
    #[arg(long)]
    slices: bool,
    /// Folder in which embeddings are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
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
    let PropagateArgs { image, truth, labels, names, drawn, second, slices, cache, network, device } = args;
    let weights = network.weights();
    let request = bench::propagate::Request {
        image,
        truth,
        labels,
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
