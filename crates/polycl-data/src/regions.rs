//! nnU-Net's regions: which organs each is, and as which of them masks show it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Index;

/// Regions by their name: each is some organs together.
pub type Regions = BTreeMap<String, BTreeSet<String>>;

/// Labels in the order in which nnU-Net paints them, each with the organ as which it is painted.
pub type Painting = Vec<(String, String)>;

/// A label as nnU-Net trains it: an organ, or a region of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub name: String,
    /// Its organs in the order of their values.
    pub organs: Vec<String>,
    /// The organ as which voxels are painted that are of no later label.
    pub painted: String,
}

impl Index {
    /// The labels of these names that `organs`, in the order of their values, make up; with no name all, but for organs
    /// that are the rest of a region. They come as `dataset.json` has them painted, else the larger before the
    /// smaller, each painted as an organ that no later one has, if there is one.
    pub fn painted(&self, organs: &[String], names: &[String]) -> Vec<Region> {
        let whole = self.regions.iter().filter(|(_, parts)| parts.iter().all(|part| organs.contains(part)));
        let is_rest_of = |organ: &String, (region, parts): (&String, &BTreeSet<String>)| {
            parts.contains(organ) && organ.starts_with(&format!("{region} ("))
        };
        let is_rest = |organ: &String| whole.clone().any(|region| is_rest_of(organ, region));
        let wanted = |name: &&String| if names.is_empty() { !is_rest(name) } else { names.contains(name) };
        let parts = |name: &String| match self.regions.get(name) {
            Some(parts) => organs.iter().filter(|organ| parts.contains(*organ)).cloned().collect(),
            None => vec![name.clone()],
        };
        let told = |name: &String| self.painting.iter().position(|(label, _)| label == name);
        let mut labels = Vec::from_iter(
            whole
                .clone()
                .map(|(region, _)| region)
                .chain(organs)
                .filter(wanted)
                .map(|name| (name, parts(name))),
        );
        labels.sort_by_key(|(name, parts)| (told(name).unwrap_or(usize::MAX), Reverse(parts.len())));
        let region = |(at, (name, parts)): (usize, &(&String, Vec<String>))| {
            let later = |organ: &&String| labels[at + 1..].iter().any(|(_, parts)| parts.contains(organ));
            let own = || parts.iter().find(|organ| !later(organ)).unwrap_or(&parts[0]);
            let painted = told(name).map_or_else(own, |at| &self.painting[at].1).clone();
            Region { name: (*name).clone(), organs: parts.clone(), painted }
        };
        labels.iter().enumerate().map(region).collect()
    }
}
