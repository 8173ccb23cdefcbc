//! Which images of a series make up its stack.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::copies;
use super::plane::{Plane, SAME_POSITION, nowhere};
use super::slice::Shot;

/// Direction cosines that differ by less are the same direction (0.06 degrees).
const SAME_DIRECTION: f64 = 1e-3;
/// Pixel spacings within this part of each other are the same.
const SAME_SPACING: f64 = 1e-3;
/// Odd images are left out where the others are at least this many times as many.
const FEW: usize = 4;
/// How the classes of secondary captures begin.
pub(super) const CAPTURES: &str = "1.2.840.10008.5.1.4.1.1.7";

/// The planes of the series' one stack: localizers and the few images of another kind, size or orientation left out,
/// copies of one image once. What was left out is told in `notes`.
pub(super) fn planes<'a>(shots: &'a [Shot], root: &Path, notes: &mut Vec<String>) -> Result<Vec<Plane<'a>>> {
    let (localizers, shots): (Vec<_>, Vec<_>) = shots.iter().partition(|shot| shot.localizer);
    if shots.is_empty() {
        return Err(Error::new(root, Kind::Geometry, "a stack of slices", "localizers alone")
            .hint("name the series of the scan itself: localizers (scouts) only plan a scan"));
    }
    if !localizers.is_empty() {
        notes.push(format!("left out {} marked as localizers", images(localizers.len())));
    }
    let (shots, pictures) = scans(shots);
    let mut groups: Vec<Vec<Plane>> = Vec::new();
    let mut nowhere = Vec::new();
    for shot in shots {
        match placed(shot) {
            Ok(planes) => planes.into_iter().for_each(|plane| gather(&mut groups, plane)),
            Err(error) => nowhere.push(error),
        }
    }
    if groups.is_empty()
        && let Some(error) = nowhere.first()
    {
        return Err(error.clone());
    }
    let group = largest(groups, root, notes)?;
    let odd = pictures.len() + nowhere.len();
    if odd > 0 && FEW * odd > group.len() {
        let picture =
            |shot: &&Shot| shot.layout.check(&shot.path).err().unwrap_or_else(|| self::nowhere(shot));
        let error = nowhere.first().cloned().or_else(|| pictures.first().map(picture));
        return error.map_or_else(|| Ok(Vec::new()), Err);
    }
    match pictures.len() {
        0 => (),
        1 => notes.push("left out 1 screen capture or colour image".to_owned()),
        n => notes.push(format!("left out {n} screen captures or colour images")),
    }
    if !nowhere.is_empty() {
        notes.push(format!("left out {} without a place in the patient", images(nowhere.len())));
    }
    Ok(once(group, notes))
}

/// The images that may be a scan, and pictures among them: screen captures, and what is in colour. Where all are such,
/// they are the series.
fn scans(shots: Vec<&Shot>) -> (Vec<&Shot>, Vec<&Shot>) {
    let captured = |shot: &Shot| shot.class.starts_with(CAPTURES);
    let picture = |shot: &Shot| captured(shot) || shot.layout.samples != 1;
    if shots.iter().all(|shot| picture(shot)) {
        return (shots, Vec::new());
    }
    shots.into_iter().partition(|shot| !picture(shot))
}

fn gather<'a>(groups: &mut Vec<Vec<Plane<'a>>>, plane: Plane<'a>) {
    match groups.iter_mut().find(|group| alike(&group[0], &plane)) {
        Some(group) => group.push(plane),
        None => groups.push(vec![plane]),
    }
}

fn images(n: usize) -> String {
    if n == 1 { "1 image".to_owned() } else { format!("{n} images") }
}

fn placed(shot: &Shot) -> Result<Vec<Plane<'_>>> {
    if shot.layout.frames > 1 && shot.frames.len() == 1 {
        return Err(Error::new(
            &shot.path,
            Kind::Geometry,
            "a position, an orientation and a pixel spacing for each image",
            format!("{} frames without a position of their own", shot.layout.frames),
        )
        .hint(
            "export the scan as single slices or as enhanced CT: a plain multi-frame file does not say where its frames lie",
        ));
    }
    let planes = shot
        .frames
        .iter()
        .zip(0..)
        .map(|(says, frame)| says.place.map(|place| Plane { shot, frame, says: *says, place }));
    planes.collect::<Option<Vec<_>>>().ok_or_else(|| nowhere(shot))
}

fn alike(a: &Plane, b: &Plane) -> bool {
    let near = |x: f64, y: f64| (x - y).abs() <= SAME_SPACING * x;
    let (p, q) = (&a.place, &b.place);
    (a.shot.layout.rows, a.shot.layout.columns) == (b.shot.layout.rows, b.shot.layout.columns)
        && p.row.distance(q.row) < SAME_DIRECTION
        && p.column.distance(q.column) < SAME_DIRECTION
        && near(p.spacing[0], q.spacing[0])
        && near(p.spacing[1], q.spacing[1])
}

/// The largest group, where all others together are at most a quarter of it.
fn largest<'a>(groups: Vec<Vec<Plane<'a>>>, root: &Path, notes: &mut Vec<String>) -> Result<Vec<Plane<'a>>> {
    let total: usize = groups.iter().map(Vec::len).sum();
    let kinds = groups.len();
    let group = groups.into_iter().rev().max_by_key(Vec::len).unwrap_or_default();
    let rest = total - group.len();
    if rest == 0 {
        return Ok(group);
    }
    if FEW * rest > group.len() {
        return Err(Error::new(
            root,
            Kind::Geometry,
            "slices of one size, spacing and orientation",
            format!("{kinds} kinds among {total} images, the most frequent {} times", group.len()),
        )
        .hint("put the files of one stack into a folder of their own: the series holds several"));
    }
    notes.push(format!("left out {} of another size, spacing or orientation", images(rest)));
    Ok(group)
}

/// Copies of one image (the same instance at the same place) are taken once, unless their pixels differ: those who take
/// names out of files sometimes give all images one UID.
fn once<'a>(group: Vec<Plane<'a>>, notes: &mut Vec<String>) -> Vec<Plane<'a>> {
    let before = group.len();
    let mut seen = HashMap::new();
    let pairs: Vec<(Plane, Option<Plane>)> = group
        .into_iter()
        .map(|plane| {
            let place = plane.place.position.to_array().map(|mm| (mm / SAME_POSITION).round() as i64);
            let first = *seen.entry((&plane.shot.instance, plane.frame, place)).or_insert(plane);
            (plane, (!std::ptr::eq(first.shot, plane.shot)).then_some(first))
        })
        .collect();
    copies::look_at(pairs.iter().filter_map(|(plane, first)| Some([*plane, (*first)?])).flatten());
    let is_copy =
        |plane: &Plane, first: &Option<Plane>| first.is_some_and(|first| !copies::differ(&first, plane));
    let once: Vec<Plane> =
        pairs.iter().filter(|(plane, first)| !is_copy(plane, first)).map(|&(plane, _)| plane).collect();
    if once.len() < before {
        let copies = before - once.len();
        notes.push(format!(
            "passed over {copies} {}",
            if copies == 1 { "copy of an image" } else { "copies of images" }
        ));
    }
    let instances: HashSet<_> = once.iter().map(|plane| (&plane.shot.instance, plane.frame)).collect();
    if instances.len() < once.len() {
        notes.push("several images share one SOP instance UID".to_owned());
    }
    once
}
