use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_app::ScanPath;
use polycl_app::figures::picture::colour_name;
use polycl_app::inspect::{
    BINS, Content, DicomFacts, GridFacts, Montage, MontageRequest, Outcome as Facts, Request, SeriesFacts,
    StructuresFacts, Values, VolumeFacts, Window, run as inspect,
};
use polycl_base::counted;
use polycl_data::{Failed, Index, Origin};
use polycl_image::legend::Regions;
use polycl_image::names::Names;
use polycl_image::preprocess::Preprocess;
use polycl_nn::train::{Record, RunCard, RunKind};

use super::import;
use super::shared::ReadingArgs;
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Describe an image, a mask, a data set or a run
///
/// An image: its geometry, its values, the nearest intensity window, and anything odd. A mask: its labels with
/// their volumes. A folder of DICOM: its series, segmentations (SEG) and contours (RTSTRUCT), with their names. A data set: its patients, scans, organs and spacings. A run: its network and who trained it.
///
/// --montage draws slices, spread evenly from the feet up, with their numbers in the file. With --mask it draws
/// slices of the part that holds the mask, with outlines.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl inspect scan.nii.gz --montage scan.png --mask mask.nii.gz")]
pub struct Args {
    /// Image or mask file, folder of DICOM slices, data set or run
    path: PathBuf,
    /// UID of the DICOM series, where the folder holds several
    #[arg(long, value_name = "UID")]
    series: Option<String>,
    /// Picture to write, of slices with their numbers
    #[arg(long, value_name = "FILE.png")]
    montage: Option<PathBuf>,
    /// Mask of the image, drawn as outlines
    #[arg(long, value_name = "FILE", requires = "montage")]
    mask: Option<PathBuf>,
    /// Intensity window of the picture in HU: centre,width
    #[arg(long, value_name = "C,W", default_value = "40,400", value_parser = super::shared::window, allow_hyphen_values = true)]
    window: [f32; 2],
    /// Highest number of slices in the picture
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=400))]
    slices: u16,
    #[command(flatten)]
    reading: ReadingArgs,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let Args { path, series, montage, mask, window, slices, reading } = args;
    let montage = montage.map(|out| MontageRequest { out, mask, window, slices: usize::from(slices) });
    let request = Request {
        scan: ScanPath { image: path, series, trust: reading.trust.trust, fill_gaps: reading.fill_gaps },
        montage,
    };
    let path = &request.scan.image;
    let facts = inspect(&request, &Terminal::new("inspect"))?;
    talk::data(match facts {
        Facts::Run { card, last, best } => run_of(path, &card, last.as_ref(), best),
        Facts::Dataset { index, failed } => dataset(path, &index, &failed),
        Facts::VolumeFacts(facts) => volume(path, &facts, request.montage.as_ref()),
        Facts::Dicom(facts) => dicom(path, &facts),
    });
    Ok(Ended::Done)
}

fn run_of(path: &Path, card: &RunCard, last: Option<&Record>, best: Option<f64>) -> String {
    let organs = card.channels().into_iter().map(|channel| format!("{} ({})", channel.name, channel.painted));
    let organs = organs.collect::<Vec<_>>().join(", ");
    let what = if card.regions.is_empty() { "organs" } else { "regions" };
    let segments = matches!(card.model, RunKind::Segmenter(_));
    let kind = match card.model {
        RunKind::Contrastive(encoder) => format!("pre-trained encoder, {}", encoder.net),
        RunKind::Autoencoder(network) => format!("pre-trained autoencoder, {}", network.encoder.net),
        RunKind::Segmenter(segmenter) => format!("fine-tuned network, {}", segmenter.encoder.net),
    };
    let size = card.preprocess.size;
    let mut text = format!("{}: {kind}\n", path.display());
    if !organs.is_empty() {
        text += &format!("{what:<12}{organs}\n");
    }
    text += &format!("slices      {size} x {size}, {}\n", preprocess_line(&card.preprocess));
    let groups = [
        ("trained on", &card.training_cases),
        ("validated", &card.validation_cases),
        ("unmasked", &card.pretraining_cases),
    ];
    for (group, cases) in groups.into_iter().filter(|(_, cases)| !cases.is_empty()) {
        let patients: BTreeSet<&str> = cases.iter().map(|seen| seen.patient.as_str()).collect();
        let (number, patients) = (counted(cases.len(), "case"), counted(patients.len(), "patient"));
        text += &format!("{group:<12}{number} of {patients}");
        // Pre-training looks at no mask, and a scan without one has nobody who drew it.
        let masks = cases.iter().map(|seen| seen.origin);
        let machine = segments && group != "unmasked" && masks.clone().any(|origin| !origin.is_hand());
        text += &if machine { format!(", masks {}\n", Origin::counts(masks)) } else { "\n".to_owned() };
    }
    if let Some(last) = last {
        let best = best.map(|best| format!("; best validation Dice {best:.4}")).unwrap_or_default();
        text += &format!("epochs      {}, loss {:.4} in the last{best}\n", last.epoch, last.loss);
    }
    text
}

