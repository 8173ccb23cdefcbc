use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use polycl_nn::train::{Model, RunCard, read_log};
use polycl_volume::dataset::names::{self, Names};
use polycl_volume::dataset::{Dataset, Index, Origin};
use polycl_volume::orient::{Reorientation, orientation_code};
use polycl_volume::preprocess::{HU_RANGE, Preprocess, labels_of};
use polycl_volume::{Image, Input, Mask, Space, files, odd, output};

use super::import;
use super::sam::{check_window, on_grid};
use crate::cli::Outcome;
use crate::montage::{Montage, montage};
use crate::picture::colour_name;
use crate::talk;

/// Tell what is in an image, a mask, a data set or a run.
///
/// Of an image: where its voxels lie, their values and the window they would fill, and what is odd
/// about it. --montage draws slices of it, spread evenly from the feet up, with their numbers in the
/// file; with --mask, of the part that the mask lies in, with its outlines.
#[derive(clap::Args)]
pub struct Args {
    /// An image file, a folder of DICOM slices, a data set or a run
    path: PathBuf,
    /// Series to tell of where a folder of DICOM holds several, by its UID
    #[arg(long, value_name = "UID")]
    series: Option<String>,
    /// Also draw slices of the image into this file
    #[arg(long, value_name = "FILE.png")]
    montage: Option<PathBuf>,
    /// Mask of the image, to draw as outlines
    #[arg(long, value_name = "FILE", requires = "montage")]
    mask: Option<PathBuf>,
    /// Window to draw with, in HU: centre,width
    #[arg(long, value_name = "C,W", default_value = "40,400", value_parser = import::window, allow_hyphen_values = true)]
    window: [f32; 2],
    /// Slices to draw, if there are so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=400))]
    slices: u16,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let path = &args.path;
    let text = if path.join("run.json").is_file() {
        not_drawn(args)?;
        run_of(path)?
    } else if Dataset::lies_in(path) {
        not_drawn(args)?;
        dataset(path, &Dataset::open(path)?.index)
    } else {
        volume(args)?
    };
    talk::data(text);
    Ok(Outcome::Done)
}

fn run_of(path: &Path) -> anyhow::Result<String> {
    let card = RunCard::read(path)?;
    let organs = card.organs.iter().map(|organ| format!("{} ({})", organ.name, organ.value));
    let organs = organs.collect::<Vec<_>>().join(", ");
    let segments = matches!(card.model, Model::Segmenter(_));
    let kind = match card.model {
        Model::Contrastive(encoder) => format!("pre-trained encoder, {}", encoder.net),
        Model::Autoencoder(network) => format!("pre-trained autoencoder, {}", network.encoder.net),
        Model::Segmenter(segmenter) => format!("fine-tuned network, {}", segmenter.encoder.net),
    };
    let size = card.preprocess.size;
    let mut text = format!("{}: {kind}\n", path.display());
    if !organs.is_empty() {
        text += &format!("organs      {organs}\n");
    }
    text += &format!("slices      {size} x {size}, {}\n", preprocess_line(&card.preprocess));
    let groups = [
        ("trained on", &card.training_cases),
        ("validated", &card.validation_cases),
        ("unmasked", &card.pretraining_cases),
    ];
    for (group, cases) in groups.into_iter().filter(|(_, cases)| !cases.is_empty()) {
        let patients: BTreeSet<&str> = cases.iter().map(|seen| seen.patient.as_str()).collect();
        text += &format!("{group:<12}{} cases of {} patients", cases.len(), patients.len());
        // Pre-training looks at no mask, and a scan without one has nobody who drew it.
        let masks = cases.iter().map(|seen| seen.origin);
        let machine = segments && group != "unmasked" && masks.clone().any(|origin| !origin.is_hand());
        text += &if machine { format!(", masks {}\n", Origin::counts(masks)) } else { "\n".to_owned() };
    }
    if let Some(last) = read_log(path).ok().and_then(|mut log| log.pop()) {
        text += &format!("epochs      {}, loss {:.4} in the last\n", last.epoch, last.loss);
    }
    Ok(text)
}

