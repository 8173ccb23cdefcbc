//! The number of images that a series should have, by its headers.

use std::collections::{BTreeMap, BTreeSet};

use super::plane::Plane;
use super::slice::Counts;

/// A sentence where the stack has fewer images than its headers count: slices at the ends leave no gap.
pub(super) fn missing(planes: &[Plane]) -> Option<String> {
    let mut claims: BTreeMap<&Counts, Vec<&Plane>> = BTreeMap::new();
    for plane in planes {
        claims.entry(&plane.shot.counts).or_default().push(plane);
    }
    let acquisitions: BTreeSet<&str> = claims.keys().map(|counts| counts.acquisition.as_str()).collect();
    // Headers that contradict each other count nothing.
    if acquisitions.len() < claims.len() {
        return None;
    }
    let short = claims.iter().find_map(|(counts, there)| {
        let files = there.iter().map(|plane| &plane.shot.path).collect::<BTreeSet<_>>().len();
        let images = counts.images.map(|claimed| (claimed as usize, there.len(), "images"));
        let files = counts.files.map(|claimed| (claimed as usize, files, "files"));
        [files, images].into_iter().flatten().find(|&(claimed, there, _)| there < claimed)
    });
    short.map(|(claimed, there, what)| {
        format!("{there} {what} of {claimed} that the header counts: slices may be missing at the ends")
    })
}
