//! The channels of a network: organs that exclude each other, or nnU-Net's regions that overlap.

use std::collections::BTreeSet;

use polycl_base::{Error, Kind, Result};
use polycl_data::Dataset;

use super::cohort::few_enough;
use crate::train::augment::mirrored_classes;
use crate::train::run::{Organ, PaintedRegion};

/// The channels of a network but for that of background.
pub(super) struct Channels {
    pub all: Vec<Channel>,
    /// True of regions of which two have an organ in common.
    pub overlap: bool,
}

/// An organ or a region that a network segments. Classes are those of slices: 1 is the first organ.
pub(super) struct Channel {
    pub name: String,
    pub classes: Vec<u8>,
    /// The class as which it is painted.
    pub painted: u8,
    /// Connected parts of a region, as of an [`Organ`].
    pub parts: Option<usize>,
}

impl Channels {
    /// The regions asked for, or all, in the order of painting where they overlap; else the organs.
    pub fn of(dataset: &Dataset, asked: &[String], organs: &[Organ]) -> Result<Self> {
        let names: Vec<String> = organs.iter().map(|organ| organ.name.clone()).collect();
        let regions = dataset.index.painted(&names, asked);
        let among = |organ: &String| regions.iter().filter(|region| region.organs.contains(organ)).count();
        if names.iter().all(|organ| among(organ) < 2) {
            let organ = |(painted, name)| Channel { name, classes: vec![painted], painted, parts: None };
            return Ok(Self { all: (1..).zip(names).map(organ).collect(), overlap: false });
        }
        few_enough(dataset, regions.len())?;
        let class =
            |organ: &String| (1..).zip(&names).find_map(|(class, name)| (name == organ).then_some(class));
        let region = |region: polycl_data::Region| Channel {
            classes: region.organs.iter().filter_map(class).collect(),
            painted: class(&region.painted).unwrap_or(0),
            name: region.name,
            parts: None,
        };
        Ok(Self { all: regions.into_iter().map(region).collect(), overlap: true })
    }

    pub fn names(&self) -> Vec<String> {
        self.all.iter().map(|channel| channel.name.clone()).collect()
    }

    /// The class of slices as which each class of the network is painted.
    pub fn painted(&self) -> Vec<u8> {
        std::iter::once(0).chain(self.all.iter().map(|channel| channel.painted)).collect()
    }

    /// For each class of slices the numbers of the channels that it is of.
    pub fn by_class(&self, organs: usize) -> Vec<Vec<usize>> {
        let of =
            |class: u8| (0..self.all.len()).filter(|&at| self.all[at].classes.contains(&class)).collect();
        (0..=organs as u8).map(of).collect()
    }

    /// True if regions have mirror images as their organs have, whose classes after a flip are `mirrored`.
    pub fn mirror_alike(&self, mirrored: &[u8]) -> bool {
        let Some(partners) = mirrored_classes(&self.names()) else { return false };
        let flipped = |class: &u8| mirrored[usize::from(*class)];
        self.all.iter().zip(&partners[1..]).all(|(channel, &partner)| {
            let partner = BTreeSet::from_iter(self.all[usize::from(partner) - 1].classes.iter().copied());
            channel.classes.iter().map(flipped).collect::<BTreeSet<u8>>() == partner
        })
    }

    /// Refuses to self-train where a teacher could not draw an organ, since no region is painted as it.
    pub fn paint_all(&self, dataset: &Dataset, organs: &[Organ]) -> Result<()> {
        let painted = self.painted();
        let unpainted = (1..).zip(organs).find(|(class, _)| !painted.contains(class));
        let Some((_, organ)) = unpainted else { return Ok(()) };
        let expected = format!("a region that is painted as {}, for self-training", organ.name);
        Err(Error::new(&dataset.dir, Kind::Request, expected, self.names().join(", "))
            .hint("name the smaller regions with --organ, too, or give --self-train false"))
    }

    /// The organs and regions of masks: where regions overlap, those organs alone as which they are painted.
    pub fn in_masks(&self, organs: &[Organ]) -> (Vec<Organ>, Vec<PaintedRegion>) {
        if !self.overlap {
            return (organs.to_vec(), Vec::new());
        }
        let value = |class: u8| organs[usize::from(class) - 1].value;
        let painted = BTreeSet::from_iter(self.all.iter().map(|region| region.painted));
        let region = |region: &Channel| PaintedRegion {
            name: region.name.clone(),
            values: painted
                .iter()
                .filter(|class| region.classes.contains(class))
                .map(|&c| value(c))
                .collect(),
            painted: value(region.painted),
            parts: region.parts,
        };
        // Connected parts are those of regions.
        let organ = |&class: &u8| Organ { parts: None, ..organs[usize::from(class) - 1].clone() };
        (painted.iter().map(organ).collect(), self.all.iter().map(region).collect())
    }
}