fn preprocess_line(preprocess: &Preprocess) -> String {
    let Preprocess { window: [centre, width], fit, normalise, keep, .. } = preprocess;
    let names = format!("fit {fit:?}, normalise {normalise:?}").to_lowercase();
    format!("window {centre},{width} HU, {names}, keep {keep}")
}

fn dataset(path: &Path, index: &Index) -> String {
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
    let width = index.scans.iter().map(|scan| scan.case.chars().count()).max().unwrap_or(0);
    for scan in &index.scans {
        let drawn = match scan.origin {
            _ if !scan.labelled() => "unlabelled".into(),
            Origin::Hand => format!("{} organs drawn", scan.drawn.len()),
            machine => format!("{} organs {machine}", scan.drawn.len()),
        };
        text += &format!("{:width$}  patient {}, {} slices, {drawn}\n", scan.case, scan.patient, scan.slices);
    }
    text
}

/// Only images are drawn.
fn not_drawn(args: &Args) -> anyhow::Result<()> {
    ensure!(args.montage.is_none(), "--montage: expected an image to draw, found {}", args.path.display());
    Ok(())
}

fn volume(args: &Args) -> anyhow::Result<String> {
    let path = &args.path;
    let input = Input::open(path, args.series.as_deref())?;
    let image = input.image()?;
    let mut text = format!("{}\n{}", path.display(), geometry(&image.space));
    let mut odd = oddities(&image);
    text += &match counts(&image) {
        Some(counts) => labels(&counts, &names_beside(path, &mut odd), &image.space),
        None => {
            // Of masks, the headers say nothing that is odd.
            odd.extend(input.notes()?);
            values(&image, &mut odd)
        }
    };
    if let Some(target) = &args.montage {
        text += &draw(args, &image, target, &mut odd)?;
    }
    for oddity in odd {
        text += &format!("odd: {oddity}\n");
    }
    Ok(text)
}

fn names_beside(mask: &Path, odd: &mut Vec<String>) -> Names {
    let names = names::file_beside(mask).map_or_else(|| Ok(Names::new()), |file| names::read(&file));
    names.unwrap_or_else(|error| {
        odd.push(format!("label names cannot be read: {error}"));
        Names::new()
    })
}

/// Draws slices, and says which, and what the colours mean.
fn draw(args: &Args, image: &Image, target: &Path, odd: &mut Vec<String>) -> anyhow::Result<String> {
    check_window(Some(args.window))?;
    let is_png = target.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    ensure!(is_png, "--montage: expected a name that ends in .png, found {}", target.display());
    let read = |path: &PathBuf| on_grid(path, files::read_mask(path)?, &args.path, image);
    let mask = args.mask.as_ref().map(read).transpose()?;
    let mut text = String::new();
    if let (Some(path), Some(mask)) = (&args.mask, &mask) {
        text = legend(path, mask, odd);
    }
    let Montage { png, slices } = montage(image, mask.as_ref(), args.window, usize::from(args.slices))?;
    output::atomically(target, |file| file.write_all(&png))?;
    let axis = ["first", "second", "third"][Reorientation::to_canonical(&image.space).slice_axis()];
    let numbers: Vec<String> = slices.iter().map(ToString::to_string).collect();
    let [centre, width] = args.window;
    Ok(format!(
        "montage      {}: window {centre},{width}; from the feet up, patient's right at the left; slices along \
         the {axis} file axis, from 0:\n  {}\n{text}",
        target.display(),
        numbers.join(" ")
    ))
}

