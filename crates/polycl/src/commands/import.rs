use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use polycl_volume::dataset::pairs::{self, Pair};
use polycl_volume::dataset::{self, DrawnSlices, Event, Imported, Index, Origin, Plan, Ranges, Scan, names};
use polycl_volume::preprocess::{Fit, Normalise, Preprocess};

use crate::cli::Outcome;
use crate::fetch::Environment;
use crate::{stop, talk};

/// Build a data set from scans and, where there are any, their masks.
///
/// Masks are paired with images by file name; a mask may also be a folder CASE with one file per
/// structure. Label names come from CASE.labels.json, the header of a .seg.nrrd, labels.json or
/// dataset.json beside the masks or one level up, or from --names.
///
/// Who drew a mask is told by --origin or the column origin, else by what lies beside it:
/// propagate.csv, polycl.json or refine.csv that knows of it, or what nnU-Net, TotalSegmentator or MONAI
/// Label leave beside their masks. Any other was drawn by hand. Only masks drawn by hand validate.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    scans: Scans,
    /// Folder of masks named like their images
    #[arg(long, value_name = "DIR", requires = "images")]
    labels: Option<PathBuf>,
    /// Series to take of --dicom, by UID; all of CT without it
    #[arg(long, value_name = "UID", value_delimiter = ',', requires = "dicom")]
    series: Vec<String>,
    /// Who drew the masks: hand, propagated or predicted; as the files beside them tell without it
    #[arg(long, value_name = "ORIGIN", requires = "labels")]
    origin: Option<Origin>,
    /// Slices that show an organ, without a mask: CSV file with the columns
    /// scan,organ,first_slice,last_slice (from 0, inclusive, in file order; both empty: absent)
    #[arg(long, value_name = "FILE.csv")]
    ranges: Option<PathBuf>,
    /// Slices that are drawn, of masks in which not all are: CSV file with the columns scan,slice and maybe
    /// organ (counted as in --ranges). With --ranges alone, slices of a range in which the mask shows nothing
    /// are not drawn
    #[arg(long, value_name = "FILE.csv")]
    drawn: Option<PathBuf>,
    /// Names of label values: 1=liver,2=spleen or a JSON or CSV file
    #[arg(long, value_name = "FILE|LIST", conflicts_with_all = ["nnunet", "msd", "dicom"])]
    names: Option<String>,
    /// Organs to keep; the others become background
    #[arg(long, value_name = "ORGAN", value_delimiter = ',')]
    only: Vec<String>,
    /// Folder to write the data set to
    #[arg(long, value_name = "DATASET")]
    out: PathBuf,
    /// Add the scans that are not in the data set yet: those of an import that was killed, that
    /// could not be read then, or that are new
    #[arg(long = "continue")]
    go_on: bool,
    /// Side of the square slices in pixels, a multiple of 32
    #[arg(long, default_value_t = 256)]
    size: usize,
    /// Intensity window in HU: centre,width
    #[arg(long, value_name = "C,W", default_value = "40,400", value_parser = window, allow_hyphen_values = true)]
    window: [f32; 2],
    /// How a plane becomes square
    #[arg(long, value_enum, default_value = "stretch")]
    fit: FitArg,
    /// Central fraction of each scan's slices to keep
    #[arg(long, value_name = "FRACTION", default_value_t = 1.0)]
    keep: f64,
    /// Values of the window's ends: 0 and 1, or as in the published code
    #[arg(long, value_enum, default_value = "unit")]
    normalise: NormaliseArg,
}

