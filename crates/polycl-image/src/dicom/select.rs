//! Which images of a series make up its stack.

use std::collections::HashSet;
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::slice::{Frame, Place, Shot};

/// Direction cosines that differ by less are the same direction (0.06 degrees).
const SAME_DIRECTION: f64 = 1e-3;
/// Pixel spacings within this part of each other are the same.
const SAME_SPACING: f64 = 1e-3;
/// Positions closer than this, in mm, are the same place.
pub(super) const SAME_POSITION: f64 = 1e-3;

/// One plane of the stack: a frame of a file.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub shot: &'a Shot,
    pub frame: u32,
    pub says: Frame,
    pub place: Place,
}

/// The planes of the series' one stack: localizers and the few images of another size or orientation left out,
/// copies of one image once. What was left out is told in `notes`.
pub(super) fn planes<'a>(shots: &'a [Shot], root: &Path, notes: &mut Vec<String>) -> Result<Vec<Plane<'a>>> {
    let (localizers, shots): (Vec<_>, Vec<_>) = shots.iter().partition(|shot| shot.localizer);
    if shots.is_empty() {
        return Err(Error::new(root, Kind::Geometry, "a stack of slices", "localizers alone")
            .hint("localizers (scouts) only plan a scan; name the series of the scan itself"));
    }
    if !localizers.is_empty() {
        notes.push(format!("left out {} marked as localizers", images(localizers.len())));
    }
    let mut all = Vec::new();
    for shot in shots {
        all.extend(placed(shot)?);
    }
    let mut groups: Vec<Vec<Plane>> = Vec::new();
    for plane in all {
        match groups.iter_mut().find(|group| alike(&group[0], &plane)) {
            Some(group) => group.push(plane),
            None => groups.push(vec![plane]),
        }
    }
    largest(groups, root, notes).map(|group| once(group, notes))
}

fn images(n: usize) -> String {
    if n == 1 { "1 image".to_owned() } else { format!("{n} images") }
}

fn placed(shot: &Shot) -> Result<Vec<Plane<'_>>> {
    let refused = |found: &str, hint: &str| {
        Err(Error::new(
            &shot.path,
            Kind::Geometry,
            "a position, an orientation and a pixel spacing for each image",
            found,
        )
        .hint(hint))
    };
    if shot.layout.frames > 1 && shot.frames.len() == 1 {
        return refused(
            &format!("{} frames without a position of their own", shot.layout.frames),
            "a plain multi-frame file does not say where its frames lie; export the scan as single slices or as enhanced CT",
        );
    }
    let planes = shot
        .frames
        .iter()
        .zip(0..)
        .map(|(says, frame)| says.place.map(|place| Plane { shot, frame, says: *says, place }));
    match planes.collect::<Option<Vec<_>>>() {
        Some(planes) => Ok(planes),
        None => refused(
            "one without",
            "a screenshot, a photograph or a projection has no place in the patient; name the series of the scan itself",
        ),
    }
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
    if 4 * rest > group.len() {
        return Err(Error::new(
            root,
            Kind::Geometry,
            "slices of one size, spacing and orientation",
            format!("{kinds} kinds among {total} images, the most frequent {} times", group.len()),
        )
        .hint(
            "the series holds several stacks; put the files of the one you want into a folder of their own",
        ));
    }
    notes.push(format!("left out {} of another size, spacing or orientation", images(rest)));
    Ok(group)
}

/// Copies of one image (the same instance at the same place) are taken once.
fn once<'a>(group: Vec<Plane<'a>>, notes: &mut Vec<String>) -> Vec<Plane<'a>> {
    let before = group.len();
    let mut seen = HashSet::new();
    let key = |plane: &Plane| {
        let place = plane.place.position.to_array().map(|mm| (mm / SAME_POSITION).round() as i64);
        (plane.shot.instance.clone(), plane.frame, place)
    };
    let once: Vec<_> = group.into_iter().filter(|plane| seen.insert(key(plane))).collect();
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
