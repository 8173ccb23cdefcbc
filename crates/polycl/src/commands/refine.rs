use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_nn::device::Device;
use polycl_nn::refine::{Gate, Options, Refiner, Rule};
use polycl_volume::dataset::provenance::{Record, refinement, settle};
use polycl_volume::dicom::segmentation::Automation;
use polycl_volume::{Mask, files, nifti, odd, output};

use super::case::{MaskFormat, ScanArgs, Targets, read_truth, write_names};
use super::sam::{Network, check_window, given_or_beside, note_decisions, on_grid, write_decisions};
use crate::cli::Outcome;
use crate::{picture, talk};

/// Sharpen a coarse mask with a Segment Anything network
///
/// The box around every connected part of every label in every axial slice prompts the network; a gate
/// decides whether its mask replaces the coarse one. Parts smaller than 50 mm² or 9 pixels stay as they
/// are. What was decided stands in refine.csv beside the refined mask, and the names of its labels in
/// CASE.labels.json.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    scan: ScanArgs,
    /// Its coarse mask
    #[arg(long, value_name = "FILE")]
    mask: PathBuf,
    /// Refined mask to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    how: How,
    /// Picture of the slices in which most was changed: coarse orange, refined green, truth blue
    #[arg(long, value_name = "PNG")]
    picture: Option<PathBuf>,
    /// True mask, for the picture
    #[arg(long, value_name = "FILE", requires = "picture")]
    truth: Option<PathBuf>,
    /// Names of labels, which choose the intensity window: a file, or 1=liver,2=spleen; else those
    /// beside the mask
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Format of the mask
    #[arg(long, value_enum, default_value = "nifti")]
    format: MaskFormat,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

/// How masks are refined.
#[derive(clap::Args)]
pub struct How {
    /// Who decides about the network's masks; the gate without it
    #[arg(long, value_enum)]
    rule: Option<RuleName>,
    /// Intensity window in HU: centre,width; by the organ's name without it
    #[arg(long, value_name = "C,W", value_parser = super::import::window, allow_hyphen_values = true)]
    window: Option<[f32; 2]>,
    /// Take slices back whose refined mask fits the neighbouring slices less well
    #[arg(long)]
    consistent: bool,
    /// Keep the network's embeddings of the slices in this folder, for later commands on the same scan
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum RuleName {
    /// Each part by itself, by predicted IoU, agreement with the coarse mask and stability
    Gate,
    /// As published: one box for each organ and slice, and its mask replaces the coarse one
    Paper,
}

impl How {
    /// In words, for the record.
    pub fn describe(&self, refiner: &Refiner) -> String {
        let rule = match self.rule {
            None | Some(RuleName::Gate) => "gate",
            Some(RuleName::Paper) => "paper",
        };
        let window = self.window.map_or_else(String::new, |[c, w]| format!(", window {c},{w}"));
        let consistent = if self.consistent { ", consistent" } else { "" };
        format!("{} {:08x}, {rule}{window}{consistent}", refiner.model(), refiner.checksum())
    }

    /// A sentence about settings that make no sense.
    pub fn check(&self) -> anyhow::Result<()> {
        check_window(self.window)
    }

    /// The first of the flags that was given.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--rule", self.rule.is_some()),
            ("--window", self.window.is_some()),
            ("--consistent", self.consistent),
            ("--cache", self.cache.is_some()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }

    pub fn options(&self) -> Options {
        let rule = match self.rule {
            None | Some(RuleName::Gate) => Rule::Gate(Gate::default()),
            Some(RuleName::Paper) => Rule::Paper,
        };
        Options { rule, window: self.window, consistent: self.consistent }
    }
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    args.how.check()?;
    refuse_overwriting(args)?;
    let input = args.scan.open()?;
    args.format.check(&input, &args.out)?;
    let image = input.image()?;
    talk::odd(&args.scan.image.display().to_string(), &odd::of(&input, &image)?);
    let on_grid = |path: &Path, mask: Mask| on_grid(path, mask, &args.scan.image, &image);
    let coarse = on_grid(&args.mask, files::read_mask(&args.mask)?)?;
    let truth =
        args.truth.as_deref().map(|path| anyhow::Ok(on_grid(path, read_truth(path)?)?)).transpose()?;
    let names = given_or_beside(args.names.as_deref(), &args.mask)?;
    let case = nifti::case_name(&args.out).unwrap_or_default();
    let folder = args.out.parent().map_or_else(PathBuf::new, PathBuf::from);
    refinement::check(&folder)?;
    let (model, sam) = args.network.open(args.device)?;
    let refiner = Refiner::new(model, sam, args.device, args.how.cache.clone());
    let bar = talk::progress(0, &case);
    let refined = refiner.refine(&image, &coarse, &names, args.how.options(), &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let refined = refined?;
    // The decisions come first, so that no mask is ever without them.
    write_decisions(&folder, &case, &names, &refined.decisions)?;
    write_names(&folder, &case, &names)?;
    args.format.write(&args.out, &refined.mask, &input, &names, Automation::Automatic)?;
    settle(&folder, &case, &[Record::Refine])?;
    if let Some(path) = &args.picture {
        match picture::changes(&image, [&coarse, &refined.mask], truth.as_ref())? {
            Some(png) => output::atomically(path, |file| file.write_all(&png))?,
            None => talk::note("nothing was changed, so there is no picture"),
        }
    }
    note_decisions(&case, &refined.decisions);
    talk::note(format_args!("refined by {model}: {}", args.out.display()));
    Ok(Outcome::Done)
}

/// The refined mask must take the place neither of the scan nor of the coarse mask.
fn refuse_overwriting(args: &Args) -> anyhow::Result<()> {
    let targets = Targets { mask: &args.out, picture: args.picture.as_deref(), what: "refined mask" };
    targets.check(&[
        (Some(&args.scan.image), "the scan"),
        (Some(&args.mask), "the coarse mask"),
        (args.truth.as_ref(), "the true mask"),
    ])
}
