//! From planes to one grid: their order, spacing and affine.

use std::collections::BTreeSet;
use std::path::Path;

use glam::{DAffine3, DMat3, DVec3};
use polycl_base::{Error, Kind, Result, counted};

use super::plane::Plane;
use super::select::planes;
use super::slice::Shot;
use super::{copies, counts};
use crate::{Space, odd};

/// Distance in mm of a slice from its place on the line from the first slice to the last, at most: the larger of 0.06 mm (positions are
/// often written with one decimal) and 1% of the spacing. Other programs take this line, and so do masks that they made.
/// Where it is too far off, since these two are rounded as well, the line that fits all is tried, to 0.09 mm: positions
/// of a turned series are rounded in three coordinates. ITK only warns of uneven spacing, and dcm2niix writes
/// such stacks with a mean spacing or resampled; we refuse, since a mask would lie beside its organ.
const UNEVEN_MM: f64 = 0.06;
pub(super) const FITTED_MM: f64 = 0.09;
const UNEVEN: f64 = 0.01;
/// What is not worth a note: slices within this many mm of the grid.
const EXACT_MM: f64 = 0.01;
/// HU from which a padding value is taken for tissue.
const AIR: f64 = -900.0;
/// Steps this much longer than the median are looked at as missing slices.
const GAP: f64 = 1.5;

/// The planes of a series in the order of the volume's third axis, and where they lie.
pub(super) struct Stack<'a> {
    pub planes: Vec<Plane<'a>>,
    pub space: Space,
    pub notes: Vec<String>,
}

/// Orders a series' images along their normal and checks that they lie on a regular grid.
pub(super) fn stack<'a>(shots: &'a [Shot], root: &Path) -> Result<Stack<'a>> {
    let mut notes = Vec::new();
    let mut planes = planes(shots, root, &mut notes)?;
    let first = planes[0].place;
    let normal = first.row.cross(first.column).normalize();
    planes.sort_by(|a, b| a.place.position.dot(normal).total_cmp(&b.place.position.dot(normal)));
    one_patient(&planes, root)?;
    let planes = copies::without(planes, normal, &mut notes);
    let at: Vec<DVec3> = planes.iter().map(|plane| plane.place.position).collect();
    let line = match at.len() {
        1 => Line { first: at[0], step: normal * alone(&planes[0], &mut notes) },
        _ => {
            apart(&planes, normal, root)?;
            whole(&at, normal, root)?;
            even(&at, root, &mut notes)?
        }
    };
    notes.extend(oddities(&planes));
    notes.extend(upright(&planes, line.step, normal));
    scales(&planes, root, &mut notes)?;
    notes.extend(counts::missing(&planes));
    let space = space(&planes, line);
    notes.extend(odd::lattice(&space));
    Ok(Stack { planes, space, notes })
}

/// The thickness of a single slice stands for its spacing.
fn alone(plane: &Plane, notes: &mut Vec<String>) -> f64 {
    match plane.says.thickness.or(plane.shot.thickness) {
        Some(mm) => {
            notes.push(format!("a single slice: its thickness of {mm} mm is taken as the spacing"));
            mm
        }
        None => {
            notes.push("a single slice without a thickness: 1 mm is taken as the spacing".to_owned());
            1.0
        }
    }
}

/// Refuses images of several patients by their IDs: someone gave two scans one UID.
fn one_patient(planes: &[Plane], root: &Path) -> Result<()> {
    let id = |plane: &Plane| plane.shot.patient.id.trim().to_lowercase();
    let ids: BTreeSet<String> = planes.iter().map(id).filter(|id| !id.is_empty()).collect();
    if ids.len() < 2 {
        return Ok(());
    }
    Err(Error::new(root, Kind::Geometry, "one patient in a series", format!("{} by their IDs", ids.len()))
        .hint("put the files of each patient into a folder of their own"))
}

/// Refuses two different images at one place along the normal.
fn apart(planes: &[Plane], normal: DVec3, root: &Path) -> Result<()> {
    let along = |plane: &Plane| plane.place.position.dot(normal);
    let several: Vec<_> =
        planes.windows(2).filter(|pair| copies::together(&pair[0], &pair[1], normal)).collect();
    let Some(pair) = several.first() else { return Ok(()) };
    Err(Error::new(
        root,
        Kind::Geometry,
        "one image at each position",
        match several.len() - 1 {
            0 => format!("two images at {:.2} mm along the normal", along(&pair[0])),
            more => {
                format!("two images at {:.2} mm along the normal, and {} more", along(&pair[0]), counted(more, "such pair"))
            }
        },
    )
    .hint(
        "put the files of one time point, energy or reconstruction into a folder of their own: the series holds several",
    ))
}