fn preprocess_line(preprocess: &Preprocess) -> String {
    let Preprocess { window: [centre, width], fit, normalise, keep, .. } = preprocess;
    let names = format!("fit {fit:?}, normalise {normalise:?}").to_lowercase();
    format!("window {centre},{width} HU, {names}, keep {keep}")
}

fn dataset(path: &Path, index: &Index, failed: &Failed) -> String {
    let mut text = import::summary(index, path);
    text += &format!("{}\n", preprocess_line(&index.preprocess));
    for (axis, name) in ["first", "second", "third"].into_iter().enumerate() {
        let spacings = || index.scans.iter().map(|scan| scan.spacing[axis]);
        let (least, most) = (spacings().fold(f64::MAX, f64::min), spacings().fold(0.0, f64::max));
        text += &format!("spacing of the {name} file axis: {least:.3} to {most:.3} mm\n");
    }
    let mut domains: BTreeMap<&str, usize> = BTreeMap::new();
    for scan in &index.scans {
        *domains.entry(scan.domain.as_deref().unwrap_or("(none)")).or_default() += 1;
    }
    for (domain, scans) in domains {
        text += &format!("scans of domain {domain}: {scans}\n");
    }
    let odd = index.scans.iter().filter(|scan| !scan.notes.is_empty()).count();
    if odd > 0 {
        text += &format!(
            "scans of which something was odd when they were imported: {odd} (notes in index.json)\n"
        );
    }
    let width = index.scans.iter().map(|scan| scan.case.chars().count()).max().unwrap_or(0);
    for scan in &index.scans {
        let drawn = match scan.origin {
            _ if !scan.labelled() => "unlabelled".into(),
            Origin::Hand => format!("{} drawn", counted(scan.drawn.len(), "organ")),
            machine => format!("{} {machine}", counted(scan.drawn.len(), "organ")),
        };
        let slices = counted(scan.slices, "slice");
        text += &format!("{:width$}  patient {}, {slices}, {drawn}\n", scan.case, scan.patient);
    }
    for (case, reason) in failed {
        text += &format!("{case:width$}  not imported: {reason}\n");
    }
    text
}

/// The series of a folder and what was drawn on each; then what was drawn on others.
fn dicom(path: &Path, DicomFacts { series, structures, damaged }: &DicomFacts) -> String {
    let mut text = format!("{}: {} series\n", path.display(), series.len());
    let is_of = |object: &&StructuresFacts, uid: &String| object.series.contains(uid);
    for SeriesFacts { uid, description, modality, slices } in series {
        let description = if description.is_empty() { "no description" } else { description };
        text += &format!("series  {uid}  {description}, {modality}, {slices} slices\n");
        text += &structures.iter().filter(|object| is_of(object, uid)).map(drawn_on).collect::<String>();
    }
    let others = structures.iter().filter(|object| !series.iter().any(|series| is_of(object, &series.uid)));
    let others: String = others.map(drawn_on).collect();
    if !others.is_empty() {
        text += &format!("of other series\n{others}");
    }
    damaged.iter().for_each(|error| text += &format!("odd: {error}\n"));
    text
}

/// A segmentation or contours in two lines.
fn drawn_on(object: &StructuresFacts) -> String {
    let StructuresFacts { path, storage, uid, label, made, names, .. } = object;
    let label = if label.is_empty() { "no label" } else { label };
    let made = made.get(..8).unwrap_or("no date");
    let names = names.iter().map(|(value, name)| format!("{value} {name}")).collect::<Vec<_>>().join(", ");
    format!("  {storage}  {uid}  {label}, {made}, {}\n    {names}\n", path.display())
}

fn volume(path: &Path, facts: &VolumeFacts, asked: Option<&MontageRequest>) -> String {
    let VolumeFacts { grid, content, montage, odd, structures } = facts;
    let mut text = format!("{}\n{}", path.display(), geometry(grid));
    text += &match content {
        Content::Labels { counts, names, regions } => {
            labels(counts, names, grid.voxel_ml) + &self::regions(counts, regions, grid.voxel_ml)
        }
        Content::Values(values) => self::values(values),
    };
    if let Some((montage, asked)) = montage.as_ref().zip(asked) {
        text += &drawn(montage, asked);
    }
    text += &structures.iter().map(drawn_on).collect::<String>();
    for oddity in odd {
        text += &format!("odd: {oddity}\n");
    }
    text
}

