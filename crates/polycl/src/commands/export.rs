use std::path::PathBuf;

use polycl_volume::dataset::{Dataset, Event, Export};

use crate::cli::Outcome;
use crate::talk;

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

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let dataset = Dataset::open(&args.dataset)?;
    let export = Export { dataset: &dataset, organs: args.organ.clone(), masks: args.masks.as_deref() };
    let bar = talk::progress(dataset.index.scans.len() as u64, "export");
    let exported = export.write(&args.out, &mut |event| match event {
        Event::Scan { case, number, .. } => {
            bar.set_position(number as u64);
            bar.set_message(format!("export {case}"));
        }
        Event::Note(text) => bar.suspend(|| talk::note(text)),
        Event::Failed { .. } => {}
    })?;
    bar.finish_and_clear();
    let labels = (1..).zip(&exported.organs).map(|(value, organ)| format!("{organ} {value}"));
    talk::data(format_args!(
        "{}: {} scans with masks by hand, {} by machine, {} without; labels {}\n",
        args.out.display(),
        exported.by_hand.len(),
        exported.by_machine.len(),
        exported.unlabelled,
        labels.collect::<Vec<_>>().join(", "),
    ));
    Ok(Outcome::Done)
}
