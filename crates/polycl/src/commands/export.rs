use std::path::PathBuf;

use polycl_app::export::{Layout, Request, run as export};
use polycl_image::legend::IGNORE;

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Write a data set, and masks of its scans, for other programs
///
/// With --nnunet, scans with masks go to imagesTr and labelsTr, scans without to imagesTs. Masks that a network made
/// are listed in labelsTr/polycl.json. With --dicom-seg or --rtstruct, CASE.dcm is written for each scan that is a
/// DICOM series and has a mask.
///
/// For nnU-Net, name the folder as nnU-Net expects, such as nnUNet_raw/Dataset501_Liver. Copy splits_final.json, which splits
/// by patient, to the folder of the same name in nnUNet_preprocessed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl export dataset --nnunet --out nnUNet_raw/Dataset501_Liver")]
pub struct Args {
    /// Data set that `polycl import` wrote
    dataset: PathBuf,
    #[command(flatten)]
    layout: LayoutArgs,
    /// Organs to write, separated by commas, as labels 1, 2, ... [default: all]
    #[arg(long, value_name = "ORGAN", value_delimiter = ',')]
    organ: Vec<String>,
    /// Folder of masks CASE.nii.gz, for scans without masks in the data set
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The files to write.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct LayoutArgs {
    /// Write the layout of nnU-Net's raw data
    #[arg(long)]
    nnunet: bool,
    /// Write a DICOM segmentation for each series
    #[arg(long)]
    dicom_seg: bool,
    /// Write contours (RTSTRUCT) for each series
    #[arg(long)]
    rtstruct: bool,
}

impl LayoutArgs {
    fn layout(&self) -> Layout {
        match (self.dicom_seg, self.rtstruct) {
            (true, _) => Layout::DicomSeg,
            (_, true) => Layout::Rtstruct,
            _ => Layout::Nnunet,
        }
    }
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let layout = args.layout.layout();
    let request =
        Request { dataset: args.dataset, layout, organs: args.organ, masks: args.masks, out: args.out };
    let exported = export(&request, &Terminal::new("export"))?;
    let labels = (1..).zip(&exported.organs).map(|(value, organ)| format!("{organ} {value}"));
    let labels = labels.chain(exported.ignored.map(|value| format!("{IGNORE} {value}")));
    talk::data(format_args!(
        "{}: {} scans with masks by hand, {} by machine, {} without; labels {}\n",
        request.out.display(),
        exported.by_hand.len(),
        exported.by_machine.len(),
        exported.unlabelled,
        labels.collect::<Vec<_>>().join(", "),
    ));
    Ok(Ended::Done)
}
