//! Arguments that several commands have in common.

use std::path::PathBuf;

use polycl_app::{Judge, MaskFormat, RefineSettings, SamWeights, ScanPath};
use polycl_image::nifti::Form;
use polycl_nn::sam::Model;

/// A scan to work on.
#[derive(clap::Args)]
pub struct ScanArgs {
    /// CT scan: a file, or a folder of DICOM slices
    image: PathBuf,
    /// Series to take where the folder holds several, by its UID
    #[arg(long, value_name = "UID")]
    series: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

impl ScanArgs {
    pub fn scan(self) -> ScanPath {
        ScanPath { image: self.image, series: self.series, trust: self.trust.trust }
    }
}

/// The word of a person about NIfTI headers.
#[derive(clap::Args)]
pub struct TrustArgs {
    /// Form of NIfTI headers that is believed where two contradict each other: sform or qform; the sform
    /// without it
    #[arg(long, value_name = "FORM")]
    pub trust: Option<Form>,
}

/// What masks are written as.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum FormatArg {
    Nifti,
    /// NIfTI, and beside it CASE.dcm, a DICOM segmentation of the series
    DicomSeg,
}

impl From<FormatArg> for MaskFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Nifti => Self::Nifti,
            FormatArg::DicomSeg => Self::DicomSeg,
        }
    }
}

/// Which network, and where its weights are.
#[derive(clap::Args)]
pub struct NetworkArgs {
    /// litemedsam, mobilesam, medsam, sam-vit-b, sam-vit-l or sam-vit-h; told by the weights where they
    /// can tell
    #[arg(long, value_name = "NAME")]
    model: Option<Model>,
    /// Official checkpoint (.pth, .pt) or safetensors with its names; without it, what `polycl fetch`
    /// has brought
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl NetworkArgs {
    pub fn weights(self) -> SamWeights {
        SamWeights { model: self.model, file: self.weights }
    }
}

/// How masks are refined.
#[derive(clap::Args)]
pub struct RefinementArgs {
    /// Who decides about the network's masks; the gate without it
    #[arg(long, value_enum)]
    rule: Option<JudgeArg>,
    /// Intensity window in HU: centre,width; by the organ's name without it
    #[arg(long, value_name = "C,W", value_parser = window, allow_hyphen_values = true)]
    window: Option<[f32; 2]>,
    /// Take slices back whose refined mask fits the neighbouring slices less well
    #[arg(long)]
    consistent: bool,
    /// Keep the network's embeddings of the slices in this folder, for later commands on the same scan
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum JudgeArg {
    /// Each part by itself, by predicted IoU, agreement with the coarse mask and stability
    Gate,
    /// As published: one box for each organ and slice, and its mask replaces the coarse one
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