/// The slices of a montage, and the meaning of its colours.
fn drawn(Montage { slices, axis, legend }: &Montage, asked: &MontageRequest) -> String {
    let axis = ["first", "second", "third"][*axis];
    let numbers: Vec<String> = slices.iter().map(ToString::to_string).collect();
    let [centre, width] = asked.window;
    let legend = legend.as_ref().zip(asked.mask.as_ref());
    let legend = legend.map_or(String::new(), |(legend, mask)| self::legend(mask, legend));
    format!(
        "montage      {}: window {centre},{width}; from the feet up, patient's right at the left; slices along \
         the {axis} file axis, from 0:\n  {}\n{legend}",
        asked.out.display(),
        numbers.join(" ")
    )
}

/// Labels of a mask with their colours, if those tell them apart.
fn legend(mask: &Path, labels: &[(u16, Option<String>)]) -> String {
    let text = match labels.len() {
        0 => "empty".to_owned(),
        1..=6 => {
            let named = labels.iter().map(|(label, name)| {
                let name = name.as_ref().map_or(String::new(), |name| format!("{name} "));
                format!("{label} {name}{}", colour_name(*label))
            });
            named.collect::<Vec<_>>().join(", ")
        }
        count => format!("{count} labels in six colours"),
    };
    format!("mask         {}: {text}\n", mask.display())
}

fn geometry(
    GridFacts { shape: [nx, ny, nz], spacing: [sx, sy, sz], orientation, turned, affine, .. }: &GridFacts,
) -> String {
    // A tenth of a degree is rounding.
    let oblique = if *turned > 0.1 { format!(", oblique by {turned:.1} degrees") } else { String::new() };
    let mut text = format!(
        "shape        {nx} x {ny} x {nz}\nspacing      {sx:.4} x {sy:.4} x {sz:.4} mm\norientation  {orientation}{oblique}\naffine\n"
    );
    for [x, y, z, moved] in affine {
        text += &format!("  {x:>10.4} {y:>10.4} {z:>10.4} {moved:>10.3}\n");
    }
    text
}

fn labels(counts: &BTreeMap<u16, usize>, names: &Names, voxel_ml: f64) -> String {
    let mut text = String::from("label      voxels          mL  name\n");
    for (label, voxels) in counts.iter().filter(|(label, _)| **label > 0) {
        let name = names.get(label).map_or("", String::as_str);
        let line = format!("{label:>5}  {voxels:>10}  {:>10.2}  {name}", *voxels as f64 * voxel_ml);
        text += &format!("{}\n", line.trim_end());
    }
    text
}

/// A line for each region of several labels.
fn regions(counts: &BTreeMap<u16, usize>, regions: &Regions, voxel_ml: f64) -> String {
    let mut text = String::new();
    for (name, values) in regions.iter().filter(|(_, values)| values.len() > 1) {
        let voxels: usize = values.iter().filter_map(|value| counts.get(value)).sum();
        let of = values.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        text += &format!("region  {voxels:>9}  {:>10.2}  {name}: labels {of}\n", voxels as f64 * voxel_ml);
    }
    text
}

fn values(Values { percentiles, window, histogram }: &Values) -> String {
    let mut text = String::from("values (HU)\n");
    for (percent, value) in percentiles {
        let name = match percent {
            0 => "least".to_owned(),
            50 => "median".to_owned(),
            100 => "most".to_owned(),
            percent => format!("{percent}%"),
        };
        text += &format!("  {name:<7} {value:>8.1}\n");
    }
    text + &window.map_or(String::new(), shown) + &bars(histogram)
}

fn shown(Window { centre, width, nearest, preset: [preset_centre, preset_width] }: Window) -> String {
    format!(
        "window       {centre:.0},{width:.0} holds 1% to 99%; nearest preset: {nearest} \
         ({preset_centre},{preset_width}); default of import: 40,400\n"
    )
}

/// A line for each bin of a histogram.
fn bars(shares: &[f64]) -> String {
    let mut text = String::new();
    for (bin, ((from, tissue), share)) in BINS.iter().zip(shares).enumerate() {
        let from = if bin == 0 { "below".into() } else { format!("{from}") };
        let bar = "#".repeat((share * 40.0).round() as usize);
        let line = format!("  {from:>6}  {:>5.1}%  {tissue:<25}  {bar}", share * 100.0);
        text += &format!("{}\n", line.trim_end());
    }
    text
}
