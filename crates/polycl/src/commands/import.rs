use std::path::{Path, PathBuf};

use polycl_app::import::{OrganCounts, Outcome as Imported, Request, Scans, merge, organs, run as import};
use polycl_base::counted;
use polycl_data::{Choice, Index, Origin, Scan};
use polycl_image::preprocess::{Fit, Normalise, Preprocess};

use super::shared::{ReadingArgs, ShardArgs, tell_merged, tell_shard};
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Build a data set from scans, with or without masks
///
/// Masks are paired with images by file name. A mask may also be a folder CASE with one file per structure.
/// Label names come from --names, CASE.labels.json, the header of a .seg.nrrd, labels.json or dataset.json.
/// These files lie beside the masks or one level up.
///
/// Provenance, which is who drew a mask, comes from --origin or the column `origin`. Otherwise it comes from the
/// record files beside the mask: propagate.csv, polycl.json, refine.csv or reviewed.csv. Masks of nnU-Net, TotalSegmentator and
/// MONAI Label are recognised by the files that these programs leave. All other masks count as drawn by hand. Only
/// masks drawn by hand validate.
///
/// A scan that cannot be read is skipped and listed, and the exit code is 1. See also `polycl help formats`.
#[derive(clap::Args)]
#[command(override_usage = "polycl import [OPTIONS] --out <DATASET> \
    <--images <DIR>|--manifest <FILE.csv>|--nnunet <DIR>|--msd <DIR>|--dicom <DIR>>\n       \
    polycl import --merge <DATASET>")]
#[command(after_help = "Examples:
  polycl import --images scans --labels masks --names 1=liver --out dataset
  polycl import --nnunet nnUNet_raw/Dataset501_Liver --out dataset
  polycl import --dicom export --out dataset")]
pub struct Args {
    #[command(flatten)]
    scans: ScansArgs,
    /// Folder of masks, named like their scans
    #[arg(long, value_name = "DIR", requires = "images")]
    labels: Option<PathBuf>,
    /// UIDs of the series to import from --dicom, separated by commas [default: all CT series]
    #[arg(long, hide_short_help = true, value_name = "UID", value_delimiter = ',', requires = "dicom")]
    series: Vec<String>,
    /// Segmentation or contours to take where a series of --dicom has several: newest, a label, a UID, or none
    #[arg(long, hide_short_help = true, value_name = "WHICH", requires = "dicom")]
    structures: Option<Choice>,
    /// Provenance of the masks: hand, reviewed, propagated or predicted
    ///
    /// By default it comes from the manifest's column `origin`, otherwise from the record files beside the masks.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<Origin>,
    /// Table of ranges: first and last slice of each organ
    ///
    /// Columns: scan,organ,first_slice,last_slice. Slices count from 0, in file order, and both ends belong to the
    /// range. Leave both empty where the scan does not show the organ. Ranges need no mask.
    #[arg(long, value_name = "FILE.csv")]
    ranges: Option<PathBuf>,
    /// Table of drawn slices, for masks drawn in part
    ///
    /// Columns: scan,slice and, if you like, organ. Slices count as in --ranges. With --ranges alone, slices of a
    /// range in which the mask is empty count as undrawn.
    #[arg(long, value_name = "FILE.csv")]
    drawn: Option<PathBuf>,
    /// Names of label values: 1=liver,2=spleen, or a file
    ///
    /// The file is JSON, such as {"1": "liver"}, or CSV with the columns id,name. Of DICOM segmentations and contours,
    /// --names also chooses structures by name: liver,spleen, or a file of spellings. Such a file is JSON,
    /// {"parotid_left": ["Parotid_L", "PAROTID LT"]}, or CSV with the columns name,spelling. Case, spaces and
    /// punctuation make no difference.
    #[arg(long, value_name = "FILE|LIST", conflicts_with_all = ["nnunet", "msd"])]
    names: Option<String>,
    /// Organs to keep, separated by commas [default: all]
    ///
    /// Other organs become background.
    #[arg(long, value_name = "ORGAN", value_delimiter = ',')]
    only: Vec<String>,
    /// Folder for the data set
    #[arg(long, value_name = "DATASET", required_unless_present = "merge")]
    out: Option<PathBuf>,
    /// Resume an import, or add scans to a data set
    #[arg(long = "continue")]
    go_on: bool,
    /// Side of the square slices in pixels, a multiple of 32
    #[arg(long, value_name = "PIXELS", default_value_t = 256)]
    size: usize,
    /// Intensity window in HU: centre,width
    #[arg(long, value_name = "C,W", default_value = "40,400", value_parser = super::shared::window, allow_hyphen_values = true)]
    window: [f32; 2],
    /// Method to make slices square
    #[arg(long, hide_short_help = true, value_enum, default_value = "stretch")]
    fit: FitArg,
    /// Central fraction of each scan's slices to keep
    #[arg(long, hide_short_help = true, value_name = "F", default_value_t = 1.0)]
    keep: f64,
    /// Values that the intensity window is mapped to
    #[arg(long, hide_short_help = true, value_enum, default_value = "unit")]
    normalise: NormaliseArg,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    shard: ShardArgs,
}

