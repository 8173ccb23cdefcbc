use std::path::PathBuf;

use polycl_app::export::{Request, run as export};

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Write a data set, and any masks of its scans, for other programs.
///
/// nnU-Net: scans with masks go to imagesTr and labelsTr, those without to imagesTs, and masks that a
/// machine drew are listed in labelsTr/polycl.json. Call the folder as nnU-Net wants it, such as
/// nnUNet_raw/Dataset501_Liver, and copy splits_final.json, which splits by patient, to the folder of
/// the same name in nnUNet_preprocessed.
#[derive(clap::Args)]
pub struct Args {
    /// A data set
    dataset: PathBuf,
    /// In the layout of nnU-Net's raw data
    #[arg(long, required = true)]
    nnunet: bool,
    /// Organs to write, as labels 1, 2, ...; all without it
    #[arg(long, value_name = "ORGAN", value_delimiter = ',')]
    organ: Vec<String>,
    /// Folder of masks, named CASE.nii.gz, for scans that have none in the data set
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
