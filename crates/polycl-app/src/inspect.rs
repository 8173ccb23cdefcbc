//! Facts about an image, a mask, a data set or a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use polycl_base::{Error, Kind, Watch, output};
use polycl_data::{Dataset, Failed, Index, failed};
use polycl_image::dicom::structures::{Storage, Structures};
use polycl_image::dicom::{self, Found, Series};
use polycl_image::files::{self, Reading};
use polycl_image::legend::{Legend, Regions};
use polycl_image::names::{self, Names};
use polycl_image::orient::{Reorientation, orientation_code, turned};
use polycl_image::preprocess::{HU_RANGE, labels_of};
use polycl_image::{Folder, Image, Input, Mask, Space, odd};
use polycl_nn::train::{Record, RunCard, read_log};
use serde::{Deserialize, Serialize};

use crate::figures::montage;
use crate::masks::{ScanPath, check_window, on_grid};

/// A file or folder to look into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub scan: ScanPath,
    /// Draw slices of the image.
    pub montage: Option<MontageRequest>,
}

/// A picture of slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MontageRequest {
    pub out: PathBuf,
    /// Mask of the image, to draw as outlines.
    pub mask: Option<PathBuf>,
    /// Centre and width in HU.
    pub window: [f32; 2],
    /// Slices, if there are so many.
    pub slices: usize,
}

/// The facts.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Run {
        card: Box<RunCard>,
        last: Option<Record>,
        /// The best validation Dice of all epochs.
        best: Option<f64>,
    },
    Dataset {
        index: Box<Index>,
        /// Scans that could not be imported, and why.
        failed: Failed,
    },
    VolumeFacts(Box<VolumeFacts>),
    Dicom(Box<DicomFacts>),
}

/// The DICOM series and structures of a folder.
#[derive(Debug, Clone, Serialize)]
pub struct DicomFacts {
    pub series: Vec<SeriesFacts>,
    pub structures: Vec<StructuresFacts>,
    /// Files of segmentations and contours that cannot be used, and why.
    pub damaged: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SeriesFacts {
    pub uid: String,
    pub description: String,
    pub modality: String,
    pub slices: usize,
}

/// A segmentation, or contours.
#[derive(Debug, Clone, Serialize)]
pub struct StructuresFacts {
    pub path: PathBuf,
    /// SEG or RTSTRUCT.
    pub storage: String,
    pub uid: String,
    pub label: String,
    /// Digits of date and time.
    pub made: String,
    /// UIDs of the series that it refers to.
    pub series: Vec<String>,
    /// Names of its segments or ROIs.
    pub names: Names,
}

impl From<&Structures> for StructuresFacts {
    fn from(object: &Structures) -> Self {
        Self {
            path: object.path.clone(),
            storage: object.storage.to_string(),
            uid: object.uid.clone(),
            label: object.label.clone(),
            made: object.made.clone(),
            series: object.series.iter().cloned().collect(),
            names: object.names(),
        }
    }
}

impl From<Found> for DicomFacts {
    fn from(found: Found) -> Self {
        let series = |series: &Series| SeriesFacts {
            uid: series.uid.clone(),
            description: series.description.clone(),
            modality: series.modality.clone(),
            slices: series.slices(),
        };
        Self {
            series: found.series.iter().map(series).collect(),
            structures: found.structures.iter().flatten().map(StructuresFacts::from).collect(),
            damaged: found
                .structures
                .iter()
                .filter_map(|one| Some(one.as_ref().err()?.to_string()))
                .collect(),
        }
    }
}

/// The facts of an image or a mask.
#[derive(Debug, Clone, Serialize)]
pub struct VolumeFacts {
    pub grid: GridFacts,
    pub content: Content,
    pub montage: Option<Montage>,
    /// Things that a person should look at before using it.
    pub odd: Vec<String>,
    /// Segmentations and contours that lie beside a DICOM series.
    pub structures: Vec<StructuresFacts>,
}

/// The place of the voxels in the patient.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GridFacts {
    pub shape: [usize; 3],
    /// In mm.
    pub spacing: [f64; 3],
    /// By letters, such as LPS.
    pub orientation: String,
    /// Degrees between the axis that is farthest from the patient's and the patient's.
    pub turned: f64,
    /// The three rows that take a voxel's index to RAS+ mm.
    pub affine: [[f64; 4]; 3],
    /// Millilitres of a voxel.
    pub voxel_ml: f64,
}