/// Refuses a stack that lacks slices.
fn whole(at: &[DVec3], normal: DVec3, root: &Path) -> Result<()> {
    let steps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]).dot(normal)).collect();
    let median = median(&steps);
    let gap = |step: f64| {
        let times = step / median;
        (times > GAP && (times - times.round()).abs() < 0.1).then(|| times.round() as usize - 1)
    };
    let gaps: Vec<(usize, usize)> =
        steps.iter().enumerate().filter_map(|(k, &step)| Some((k, gap(step)?))).collect();
    let Some(&(k, missing)) = gaps.first() else { return Ok(()) };
    let (from, to) = (at[k].dot(normal), at[k + 1].dot(normal));
    let more = if gaps.len() > 1 { format!(", and {} more gaps", gaps.len() - 1) } else { String::new() };
    Err(Error::new(
        root,
        Kind::Geometry,
        format!("a slice every {median:.2} mm along the normal"),
        format!("{missing} missing between {from:.2} and {to:.2} mm{more}"),
    )
    .hint("copy or export the series again; no slices are made up"))
}

fn median(steps: &[f64]) -> f64 {
    let mut sorted = steps.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The place of the first slice of a regular stack, and the way from each to the next.
#[derive(Clone, Copy)]
struct Line {
    first: DVec3,
    step: DVec3,
}

impl Line {
    /// From the first slice to the last.
    fn through_ends(at: &[DVec3]) -> Self {
        Self { first: at[0], step: (at[at.len() - 1] - at[0]) / (at.len() - 1) as f64 }
    }

    /// With the least sum of squared distances: rounding in the first and the last position does not tilt it.
    fn fitted(at: &[DVec3]) -> Self {
        let n = at.len() as f64;
        let middle = (n - 1.0) / 2.0;
        let mean = at.iter().sum::<DVec3>() / n;
        let steps: DVec3 =
            at.iter().zip(0..).map(|(&position, k)| (position - mean) * (f64::from(k) - middle)).sum();
        let step = steps * 12.0 / (n * (n * n - 1.0));
        Self { first: mean - step * middle, step }
    }

    /// The slice that lies farthest from its place, and how far.
    fn worst(&self, at: &[DVec3]) -> (usize, f64) {
        let off = at
            .iter()
            .enumerate()
            .map(|(k, position)| (k, position.distance(self.first + self.step * k as f64)));
        off.fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a })
    }

    fn allowed(&self, mm: f64) -> f64 {
        mm.max(UNEVEN * self.step.length())
    }

    // Written so that a distance that is no number is refused as well.
    fn is_regular(&self, at: &[DVec3], mm: f64) -> bool {
        self.worst(at).1 <= self.allowed(mm)
    }
}

/// The line on which all slices lie in their places: from the first to the last, or, where rounding of these two is what
/// is wrong, the fitted one.
fn even(at: &[DVec3], root: &Path, notes: &mut Vec<String>) -> Result<Line> {
    let ends = Line::through_ends(at);
    let lines = [(ends, UNEVEN_MM), (Line::fitted(at), FITTED_MM)];
    let line = lines.into_iter().find(|(line, mm)| line.is_regular(at, *mm)).map(|(line, _)| line);
    let Some(line) = line else {
        let (worst, off) = ends.worst(at);
        return Err(Error::new(
            root,
            Kind::Geometry,
            format!(
                "slices every {:.3} mm in a straight line, to {:.2} mm",
                ends.step.length(),
                ends.allowed(UNEVEN_MM)
            ),
            format!("slice {} of {} {off:.2} mm from its place", worst + 1, at.len()),
        )
        .hint("export the series with one spacing: uneven stacks are not resampled here"));
    };
    let (_, off) = line.worst(at);
    if off > EXACT_MM {
        notes.push(format!("uneven spacing: slices lie up to {off:.3} mm from a regular grid"));
    }
    Ok(line)
}

