//! Arguments that several commands have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polycl_app::{Judge, MaskFormat, RefineSettings, SamWeights, ScanPath};
use polycl_data::Shard;
use polycl_image::nifti::Form;
use polycl_nn::sam::Model;

use crate::ended::Ended;
use crate::talk;

/// A scan to work on.
#[derive(clap::Args)]
pub struct ScanArgs {
    /// CT scan: a file, or a folder of DICOM slices
    image: PathBuf,
    /// UID of the DICOM series, where the folder holds several
    #[arg(long, value_name = "UID")]
    series: Option<String>,
    #[command(flatten)]
    reading: ReadingArgs,
}

impl ScanArgs {
    pub fn scan(self) -> ScanPath {
        ScanPath {
            image: self.image,
            series: self.series,
            trust: self.reading.trust.trust,
            fill_gaps: self.reading.fill_gaps,
        }
    }
}

/// The form of NIfTI headers to trust.
#[derive(clap::Args)]
pub struct TrustArgs {
    /// NIfTI transform to trust where sform and qform contradict each other [default: sform]
    #[arg(long, hide_short_help = true, value_name = "FORM")]
    pub trust: Option<Form>,
}

/// The way to read masks whose files leave a choice.
#[derive(clap::Args)]
pub struct ReadingArgs {
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Interpolate the shape of an RTSTRUCT's organ in slices without a contour between others
    #[arg(long, hide_short_help = true)]
    pub fill_gaps: bool,
}

/// A cohort done by several processes.
#[derive(clap::Args)]
pub struct ShardArgs {
    /// Do only shard I of N, such as 0/8; `auto` asks the scheduler
    ///
    /// Run the same command for every I from 0 to N-1, on any computers that share the folder, then unite the results with
    /// --merge. A shard that was stopped or killed resumes when its command runs again. `auto` takes I and N from POLYCL_SHARD
    /// or a Slurm array; `auto/N` also takes I from a Kubernetes Job.
    #[arg(long, value_name = "I/N", help_heading = "Clusters")]
    shard: Option<String>,
}

impl ShardArgs {
    pub fn shard(&self) -> polycl_base::Result<Option<Shard>> {
        self.shard.as_deref().map(|text| Shard::asked(text, |name| std::env::var(name).ok())).transpose()
    }
}

/// Tells what follows when all shards of a command are done.
pub fn tell_shard(shard: Shard, command: &str, out: &Path) {
    talk::note(format_args!("shard {shard} is done; once all {} are:", shard.of));
    talk::next(format_args!("{command} --merge {}", out.display()));
}

/// Lists the cases of merged shards that failed, with the reasons.
pub fn tell_merged(failed: &BTreeMap<String, String>) -> Ended {
    if failed.is_empty() {
        return Ended::Done;
    }
    talk::note(format_args!("{} failed:", failed.len()));
    failed.iter().for_each(|(case, reason)| talk::note(format_args!("  {case}: {reason}")));
    Ended::SomeFailed
}

/// File formats of masks.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum FormatArg {
    /// NIfTI (.nii.gz)
    Nifti,
    /// NIfTI, and CASE.dcm beside it: a DICOM segmentation of the series
    DicomSeg,
    /// NIfTI, and CASE.dcm beside it: contours (RTSTRUCT) on the series
    Rtstruct,
}

impl From<FormatArg> for MaskFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Nifti => Self::Nifti,
            FormatArg::DicomSeg => Self::DicomSeg,
            FormatArg::Rtstruct => Self::Rtstruct,
        }
    }
}

/// A Segment Anything network and its weights.
#[derive(clap::Args)]
pub struct NetworkArgs {
    /// Segment Anything network [default: recognised from the weights]
    ///
    /// litemedsam, mobilesam, medsam, sam-vit-b, sam-vit-l or sam-vit-h. The name is needed where the weights fit
    /// several networks.
    #[arg(long, value_name = "NAME")]
    model: Option<Model>,
    /// Weights of the network [default: those from `polycl fetch`]
    ///
    /// An official checkpoint (.pth, .pt), or safetensors with its tensor names.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl NetworkArgs {
    pub fn weights(self) -> SamWeights {
        SamWeights { model: self.model, file: self.weights }
    }
}

/// The settings of refinement.
#[derive(clap::Args)]
pub struct RefinementArgs {
    /// Rule that accepts or rejects the network's masks [default: gate]
    #[arg(long, value_enum)]
    rule: Option<JudgeArg>,
    /// Intensity window in HU: centre,width [default: by the organ's name]
    #[arg(long, value_name = "C,W", value_parser = window, allow_hyphen_values = true)]
    window: Option<[f32; 2]>,
    /// Undo refinements that fit neighbouring slices less well
    #[arg(long)]
    consistent: bool,
    /// Folder for embeddings, which speed up later commands on the same scan
    #[arg(long, hide_short_help = true, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum JudgeArg {
    /// Judge each part by predicted IoU, agreement with the coarse mask, and stability
    Gate,
    /// Prompt with one box per organ and slice, and take every answer, as published
    Paper,
}

impl RefinementArgs {
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

    pub fn refinement(self) -> RefineSettings {
        let judge = match self.rule {
            None | Some(JudgeArg::Gate) => Judge::Gate,
            Some(JudgeArg::Paper) => Judge::Paper,
        };
        RefineSettings { judge, window: self.window, consistent: self.consistent, cache: self.cache }
    }
}

/// An intensity window: centre,width.
pub fn window(text: &str) -> Result<[f32; 2], String> {
    let number = |part: &str| part.trim().parse::<f32>().map_err(|e| format!("{part:?}: {e}"));
    let (centre, width) = text.split_once(',').ok_or("expected two numbers: centre,width")?;
    Ok([number(centre)?, number(width)?])
}