/// The source of the scans.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct ScansArgs {
    /// Folder of scans, one patient each
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Table of scans: image,label,patient,domain
    ///
    /// Further columns: names,case,origin,series. Only `image` must be there and filled. Paths are relative to the
    /// table.
    #[arg(long, value_name = "FILE.csv")]
    manifest: Option<PathBuf>,
    /// nnU-Net raw data: imagesTr, labelsTr, dataset.json
    #[arg(long, value_name = "DIR")]
    nnunet: Option<PathBuf>,
    /// Medical Segmentation Decathlon task, the same folders
    #[arg(long, value_name = "DIR")]
    msd: Option<PathBuf>,
    /// Folder of DICOM files; each CT series is a scan
    ///
    /// Folders below are searched, too. Segmentations (SEG) and contours (RTSTRUCT) in it are the masks of the series
    /// that they refer to. Patient IDs are replaced by a salted hash. The salt is a secret in the file that POLYCL_SALT
    /// names, or in `salt` in the settings folder. The first import makes it.
    #[arg(long, value_name = "DIR")]
    dicom: Option<PathBuf>,
    /// Unite the shards of an import to the data set
    #[arg(long, value_name = "DATASET", help_heading = "Clusters", exclusive = true)]
    merge: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FitArg {
    /// Stretch both sides
    Stretch,
    /// Keep the aspect ratio and pad
    Pad,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum NormaliseArg {
    /// 0 to 1
    Unit,
    /// (HU + 3055) / 8866 after windowing, as in the published code
    Published,
}

impl Args {
    fn request(self) -> anyhow::Result<Request> {
        let shard = self.shard.shard()?;
        let ScansArgs { images, manifest, nnunet, msd, dicom, .. } = self.scans;
        let scans = match (manifest, nnunet.or(msd), dicom) {
            (Some(file), ..) => Scans::Manifest { file, names: self.names },
            (_, Some(folder), _) => Scans::Challenge(folder),
            (.., Some(folder)) => {
                Scans::Dicom { folder, series: self.series, names: self.names, structures: self.structures }
            }
            _ => {
                Scans::Folders { images: images.unwrap_or_default(), labels: self.labels, names: self.names }
            }
        };
        let fit = match self.fit {
            FitArg::Stretch => Fit::Stretch,
            FitArg::Pad => Fit::Pad,
        };
        let normalise = match self.normalise {
            NormaliseArg::Unit => Normalise::Unit,
            NormaliseArg::Published => Normalise::Published,
        };
        Ok(Request {
            scans,
            origin: self.origin,
            ranges: self.ranges,
            drawn: self.drawn,
            only: self.only.into_iter().collect(),
            out: self.out.unwrap_or_default(),
            go_on: self.go_on,
            preprocess: Preprocess { size: self.size, window: self.window, fit, normalise, keep: self.keep },
            trust: self.reading.trust.trust,
            fill_gaps: self.reading.fill_gaps,
            shard,
        })
    }
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    if let Some(out) = &args.scans.merge {
        let merged = merge(out)?;
        talk::data(summary(&merged.index, out));
        return Ok(tell_merged(&merged.failed));
    }
    let request = args.request()?;
    let terminal = Terminal::new("import");
    let Imported { index, left, kept, failed } = import(&request, &terminal)?;
    drop(terminal);
    if kept > 0 {
        talk::note(format!("in the data set already: {}", counted(kept, "scan")));
    }
    if left > 0 {
        talk::failures(&failed);
        talk::note(format!("stopped with {} left\nhint: resume with --continue", counted(left, "scan")));
        return Ok(Ended::Stopped);
    }
    if let Some(shard) = request.shard {
        let ended = talk::failures(&failed);
        tell_shard(shard, "import", &request.out);
        return Ok(ended);
    }
    talk::data(summary(&index, &request.out));
    let ended = talk::failures(&failed);
    if !failed.is_empty() {
        talk::note(
            "hint: use the data set without them, or mend their files and run the command again with --continue",
        );
    } else if let Some(next) = next(&index, &request.out) {
        talk::next(next);
    }
    Ok(ended)
}

/// The command that a data set is ready for: training on masks, or the choice of slices to draw.
fn next(index: &Index, path: &Path) -> Option<String> {
    let path = path.display();
    if index.scans.iter().any(Scan::labelled) {
        return Some(format!("finetune {path} --out RUN"));
    }
    let organ = organs(index).into_keys().next()?;
    Some(format!("suggest {path} --organ {organ} --count 10 --out DIR"))
}

/// The number of scans with masks, and who drew them if it was not all by hand.
fn labelled(scans: &[Scan]) -> String {
    let labelled = scans.iter().filter(|scan| scan.labelled());
    let origins: Vec<Origin> = labelled.map(|scan| scan.origin).collect();
    let count = origins.len();
    if origins.iter().all(Origin::is_hand) {
        return format!("{count} labelled");
    }
    format!("{count} labelled: {}", Origin::counts(origins))
}

/// The content of a data set: a line of counts and a line for each organ.
pub fn summary(index: &Index, path: &Path) -> String {
    let scans = &index.scans;
    let slices: usize = scans.iter().map(|scan| scan.slices).sum();
    let mut text = format!(
        "{}: {}, {} ({}), {} of {size}x{size}\n",
        path.display(),
        counted(index.patients().len(), "patient"),
        counted(scans.len(), "scan"),
        labelled(scans),
        counted(slices, "slice"),
        size = index.preprocess.size,
    );
    let organs = organs(index);
    let width = organs.keys().map(|organ| organ.chars().count()).max().unwrap_or(0).max("organ".len());
    // Columns of what there is.
    let column = |any: bool| move |text: &str| if any { format!("  {text:>10}") } else { String::new() };
    let machines = column(organs.values().any(|counts| counts.made > 0));
    let parts = column(organs.values().any(|counts| counts.part > 0));
    if !organs.is_empty() {
        let more = machines("by machine") + &parts("in part");
        text += &format!("{:width$}  label  scans drawn{more}  slices with it  slices known\n", "organ");
    }
    for (organ, OrganCounts { label, shown, known, drawn, made, part }) in organs {
        let label = label.map_or("-".into(), |label| label.to_string());
        let more = machines(&made.to_string()) + &parts(&part.to_string());
        text += &format!("{organ:width$}  {label:>5}  {drawn:>11}{more}  {shown:>14}  {known:>12}\n");
    }
    for (region, parts) in &index.regions {
        let parts = parts.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        text += &format!("region {region}: {parts}\n");
    }
    let open: usize = scans.iter().flat_map(|scan| &scan.ignored).map(|[first, last]| last + 1 - first).sum();
    if open > 0 {
        text += &format!(
            "slices with voxels of the label `ignore`: {open}; these voxels are neither organ nor background\n"
        );
    }
    text
}