/// A sentence about a stack that stands upright where the header says that it leans.
fn upright(planes: &[Plane], step: DVec3, normal: DVec3) -> Option<String> {
    let said = planes[0].shot.tilt;
    let leans = step.angle_between(normal).to_degrees() > odd::SHEARED;
    (said.abs() > odd::SHEARED && planes.len() > 1 && !leans)
        .then(|| format!("the header tells of a gantry tilt of {said} degrees, the positions do not"))
}

/// Refuses a scan of which only some slices say how stored values become HU, or say what cannot be; tells of other scales
/// that a CT hardly has.
fn scales(planes: &[Plane], root: &Path, notes: &mut Vec<String>) -> Result<()> {
    let without = planes.iter().filter(|plane| !plane.says.rescaled).count();
    let refused = |expected: &str, found: String| {
        Err(Error::new(root, Kind::Voxels, expected, found)
            .hint("export the series again: without these, values are no HU"))
    };
    if without > 0 && without < planes.len() {
        let found = format!("{} of {} without", counted(without, "slice"), planes.len());
        return refused("a rescale slope and intercept in every slice", found);
    }
    if planes.iter().any(|plane| plane.says.slope == 0.0) {
        return refused("a rescale slope that is not 0", "0".to_owned());
    }
    if planes[0].shot.modality != "CT" {
        return Ok(());
    }
    let first = &planes[0].says;
    if without > 0 {
        notes.push(format!(
            "no slice has both a rescale slope and an intercept: {} and {} are taken, and values may be no HU",
            first.slope, first.intercept
        ));
    }
    if first.slope < 0.0 {
        notes.push(format!("the rescale slope is {}: these may be no HU", first.slope));
    }
    let unit = &planes[0].shot.unit;
    if !unit.is_empty() && !["HU", "US"].contains(&unit.as_str()) {
        let is_term = unit.len() <= 16 && unit.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let unit = if is_term { unit } else { "another one" };
        notes.push(format!("the unit of values (rescale type) is {unit}, not HU"));
    }
    let same = |plane: &Plane| (plane.says.slope, plane.says.intercept) == (first.slope, first.intercept);
    if !planes.iter().all(same) {
        notes.push("slices have several rescale slopes or intercepts".to_owned());
    }
    Ok(())
}

/// What is odd about the images, but changes nothing.
fn oddities(planes: &[Plane]) -> Vec<String> {
    let mut notes = Vec::new();
    let first = planes[0].shot;
    if planes.iter().any(|plane| plane.shot.kernel != first.kernel) {
        notes.push("slices of several convolution kernels".to_owned());
    }
    if planes.iter().any(|plane| plane.shot.layout.inverted) {
        notes.push("MONOCHROME1: shown inverted by viewers; values are kept as they are".to_owned());
    }
    let padding = |plane: &Plane| Some(plane.shot.padding? * plane.says.slope + plane.says.intercept);
    // What is no more than air is air to us, too.
    if let Some(value) = planes.iter().filter_map(padding).find(|value| *value > AIR) {
        notes.push(format!(
            "the padding value is {value} HU: voxels outside the scan may hold it, and are kept as they are"
        ));
    }
    if planes.iter().any(|plane| plane.shot.commas) {
        notes.push("numbers with a decimal comma are read as if with a point".to_owned());
    }
    if planes.iter().any(|plane| plane.shot.mislabelled) {
        notes.push("the byte order is not the one that the transfer syntax says".to_owned());
    }
    if first.modality != "CT" {
        let modality = if first.modality.is_empty() { "unknown" } else { &first.modality };
        notes.push(format!("modality {modality}: values may not be Hounsfield units"));
    }
    notes
}

/// DICOM's world is LPS; ours is RAS+.
fn space(planes: &[Plane], line: Line) -> Space {
    let first = &planes[0];
    let ras = |v: DVec3| DVec3::new(-v.x, -v.y, v.z);
    let [across, down] = first.place.spacing;
    let columns = [first.place.row * across, first.place.column * down, line.step].map(ras);
    let layout = &first.shot.layout;
    let shape = [layout.columns as usize, layout.rows as usize, planes.len()];
    let affine = DAffine3 {
        matrix3: DMat3::from_cols(columns[0], columns[1], columns[2]),
        translation: ras(line.first),
    };
    Space::new(shape, affine)
}