impl GridFacts {
    fn of(space: &Space) -> Self {
        let affine = space.world_from_voxel;
        let row = |row: usize| {
            let own = affine.matrix3.row(row);
            [own.x, own.y, own.z, affine.translation[row]]
        };
        Self {
            shape: space.shape,
            spacing: space.spacing(),
            orientation: orientation_code(space),
            turned: turned(space),
            affine: [0, 1, 2].map(row),
            voxel_ml: affine.matrix3.determinant().abs() / 1000.0,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Voxels of each label, with the labels' names.
    Labels {
        counts: BTreeMap<u16, usize>,
        names: Names,
        /// nnU-Net's regions of several labels.
        regions: Regions,
    },
    Values(Values),
}

/// The values of an image in HU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Values {
    /// By percentile: the least, some between, the most.
    pub percentiles: [(usize, f32); 7],
    /// The window that holds 1% to 99%.
    pub window: Option<Window>,
    /// Shares of the voxels in the bins of [`BINS`].
    pub histogram: [f64; BINS.len()],
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Window {
    pub centre: f32,
    pub width: f32,
    /// The preset that covers most of both together, and its centre and width.
    pub nearest: &'static str,
    pub preset: [f32; 2],
}

/// A picture of slices, written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Montage {
    /// Slices of the file, from the feet up.
    pub slices: Vec<usize>,
    /// The file's axis that they lie along.
    pub axis: usize,
    /// Labels of the mask, with their names, where one is drawn.
    pub legend: Option<Vec<(u16, Option<String>)>>,
}

/// Looks into a file or folder.
///
/// # Errors
/// What reading it can say; a mask that does not lie on its image; a picture that cannot be drawn.
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let path = &request.scan.image;
    let not_drawn = || {
        let nothing = request.montage.is_none();
        ensure!(nothing, "--montage: expected an image to draw, found {}", path.display());
        Ok(())
    };
    if path.join("run.json").is_file() {
        not_drawn()?;
        let mut log = read_log(path).unwrap_or_default();
        let best = log.iter().filter_map(|record| record.score).reduce(f64::max);
        return Ok(Outcome::Run { card: Box::new(RunCard::read(path)?), last: log.pop(), best });
    }
    if Dataset::lies_in(path) {
        not_drawn()?;
        let (index, failed) = (Box::new(Dataset::open(path)?.index), failed(path)?);
        return Ok(Outcome::Dataset { index, failed });
    }
    if path.join("dataset.json").is_file() && path.join("imagesTr").is_dir() {
        let hint = format!("import it: polycl import --nnunet {} --out dataset", path.display());
        let expected = "an image, a mask, a data set or a run";
        return Err(Error::new(path, Kind::Request, expected, "raw data of nnU-Net").hint(hint).into());
    }
    if let Some(found) = dicom(&request.scan)? {
        return match (found.series.as_slice(), found.structures.as_slice()) {
            ([], [Ok(object)]) if object.storage == Storage::Segmentation => {
                not_drawn()?;
                segmentation(object).map(Box::new).map(Outcome::VolumeFacts)
            }
            ([], [Err(error)]) => Err(error.clone().into()),
            ([_], _) => {
                let structures = found.structures.iter().flatten().map(StructuresFacts::from).collect();
                let facts = volume(request, watch)?;
                Ok(Outcome::VolumeFacts(Box::new(VolumeFacts { structures, ..facts })))
            }
            ([], []) => volume(request, watch).map(Box::new).map(Outcome::VolumeFacts),
            _ => {
                not_drawn()?;
                Ok(Outcome::Dicom(Box::new(found.into())))
            }
        };
    }
    volume(request, watch).map(Box::new).map(Outcome::VolumeFacts)
}

/// The DICOM objects at a path of which no series is named; `None` for files of other formats.
fn dicom(scan: &ScanPath) -> polycl_base::Result<Option<Found>> {
    let path = &scan.image;
    let is_dicom = match path.is_dir() {
        true => matches!(Folder::of(path)?, Folder::Dicom { .. }),
        false => path.is_file() && !files::is_scan(path),
    };
    (is_dicom && scan.series.is_none()).then(|| dicom::find(path)).transpose()
}

/// A segmentation by itself, on the grid of its frames.
fn segmentation(object: &Structures) -> anyhow::Result<VolumeFacts> {
    let drawn = object.mask(&object.space()?, &object.names(), Reading::default())?;
    let content = Content::Labels {
        counts: counts(&drawn.mask.voxels),
        names: object.names(),
        regions: Regions::new(),
    };
    let odd = object.notes.iter().cloned().chain(drawn.notes).collect();
    let structures = vec![StructuresFacts::from(object)];
    Ok(VolumeFacts { grid: GridFacts::of(&drawn.mask.space), content, montage: None, odd, structures })
}

