use std::path::{Path, PathBuf};

use polycl_app::import::{OrganCounts, Outcome as Imported, Request, Scans, organs, run as import};
use polycl_data::{Index, Origin, Scan};
use polycl_image::preprocess::{Fit, Normalise, Preprocess};

use super::shared::TrustArgs;
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

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
    scans: ScansArgs,
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
    #[arg(long, value_name = "C,W", default_value = "40,400", value_parser = super::shared::window, allow_hyphen_values = true)]
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
    #[command(flatten)]
    trust: TrustArgs,
}

/// Where the scans come from.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct ScansArgs {
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

impl Args {
    fn request(self) -> Request {
        let ScansArgs { images, manifest, nnunet, msd, dicom } = self.scans;
        let scans = match (manifest, nnunet.or(msd), dicom) {
            (Some(file), ..) => Scans::Manifest { file, names: self.names },
            (_, Some(folder), _) => Scans::Challenge(folder),
            (.., Some(folder)) => Scans::Dicom { folder, series: self.series },
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
        Request {
            scans,
            origin: self.origin,
            ranges: self.ranges,
            drawn: self.drawn,
            only: self.only.into_iter().collect(),
            out: self.out,
            go_on: self.go_on,
            preprocess: Preprocess { size: self.size, window: self.window, fit, normalise, keep: self.keep },
            trust: self.trust.trust,
        }
    }
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = args.request();
    let terminal = Terminal::new("import");
    let Imported { index, left, kept, failed } = import(&request, &terminal)?;
    drop(terminal);
    if kept > 0 {
        talk::note(format!("{kept} scans were there already"));
    }
    if left > 0 {
        talk::failures(&failed);
        talk::note(format!("stopped with {left} scans left\nhint: go on with --continue"));
        return Ok(Ended::Stopped);
    }
    talk::data(summary(&index, &request.out));
    Ok(talk::failures(&failed))
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
    let organs = organs(index);
    let width = organs.keys().map(|organ| organ.chars().count()).max().unwrap_or(0).max("organ".len());
    // Columns of what there is.
    let column = |any: bool| move |text: &str| if any { format!("  {text:>10}") } else { String::new() };
    let machines = column(organs.values().any(|counts| counts.made > 0));
    let parts = column(organs.values().any(|counts| counts.part > 0));
    if !organs.is_empty() {
        let more = machines("by machine") + &parts("in part");
        text += &format!("{:width$}  label  drawn in{more}  in slices  of\n", "organ");
    }
    for (organ, OrganCounts { label, shown, known, drawn, made, part }) in organs {
        let label = label.map_or("-".into(), |label| label.to_string());
        let more = machines(&made.to_string()) + &parts(&part.to_string());
        text += &format!("{organ:width$}  {label:>5}  {drawn:>8}{more}  {shown:>9}  {known}\n");
    }
    text
}