/// Labels of a mask with their colours, if those tell them apart.
fn legend(path: &Path, mask: &Mask, odd: &mut Vec<String>) -> String {
    let names = names_beside(path, odd);
    let labels: Vec<u16> = labels_of(&mask.voxels).collect();
    let mut text = format!("mask         {}: ", path.display());
    match labels.len() {
        0 => {
            text += "empty";
            odd.push(format!("{}: the mask is empty", path.display()));
        }
        1..=6 => {
            let named = labels.iter().map(|label| {
                let name = names.get(label).map_or(String::new(), |name| format!("{name} "));
                format!("{label} {name}{}", colour_name(*label))
            });
            text += &named.collect::<Vec<_>>().join(", ");
        }
        count => text += &format!("{count} labels in six colours"),
    }
    text + "\n"
}

fn geometry(space: &Space) -> String {
    let [nx, ny, nz] = space.shape;
    let [sx, sy, sz] = space.spacing();
    let affine = space.world_from_voxel;
    let mut text = format!(
        "shape        {nx} x {ny} x {nz}\nspacing      {sx:.4} x {sy:.4} x {sz:.4} mm\norientation  {}\naffine\n",
        orientation_code(space)
    );
    for row in 0..3 {
        let m = affine.matrix3.row(row);
        text += &format!("  {:>10.4} {:>10.4} {:>10.4} {:>10.3}\n", m.x, m.y, m.z, affine.translation[row]);
    }
    text
}

/// More distinct values than a mask has labels: the file is then an image.
const MOST_LABELS: usize = 512;

/// Voxels of each value, if the values can be labels: few, whole and not negative.
fn counts(image: &Image) -> Option<BTreeMap<u16, usize>> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for &value in &image.voxels {
        if value.fract() != 0.0 || !(0.0..=f32::from(u16::MAX)).contains(&value) {
            return None;
        }
        *counts.entry(value as u16).or_default() += 1;
        if counts.len() > MOST_LABELS {
            return None;
        }
    }
    Some(counts)
}

fn labels(counts: &BTreeMap<u16, usize>, names: &Names, space: &Space) -> String {
    let millilitres = space.world_from_voxel.matrix3.determinant().abs() / 1000.0;
    let mut text = String::from("label      voxels          mL  name\n");
    for (label, voxels) in counts.iter().filter(|(label, _)| **label > 0) {
        let name = names.get(label).map_or("", String::as_str);
        let line = format!("{label:>5}  {voxels:>10}  {:>10.2}  {name}", *voxels as f64 * millilitres);
        text += &format!("{}\n", line.trim_end());
    }
    text
}

fn values(image: &Image, found: &mut Vec<String>) -> String {
    let mut sorted = image.voxels.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    let mut text = String::from("values (HU)\n");
    for (name, percent) in
        [("least", 0), ("1%", 1), ("25%", 25), ("median", 50), ("75%", 75), ("99%", 99), ("most", 100)]
    {
        text += &format!("  {name:<7} {:>8.1}\n", at(percent));
    }
    found.extend(odd::no_hu(&image.voxels).or_else(|| odd::clipped(&image.voxels)));
    text + &window(at(1), at(99)) + &histogram(&sorted)
}

/// Windows that people look at CT with: centre and width in HU.
const PRESETS: [(&str, [f32; 2]); 5] = [
    ("brain", [40.0, 80.0]),
    ("soft tissue", [40.0, 400.0]),
    ("bone", [400.0, 1800.0]),
    ("lung", [-600.0, 1500.0]),
    ("everything", [1023.5, 4095.0]),
];

/// The window from the 1st to the 99th percentile, within what CT can hold, and the preset that covers
/// most of both together.
fn window(low: f32, high: f32) -> String {
    let [low, high] = [low, high].map(|end| end.clamp(HU_RANGE[0], HU_RANGE[1]));
    if high <= low {
        return String::new();
    }
    let shared = |[centre, width]: [f32; 2]| {
        let (from, to) = (centre - width / 2.0, centre + width / 2.0);
        (high.min(to) - low.max(from)) / (high.max(to) - low.min(from))
    };
    let nearest = PRESETS.iter().max_by(|(_, a), (_, b)| shared(*a).total_cmp(&shared(*b)));
    let (name, [centre, width]) = nearest.copied().unwrap_or(PRESETS[0]);
    format!(
        "window       {:.0},{:.0} holds 1% to 99%; nearest preset: {name} ({centre},{width})\n",
        low.midpoint(high),
        high - low
    )
}

