//! Regions that overlap, trained as nnU-Net trains them: each has a channel, whose truth is some organs together.

use std::collections::BTreeSet;

use polycl_base::{Error, Kind, Result};
use polycl_data::Dataset;

use super::cohort::few_enough;
use crate::train::augment::mirrored_classes;
use crate::train::run::{Organ, PaintedRegion};

/// A region that trains.
pub(super) struct Region {
    pub name: String,
    /// Numbers of its organs, in their order.
    pub organs: Vec<usize>,
    /// The organ as which it is painted.
    pub painted: usize,
    /// As of an [`Organ`].
    pub parts: Option<usize>,
}

/// The regions asked for, or all, in the order of painting; none where no two have an organ in common.
pub(super) fn overlapping(dataset: &Dataset, asked: &[String], organs: &[Organ]) -> Result<Vec<Region>> {
    let names: Vec<String> = organs.iter().map(|organ| organ.name.clone()).collect();
    let regions = dataset.index.painted(&names, asked);
    let among = |organ: &String| regions.iter().filter(|region| region.organs.contains(organ)).count();
    if names.iter().all(|organ| among(organ) < 2) {
        return Ok(Vec::new());
    }
    few_enough(dataset, regions.len())?;
    let number =
        |organ: &String| names.iter().position(|name| name == organ).expect("an organ of the data set");
    let region = |region: polycl_data::Region| Region {
        organs: region.organs.iter().map(number).collect(),
        painted: number(&region.painted),
        name: region.name,
        parts: None,
    };
    Ok(regions.into_iter().map(region).collect())
}

/// Refuses to self-train where a teacher could not draw an organ, since no region is painted as it.
pub(super) fn all_painted(dataset: &Dataset, regions: &[Region], organs: &[Organ]) -> Result<()> {
    let painted = |number: usize| regions.is_empty() || regions.iter().any(|region| region.painted == number);
    let Some(organ) = (0..organs.len()).find(|&organ| !painted(organ)) else { return Ok(()) };
    let expected = format!("a region that is painted as {}, for self-training", organs[organ].name);
    Err(Error::new(&dataset.dir, Kind::Request, expected, "larger regions alone")
        .hint("name the smaller regions with --organ, too, or leave self-training out"))
}

/// True if regions have mirror images as their organs have, whose classes after a flip are `mirrored`.
pub(super) fn mirror_alike(regions: &[Region], mirrored: &[u8]) -> bool {
    let names: Vec<String> = regions.iter().map(|region| region.name.clone()).collect();
    let Some(partners) = mirrored_classes(&names) else { return false };
    let flipped = |&organ: &usize| usize::from(mirrored[organ + 1]) - 1;
    regions.iter().zip(&partners[1..]).all(|(region, &partner)| {
        let partner = regions[usize::from(partner) - 1].organs.iter().copied();
        region.organs.iter().map(flipped).collect::<BTreeSet<_>>() == partner.collect()
    })
}

/// The organs as which regions are painted, and the regions in masks that show these alone.
pub(super) fn painted(regions: &[Region], organs: &[Organ]) -> (Vec<Organ>, Vec<PaintedRegion>) {
    let painted: BTreeSet<usize> = regions.iter().map(|region| region.painted).collect();
    let shown = |region: &Region| PaintedRegion {
        name: region.name.clone(),
        values: region
            .organs
            .iter()
            .filter(|organ| painted.contains(organ))
            .map(|&o| organs[o].value)
            .collect(),
        painted: organs[region.painted].value,
        parts: region.parts,
    };
    let regions = regions.iter().map(shown).collect();
    // Connected parts are those of regions.
    (painted.into_iter().map(|organ| Organ { parts: None, ..organs[organ].clone() }).collect(), regions)
}