fn volume(request: &Request, watch: &dyn Watch) -> anyhow::Result<VolumeFacts> {
    let input: Input = request.scan.open()?;
    let image = input.image()?;
    let labels = input.labels(&image)?.filter(|labels| labels.iter().any(|&label| label > 0));
    let mut odd = if labels.is_some() { input.notes_of_mask()? } else { odd::of(&input, &image)? };
    let content = match labels {
        Some(labels) => {
            let legend = legend_beside(&request.scan.image, &mut odd);
            let (counts, names) = (counts(&labels), legend.all());
            Content::Labels { counts, names, regions: legend.regions }
        }
        None => Content::Values(values(&image)),
    };
    let montage = request.montage.as_ref();
    let montage =
        montage.map(|asked| draw(asked, &request.scan, (&input, &image), &mut odd, watch)).transpose()?;
    Ok(VolumeFacts { grid: GridFacts::of(&image.space), content, montage, odd, structures: Vec::new() })
}

fn legend_beside(mask: &Path, odd: &mut Vec<String>) -> Legend {
    let legend = names::file_beside(mask).map_or_else(|| Ok(Legend::default()), |file| names::read(&file));
    legend.unwrap_or_else(|error| {
        odd.push(format!("label names cannot be read: {error}"));
        Legend::default()
    })
}

fn draw(
    request: &MontageRequest,
    asked: &ScanPath,
    (input, image): (&Input, &Image),
    odd: &mut Vec<String>,
    watch: &dyn Watch,
) -> anyhow::Result<Montage> {
    let MontageRequest { out, mask: path, window, slices } = request;
    check_window(Some(*window))?;
    let is_png = out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    ensure!(is_png, "--montage: expected a name that ends in .png, found {}", out.display());
    let read = |path: &PathBuf| {
        let mask = asked.mask(path, (input, &image.space), None, watch)?;
        on_grid(path, mask, (&asked.image, image), watch)
    };
    let mask = path.as_ref().map(read).transpose()?;
    let legend = path.as_ref().zip(mask.as_ref()).map(|(path, mask)| legend(path, mask, odd));
    let montage = montage::montage(image, mask.as_ref(), *window, *slices)?;
    output::atomically(out, |file| std::io::Write::write_all(file, &montage.png))?;
    let axis = Reorientation::to_canonical(&image.space).slice_axis();
    Ok(Montage { slices: montage.slices, axis, legend })
}

fn legend(path: &Path, mask: &Mask, odd: &mut Vec<String>) -> Vec<(u16, Option<String>)> {
    let names = legend_beside(path, odd).names;
    let labels: Vec<_> = labels_of(&mask.voxels).map(|label| (label, names.get(&label).cloned())).collect();
    if labels.is_empty() {
        odd.push(format!("{}: the mask is empty", path.display()));
    }
    labels
}

/// Voxels of each label.
fn counts(labels: &[u16]) -> BTreeMap<u16, usize> {
    let mut counts = vec![0; usize::from(u16::MAX) + 1];
    labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
    (0..=u16::MAX).zip(counts).filter(|(_, count)| *count > 0).collect()
}

fn values(image: &Image) -> Values {
    let mut sorted = image.voxels.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    Values {
        percentiles: [0, 1, 25, 50, 75, 99, 100].map(|percent| (percent, at(percent))),
        window: window(at(1), at(99)),
        histogram: histogram(&sorted),
    }
}

/// Windows that people look at CT with: centre and width in HU.
const PRESETS: [(&str, [f32; 2]); 5] = [
    ("brain", [40.0, 80.0]),
    ("soft tissue", [40.0, 400.0]),
    ("bone", [400.0, 1800.0]),
    ("lung", [-600.0, 1500.0]),
    ("everything", [1023.5, 4095.0]),
];

/// The window from the 1st to the 99th percentile, within what CT can hold.
fn window(low: f32, high: f32) -> Option<Window> {
    let [low, high] = [low, high].map(|end| end.clamp(HU_RANGE[0], HU_RANGE[1]));
    if high <= low {
        return None;
    }
    let shared = |[centre, width]: [f32; 2]| {
        let (from, to) = (centre - width / 2.0, centre + width / 2.0);
        (high.min(to) - low.max(from)) / (high.max(to) - low.min(from))
    };
    let nearest = PRESETS.iter().max_by(|(_, a), (_, b)| shared(*a).total_cmp(&shared(*b)));
    let (nearest, preset) = nearest.copied().unwrap_or(PRESETS[0]);
    Some(Window { centre: low.midpoint(high), width: high - low, nearest, preset })
}

/// Lower ends of the histogram's bins in HU, chosen by tissue: air, lung, fat, water and soft
/// tissue, contrast and spongy bone, bone, metal.
pub const BINS: [(f32, &str); 9] = [
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
fn histogram(sorted: &[f32]) -> [f64; BINS.len()] {
    let below = |value: f32| sorted.partition_point(|&v| v < value);
    std::array::from_fn(|bin| {
        let end = BINS.get(bin + 1).map_or(sorted.len(), |(next, _)| below(*next));
        (end - below(BINS[bin].0)) as f64 / sorted.len() as f64
    })
}