/// Lower ends of the histogram's bins in HU, chosen by tissue: air, lung, fat, water and soft
/// tissue, contrast and spongy bone, bone, metal.
const BINS: [(f32, &str); 9] = [
    (f32::MIN, "outside the field of view"),
    (-1024.0, "air"),
    (-900.0, "lung"),
    (-200.0, "fat"),
    (-20.0, "water, soft tissue"),
    (100.0, "contrast, spongy bone"),
    (300.0, "bone"),
    (2000.0, "dense bone, metal"),
    (3072.0, "above the CT range"),
];

/// Shares of the sorted values in each bin.
fn histogram(sorted: &[f32]) -> String {
    let below = |value: f32| sorted.partition_point(|&v| v < value);
    let mut text = String::new();
    for (bin, (from, tissue)) in BINS.iter().enumerate() {
        let end = BINS.get(bin + 1).map_or(sorted.len(), |(next, _)| below(*next));
        let share = (end - below(*from)) as f64 / sorted.len() as f64;
        let from = if bin == 0 { "below".into() } else { format!("{from}") };
        let bar = "#".repeat((share * 40.0).round() as usize);
        let line = format!("  {from:>6}  {:>5.1}%  {tissue:<25}  {bar}", share * 100.0);
        text += &format!("{}\n", line.trim_end());
    }
    text
}

/// What a person should look at before using the image.
fn oddities(image: &Image) -> Vec<String> {
    let mut found = Vec::new();
    let outside = image.voxels.iter().filter(|&&v| !(HU_RANGE[0]..=HU_RANGE[1]).contains(&v)).count();
    if outside > 0 {
        found.push(format!(
            "{outside} voxels outside {}..{} HU, which import clips",
            HU_RANGE[0], HU_RANGE[1]
        ));
    }
    let columns = image.space.world_from_voxel.matrix3;
    let axes = [columns.x_axis, columns.y_axis, columns.z_axis];
    if axes.iter().any(|axis| axis.abs().max_element() < 0.9999 * axis.length()) {
        found.push("oblique: the axes are not those of the patient".into());
    }
    if axes
        .iter()
        .zip([axes[1], axes[2], axes[0]])
        .any(|(a, b)| a.dot(b).abs() > 0.001 * a.length() * b.length())
    {
        found.push("sheared: the axes are not at right angles (gantry tilt?)".into());
    }
    let canonical = Reorientation::to_canonical(&image.space);
    let blank = (0..canonical.space(&image.space).shape[2]).filter(|&k| {
        let plane = canonical.plane(image, k);
        plane.iter().all(|value| *value == plane[0])
    });
    // Of a mask, most slices may well be empty.
    let blank = if counts(image).is_some() { 0 } else { blank.count() };
    if blank > 0 {
        found.push(format!("{blank} slices of one value each"));
    }
    let slice_axis = canonical.slice_axis();
    let spacing = image.space.spacing();
    let in_plane: Vec<f64> = (0..3).filter(|&axis| axis != slice_axis).map(|axis| spacing[axis]).collect();
    if (in_plane[0] / in_plane[1] - 1.0).abs() > 0.001 {
        found.push(format!("pixels are not square: {:.4} x {:.4} mm", in_plane[0], in_plane[1]));
    }
    let anisotropy = spacing[slice_axis] / in_plane[0].min(in_plane[1]);
    if anisotropy > 3.0 {
        found.push(format!("slices are {anisotropy:.1} times as far apart as pixels"));
    }
    found
}
