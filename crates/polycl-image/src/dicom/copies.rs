//! Images that stand twice in a series under two UIDs: an archive that got them twice gives the second a new one.

use std::collections::HashSet;

use glam::DVec3;
use rayon::prelude::*;

use super::plane::{Plane, SAME_POSITION};
use super::values::digest;

/// Passes over images that have the place and the pixels of another image; the first by its file's name stays. Pixels are read
/// only where two images lie at one place, and no further than up to two that differ.
pub(super) fn without<'a>(planes: Vec<Plane<'a>>, normal: DVec3, notes: &mut Vec<String>) -> Vec<Plane<'a>> {
    let groups: Vec<&[Plane]> = planes.chunk_by(|a, b| together(a, b, normal)).collect();
    let doubled: Vec<&[Plane]> = groups.iter().copied().filter(|group| group.len() > 1).collect();
    // Time points differ in their first place already: the others need not be read.
    if doubled.first().is_none_or(|group| !group[1..].iter().any(|plane| same(&group[0], plane))) {
        return planes;
    }
    look_at(doubled.iter().flat_map(|group| group.iter().copied()));
    let once: Vec<Plane> = groups.iter().flat_map(|group| distinct(group)).collect();
    let copies = planes.len() - once.len();
    let images = if copies == 1 { "1 image that has" } else { &*format!("{copies} images that have") };
    notes.push(format!("passed over {images} the place and the pixels of another image"));
    once
}

/// Reads the files of images, several at a time, for what is asked of their pixels later.
pub(super) fn look_at<'a>(planes: impl Iterator<Item = Plane<'a>>) {
    let mut seen = HashSet::new();
    let files: Vec<Plane> = planes.filter(|plane| seen.insert(plane.shot.path.as_path())).collect();
    files.par_iter().for_each(|plane| {
        digest(plane);
    });
}

/// Images whose pixels can be read, and are not the same.
pub(super) fn differ(a: &Plane, b: &Plane) -> bool {
    matches!((digest(a), digest(b)), (Some(a), Some(b)) if a != b)
}

/// Images at one place along the normal.
pub(super) fn together(a: &Plane, b: &Plane, normal: DVec3) -> bool {
    b.place.position.dot(normal) - a.place.position.dot(normal) < SAME_POSITION
}

fn distinct<'a>(group: &[Plane<'a>]) -> Vec<Plane<'a>> {
    let mut once: Vec<Plane> = Vec::new();
    for plane in group {
        if !once.iter().any(|other| same(other, plane)) {
            once.push(*plane);
        }
    }
    once
}

fn same(a: &Plane, b: &Plane) -> bool {
    let near = a.place.position.distance(b.place.position) < SAME_POSITION;
    near && digest(a).is_some_and(|pixels| digest(b) == Some(pixels))
}
