//! The masks of one scan, read and brought into the data set's own numbering.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result};
use polycl_image::dicom::structures::{Drawn as OnScan, Structures};
use polycl_image::files::{self, Reading};
use polycl_image::grid::{self, Fit};
use polycl_image::legend::{IGNORED, Legend};
use polycl_image::names::{self, Names};
use polycl_image::orient::{Reorientation, slice_of};
use polycl_image::{Input, Mask, Source, Space};

use super::Scan;
use super::pair::{Label, Pair};

/// Everything drawn on one scan, on the scan's own voxels.
pub(super) struct Drawn {
    /// Voxels that nobody annotated are [`IGNORED`].
    pub(super) mask: Mask,
    pub(super) sources: Vec<Source>,
    pub(super) organs: BTreeSet<String>,
    /// Voxels that more than one structure claimed.
    pub(super) contested: usize,
    /// Values of the mask file that have no name; they count as background.
    pub(super) nameless: Vec<u16>,
    /// Pixels of each label in each slice of the file, before structures are painted over each other.
    pub(super) pixels: BTreeMap<u16, Vec<u64>>,
    /// Sentences about how DICOM structures were drawn on the scan.
    pub(super) notes: Vec<String>,
}

/// Reads the label of an image, which draws `organs`; `numbering` holds the names that are kept and
/// their labels. `None` where it draws none of them.
///
/// # Errors
/// As [`Reading::mask`]; [`Kind::Geometry`] where a file does not lie on the image's voxels.
pub(super) fn read(
    (label, reading): (&Label, Reading),
    organs: BTreeSet<String>,
    image: &Path,
    space: &Space,
    numbering: &BTreeMap<String, u16>,
) -> Result<Option<Drawn>> {
    if organs.is_empty() {
        return Ok(None);
    }
    let mut nameless = Vec::new();
    let (voxels, sources, contested, pixels, notes) = match label {
        Label::Map(path, legend) => {
            let wanted = wanted(legend, numbering);
            let (mask, source, notes) = on_image((path, reading, Some(&wanted)), image, space)?;
            nameless = without_name(&mask, legend);
            let voxels = renumbered(mask, legend, numbering);
            let pixels = pixels(voxels.iter().copied().enumerate(), space);
            (voxels, vec![source], 0, pixels, notes)
        }
        Label::Structures(files) => {
            let files = files.iter().filter_map(|(name, path)| Some((*numbering.get(name)?, path)));
            let (structures, sources, notes) = structures(files, reading, image, space)?;
            let pixels = pixels(structures.iter().flat_map(Structure::voxels), space);
            let (voxels, contested) = paint(structures, space.voxels());
            (voxels, sources, contested, pixels, notes)
        }
    };
    let mask = Mask { space: space.clone(), voxels };
    Ok(Some(Drawn { mask, sources, organs, contested, nameless, pixels, notes }))
}

/// The names of the values that are kept.
fn wanted(legend: &Legend, numbering: &BTreeMap<String, u16>) -> Names {
    let kept = legend.names.iter().filter(|(_, name)| numbering.contains_key(*name));
    kept.map(|(&value, name)| (value, name.clone())).collect()
}

/// One mask from files of a structure each, with the values of `numbering`; the smallest structure is seen where several
/// overlap.
///
/// # Errors
/// [`Kind::Labels`] or [`Kind::Geometry`] where they cannot be on it; as [`Reading::mask`].
pub fn structures_on(
    label: &Label,
    image: &Path,
    space: &Space,
    numbering: &BTreeMap<String, u16>,
) -> Result<Mask> {
    let organs = label.organs().into_iter().map(str::to_owned).collect();
    let drawn = read((label, Reading::default()), organs, image, space, numbering)?;
    Ok(drawn
        .map_or_else(|| Mask { space: space.clone(), voxels: vec![0; space.voxels()] }, |drawn| drawn.mask))
}