/// Where the scans come from.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Scans {
    /// Folder of images; each is a patient of its own
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// CSV file with the columns image,label,patient,domain (and maybe names,case,origin,series); all but
    /// image may be empty or missing, paths are relative to the file
    #[arg(long, value_name = "FILE.csv")]
    manifest: Option<PathBuf>,
    /// Training scans and masks as nnU-Net lays out raw data: imagesTr, labelsTr and dataset.json
    #[arg(long, value_name = "DIR")]
    nnunet: Option<PathBuf>,
    /// The same as the Medical Segmentation Decathlon does
    #[arg(long, value_name = "DIR")]
    msd: Option<PathBuf>,
    /// Folder of DICOM files, however deep: every CT series in it. Patients are told by their tags and
    /// called by a hash, salted with the secret in the file POLYCL_SALT (or salt in the folder of settings)
    #[arg(long, value_name = "DIR")]
    dicom: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FitArg {
    /// Stretch both sides
    Stretch,
    /// Keep the aspect and pad
    Pad,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum NormaliseArg {
    /// The window maps to 0..1
    Unit,
    /// (HU + 3055) / 8866 after windowing
    Published,
}

pub fn window(text: &str) -> Result<[f32; 2], String> {
    let number = |part: &str| part.trim().parse::<f32>().map_err(|e| format!("{part:?}: {e}"));
    let (centre, width) = text.split_once(',').ok_or("expected two numbers: centre,width")?;
    Ok([number(centre)?, number(width)?])
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let plan = plan(args)?;
    let bar = talk::progress(plan.pairs.len() as u64, "import");
    stop::listen().context("listening to signals")?;
    let Imported { index, left, kept, failed } =
        plan.import(&args.out, args.go_on, &mut |event| match event {
            Event::Scan { case, number, of } => {
                bar.set_length(of as u64);
                bar.set_position(number as u64);
                bar.set_message(format!("import {case}"));
            }
            // Of one scan alone the error itself tells.
            Event::Failed { .. } if plan.pairs.len() == 1 => {}
            Event::Failed { case, .. } => bar.suspend(|| talk::note(format!("{case} cannot be used"))),
            Event::Note(text) => bar.suspend(|| talk::note(text)),
        })?;
    bar.finish_and_clear();
    if kept > 0 {
        talk::note(format!("{kept} scans were there already"));
    }
    if left > 0 {
        talk::failures(&failed);
        talk::note(format!("stopped with {left} scans left\nhint: go on with --continue"));
        return Ok(Outcome::Stopped);
    }
    talk::data(summary(&index, &args.out));
    Ok(talk::failures(&failed))
}

fn plan(args: &Args) -> polycl_volume::Result<Plan> {
    let (mut pairs, notes) = pairs(args)?;
    if args.origin.is_some() {
        pairs.iter_mut().for_each(|pair| pair.origin = args.origin);
    }
    notes.into_iter().for_each(|text| talk::note(format!("note: {text}")));
    let ranges = args.ranges.as_deref().map(Ranges::read).transpose()?;
    let drawn = args.drawn.as_deref().map(DrawnSlices::read).transpose()?;
    let only = args.only.iter().cloned().collect();
    Ok(Plan { pairs, ranges, drawn, only, preprocess: preprocess(args), stop: stop::asked })
}

/// The scans and what a person should know of them.
fn pairs(args: &Args) -> polycl_volume::Result<(Vec<Pair>, Vec<String>)> {
    let here = Path::new("");
    let names = args.names.as_deref().map(|text| names::given(text, here)).transpose()?;
    let Scans { images, manifest, nnunet, msd, dicom } = &args.scans;
    let salt = Environment::of_process().salt();
    if let Some(manifest) = manifest {
        return Ok((pairs::from_manifest(manifest, names.as_ref(), &salt)?, Vec::new()));
    }
    if let Some(dir) = nnunet.as_deref().or(msd.as_deref()) {
        return dataset::from_challenge(dir);
    }
    if let Some(dir) = dicom {
        return dataset::from_dicom(dir, &args.series, &salt);
    }
    let images = images.as_deref().unwrap_or(here);
    let (pairs, notes) = pairs::from_folders(images, args.labels.as_deref(), names.as_ref())?;
    // Without --labels nobody expects masks.
    let bare = args.labels.as_ref().and_then(|_| pairs::without_masks(&pairs));
    Ok((pairs, notes.into_iter().chain(bare).collect()))
}

fn preprocess(args: &Args) -> Preprocess {
    let fit = match args.fit {
        FitArg::Stretch => Fit::Stretch,
        FitArg::Pad => Fit::Pad,
    };
    let normalise = match args.normalise {
        NormaliseArg::Unit => Normalise::Unit,
        NormaliseArg::Published => Normalise::Published,
    };
    Preprocess { size: args.size, window: args.window, fit, normalise, keep: args.keep }
}

/// How many scans have masks, and who drew them if it was not all by hand.
fn labelled(scans: &[Scan]) -> String {
    let labelled = scans.iter().filter(|scan| scan.labelled());
    let origins: Vec<Origin> = labelled.map(|scan| scan.origin).collect();
    let count = origins.len();
    if origins.iter().all(Origin::is_hand) {
        return format!("{count} labelled");
    }
    format!("{count} labelled: {}", Origin::counts(origins))
}

/// What the data set holds: a line of counts and a line for each organ.
pub fn summary(index: &Index, path: &Path) -> String {
    let scans = &index.scans;
    let slices: usize = scans.iter().map(|scan| scan.slices).sum();
    let mut text = format!(
        "{}: {} patients, {} scans ({}), {slices} slices of {size}x{size}\n",
        path.display(),
        index.patients().len(),
        scans.len(),
        labelled(scans),
        size = index.preprocess.size,
    );
    let mut organs: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    for scan in scans {
        for organ in scan.presence.keys() {
            let known = (0..scan.slices).filter_map(|slice| scan.shows(organ, slice));
            let counts = organs.entry(organ).or_default();
            known.for_each(|shown| {
                counts[0] += usize::from(shown);
                counts[1] += 1;
            });
            if scan.drawn.contains(organ) {
                let kind = match (scan.all_by_hand(organ), scan.left_undrawn_anywhere(organ)) {
                    (true, _) => 2,
                    (_, true) => 4,
                    _ => 3,
                };
                counts[kind] += 1;
            }
        }
    }
    let width = organs.keys().map(|organ| organ.chars().count()).max().unwrap_or(0).max("organ".len());
    // Columns of what there is.
    let column = |at: usize| {
        let any = organs.values().any(|counts| counts[at] > 0);
        move |text: &str| if any { format!("  {text:>10}") } else { String::new() }
    };
    let (machines, parts) = (column(3), column(4));
    if !organs.is_empty() {
        let more = machines("by machine") + &parts("in part");
        text += &format!("{:width$}  label  drawn in{more}  in slices  of\n", "organ");
    }
    for (organ, [shown, known, drawn, made, part]) in organs.clone() {
        let label = index.label(organ).map_or("-".into(), |label| label.to_string());
        let more = machines(&made.to_string()) + &parts(&part.to_string());
        text += &format!("{organ:width$}  {label:>5}  {drawn:>8}{more}  {shown:>9}  {known}\n");
    }
    text
}
