use std::path::PathBuf;

use polycl_app::export::{Request, run as export};
use polycl_image::legend::IGNORE;

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Write a data set in nnU-Net's layout
///
/// Scans with masks go to imagesTr and labelsTr, scans without to imagesTs. Masks that a network made are listed in
/// labelsTr/polycl.json.
///
/// Name the folder as nnU-Net expects, such as nnUNet_raw/Dataset501_Liver. Copy splits_final.json, which splits
/// by patient, to the folder of the same name in nnUNet_preprocessed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl export dataset --nnunet --out nnUNet_raw/Dataset501_Liver")]
pub struct Args {
    /// Data set that `polycl import` wrote
    dataset: PathBuf,
    /// Write the layout of nnU-Net's raw data, the only one supported
    #[arg(long, required = true)]
    nnunet: bool,
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

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = Request { dataset: args.dataset, organs: args.organ, masks: args.masks, out: args.out };
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