/// Reads the masks of a scan again that was imported before: on its own voxels, in the data set's numbers.
///
/// # Errors
/// As [`read`]; [`Kind::Format`] for files that have changed since, [`Kind::Labels`] for a scan without masks.
pub(super) fn again(scan: &Scan, labels: &Names) -> Result<Mask> {
    let file = |source: &Source| {
        let name = files::case_name(&source.path).unwrap_or_default();
        // Earlier versions took `.seg` for a part of the name.
        let before = format!("{name}.seg");
        let is_known = |name: &String| labels.values().any(|known| known == name);
        let name = if !is_known(&name) && is_known(&before) { before } else { name };
        (name, source.path.clone())
    };
    let label = match scan.masks.as_slice() {
        [map] if !scan.mask_names.is_empty() => {
            Label::Map(map.path.clone(), Legend::plain(scan.mask_names.clone()))
        }
        structures => Label::Structures(structures.iter().map(file).collect()),
    };
    let numbering = labels.iter().map(|(&value, name)| (name.clone(), value)).collect();
    let input = Input::at(&scan.image)?;
    let image = input.path();
    scan.masks.iter().try_for_each(Source::check)?;
    // All masks of a scan were read in one way.
    let reading = scan.masks.first().map(Source::reading).unwrap_or_default();
    let drawn = read((&label, reading), scan.drawn.clone(), image, &input.space()?, &numbering)?;
    let whole = |drawn: &Drawn| !drawn.sources.is_empty() && drawn.sources.len() == scan.masks.len();
    let drawn = drawn.filter(whole).ok_or_else(|| {
        Error::new(image, Kind::Labels, format!("a mask of case {}", scan.case), "no mask")
            .hint("import the data set again: earlier versions did not keep the names in masks")
    })?;
    let same = |(now, then): (&Source, &Source)| now.path == then.path && now.sha256 == then.sha256;
    let changed = drawn.sources.iter().zip(&scan.masks).find(|&pair| !same(pair));
    changed.map_or(Ok(drawn.mask), |(_, then)| {
        Err(Error::new(
            &then.path,
            Kind::Format,
            "the mask that was imported",
            "a file that has changed since",
        )
        .hint("import the data set again"))
    })
}

/// Voxels of each label, but for the background, in each slice of the file.
fn pixels(voxels: impl Iterator<Item = (usize, u16)>, space: &Space) -> BTreeMap<u16, Vec<u64>> {
    let slices = space.shape[Reorientation::to_canonical(space).slice_axis()];
    let slice = slice_of(space);
    // By label, for there are many voxels.
    let mut pixels: Vec<Vec<u64>> = Vec::new();
    for (at, label) in voxels.filter(|&(_, label)| label != 0) {
        let label = usize::from(label);
        if pixels.len() <= label {
            pixels.resize(label + 1, Vec::new());
        }
        let counts = &mut pixels[label];
        if counts.is_empty() {
            *counts = vec![0; slices];
        }
        counts[slice(at)] += 1;
    }
    (0..).zip(pixels).filter(|(_, counts)| !counts.is_empty()).collect()
}

/// The facts that the headers of masks tell before the work begins.
#[derive(Default)]
pub(super) struct Headers {
    /// The fit of each file on its image.
    pub(super) fits: Vec<Fit>,
    /// Sentences about what a header contradicts itself in, or leaves out.
    pub(super) odd: BTreeSet<String>,
}

impl Headers {
    /// Sentences for a person; what the header of the scan says as well is said of the scan.
    ///
    /// # Errors
    /// As [`Input::notes`].
    pub(super) fn notes(self, image: &Input) -> Result<Vec<String>> {
        let moved = BTreeSet::from_iter(self.fits.iter().filter_map(Fit::note));
        let moved =
            moved.into_iter().map(|note| format!("the mask is not on the same grid as its scan: {note}"));
        let of_scan = if self.odd.is_empty() { Vec::new() } else { image.notes()? };
        let odd = self.odd.into_iter().filter(|note| !of_scan.contains(note));
        Ok(moved.chain(odd.map(|note| format!("its mask: {note}"))).collect())
    }
}

/// Holds the headers of what [`read`] would read to that of the image: a mask that is missing or
/// lies elsewhere is known before the work begins.
///
/// # Errors
/// As [`Reading::space`]; [`Kind::Geometry`].
pub(super) fn check(
    (label, reading): (&Label, Reading),
    image: &Path,
    space: &Space,
    numbering: &BTreeMap<String, u16>,
) -> Result<Headers> {
    if let Label::Map(path, legend) = label
        && legend.all().is_empty()
    {
        return Err(names::nameless(path, "none of the names that are asked for"));
    }
    let files: Vec<(&PathBuf, Option<Names>)> = match label {
        Label::Map(path, legend) => vec![(path, Some(wanted(legend, numbering)))],
        Label::Structures(files) => {
            let kept = files.iter().filter(|(name, _)| numbering.contains_key(*name));
            kept.map(|(_, path)| (path, None)).collect()
        }
    };
    let mut headers = Headers::default();
    for (path, wanted) in files {
        headers.fits.push(fit(path, &reading.space_on(path, space, wanted.as_ref())?, image, space)?);
        headers.odd.extend(reading.notes_of_mask(path)?);
    }
    Ok(headers)
}

