use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_nn::train::{Model, RunCard, read_log};
use polycl_volume::dataset::names::{self, Names};
use polycl_volume::dataset::{Dataset, Index, Origin};
use polycl_volume::orient::{Reorientation, orientation_code};
use polycl_volume::preprocess::{HU_RANGE, Preprocess};
use polycl_volume::{Image, Space, nifti};

use super::import;
use crate::cli::Outcome;
use crate::talk;

/// Tell what is in an image, a mask, a data set or a run.
#[derive(clap::Args)]
pub struct Args {
    /// A NIfTI file, a data set or a run
    path: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let path = &args.path;
    let text = if path.join("run.json").is_file() {
        run_of(path)?
    } else if path.is_dir() {
        dataset(path, &Dataset::open(path)?.index)
    } else {
        volume(path)?
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
        ("pre-trained", &card.pretraining_cases),
    ];
    for (group, cases) in groups.into_iter().filter(|(_, cases)| !cases.is_empty()) {
        let patients: BTreeSet<&str> = cases.iter().map(|seen| seen.patient.as_str()).collect();
        text += &format!("{group:<12}{} cases of {} patients", cases.len(), patients.len());
        // Pre-training looks at no mask, and a scan without one has nobody who drew it.
        let masks = cases.iter().map(|seen| seen.origin);
        let machine = segments && group != "pre-trained" && masks.clone().any(|origin| !origin.is_hand());
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

fn volume(path: &Path) -> anyhow::Result<String> {
    let image = nifti::read_image(path)?;
    let mut text = format!("{}\n{}", path.display(), geometry(&image.space));
    let mut odd = oddities(&image);
    text += &match counts(&image) {
        Some(counts) => {
            let names = names::file_beside(path).map_or_else(|| Ok(Names::new()), |file| names::read(&file));
            let names = names.unwrap_or_else(|error| {
                odd.push(format!("label names cannot be read: {error}"));
                Names::new()
            });
            labels(&counts, &names, &image.space)
        }
        None => values(&image),
    };
    for oddity in odd {
        text += &format!("odd: {oddity}\n");
    }
    Ok(text)
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

fn values(image: &Image) -> String {
    let mut sorted = image.voxels.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    let mut text = String::from("values (HU)\n");
    for (name, percent) in
        [("least", 0), ("1%", 1), ("25%", 25), ("median", 50), ("75%", 75), ("99%", 99), ("most", 100)]
    {
        text += &format!("  {name:<7} {:>8.1}\n", at(percent));
    }
    text + &histogram(&sorted)
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
    let slice_axis = Reorientation::to_canonical(&image.space).slice_axis();
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