/// Refuses a DICOM object that was drawn on another series than its scan; a sentence where something else is odd about that.
pub(super) fn belongs(pair: &Pair) -> Result<Option<String>> {
    let (Input::Series { series, .. }, Some(Label::Map(path, _))) = (&pair.image, &pair.label) else {
        return Ok(None);
    };
    let object = Structures::at(path)?;
    let told = object.map(|object| object.belongs(series)).transpose()?.flatten();
    Ok(told.map(|told| format!("its mask: {told}")))
}

/// Reads a mask that must lie on the voxels of its image.
fn on_image(
    (path, reading, wanted): (&Path, Reading, Option<&Names>),
    image: &Path,
    space: &Space,
) -> Result<(Mask, Source, Vec<String>)> {
    let (OnScan { mask, notes }, sha256) = reading.mask_on_hashed(path, space, wanted)?;
    let fit = fit(path, &mask.space, image, space)?;
    let source = Source {
        path: path.to_path_buf(),
        series: None,
        sha256,
        trust: reading.trust,
        fill_gaps: reading.fill_gaps,
    };
    Ok((fit.apply(mask, space), source, notes))
}

/// The way in which a mask lies on the voxels of its image.
pub(super) fn fit(path: &Path, mask: &Space, image: &Path, space: &Space) -> Result<Fit> {
    let hint = "resample the mask onto the image: both must have the same voxels";
    grid::on_image(space, mask, path, &format!("its image {}", image.display()), hint)
}

/// Label values of the mask that its legend does not name.
fn without_name(mask: &Mask, legend: &Legend) -> Vec<u16> {
    let known = |value: &u16| legend.names.contains_key(value) || legend.ignored == Some(*value);
    let mut seen = vec![false; usize::from(u16::MAX) + 1];
    mask.voxels.iter().for_each(|&value| seen[usize::from(value)] = true);
    (1..=u16::MAX).filter(|value| seen[usize::from(*value)] && !known(value)).collect()
}

/// Label values of the file become those of the data set; what is not kept or has no name becomes background, and what
/// nobody annotated [`IGNORED`].
fn renumbered(mask: Mask, legend: &Legend, numbering: &BTreeMap<String, u16>) -> Vec<u16> {
    let mut label = vec![0; usize::from(u16::MAX) + 1];
    for (&value, name) in &legend.names {
        label[usize::from(value)] = numbering.get(name).copied().unwrap_or(0);
    }
    if let Some(value) = legend.ignored {
        label[usize::from(value)] = IGNORED;
    }
    let mut voxels = mask.voxels;
    voxels.iter_mut().for_each(|value| *value = label[usize::from(*value)]);
    voxels
}

/// A structure as runs of voxels in memory order, so that many of them fit beside each other.
struct Structure {
    label: u16,
    size: usize,
    /// First voxel and length of each run.
    runs: Vec<[usize; 2]>,
}

impl Structure {
    /// Its voxels with its label.
    fn voxels(&self) -> impl Iterator<Item = (usize, u16)> {
        let runs = self.runs.iter().flat_map(|&[first, length]| first..first + length);
        runs.map(|at| (at, self.label))
    }
}

fn structures<'a>(
    files: impl Iterator<Item = (u16, &'a PathBuf)>,
    reading: Reading,
    image: &Path,
    space: &Space,
) -> Result<(Vec<Structure>, Vec<Source>, Vec<String>)> {
    let mut structures = Vec::new();
    let mut sources = Vec::new();
    let mut notes = Vec::new();
    for (label, path) in files {
        let (mask, source, told) = on_image((path, reading, None), image, space)?;
        notes.extend(told);
        let mut runs: Vec<[usize; 2]> = Vec::new();
        for (at, _) in mask.voxels.iter().enumerate().filter(|&(_, &value)| value > 0) {
            match runs.last_mut() {
                Some([first, length]) if *first + *length == at => *length += 1,
                _ => runs.push([at, 1]),
            }
        }
        structures.push(Structure { label, size: runs.iter().map(|run| run[1]).sum(), runs });
        sources.push(source);
    }
    Ok((structures, sources, notes))
}

/// Paints the largest structure first, so that where several overlap the smallest is seen: a
/// lesion within its organ. Also the number of voxels that were painted more than once.
fn paint(mut structures: Vec<Structure>, voxels: usize) -> (Vec<u16>, usize) {
    structures.sort_by_key(|s| std::cmp::Reverse(s.size));
    let mut mask = vec![0; voxels];
    let mut contested = 0;
    for structure in &structures {
        for &[first, length] in &structure.runs {
            let run = &mut mask[first..first + length];
            contested += run.iter().filter(|&&label| label != 0).count();
            run.fill(structure.label);
        }
    }
    (mask, contested)
}
