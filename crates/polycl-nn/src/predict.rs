//! From a scan to its mask: slices through the network, probabilities back to the scan's own grid.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Int, Tensor, TensorData};
use polycl_base::{Error, Kind, Result, Watch};
use polycl_data::{Shown, within};
use polycl_image::components::largest_components;
use polycl_image::orient::Reorientation;
use polycl_image::preprocess::{Grid, Preprocess};
use polycl_image::{Image, Mask, Volume};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::net::Segmenter;
use crate::net::readout::{decide, floats};
use crate::smooth::{SMOOTH, Smoother};
use crate::train::{PaintedRegion, RunCard, RunKind, mirrored_classes, weights};

/// Options of a prediction.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Axial slices, counted from the feet, that show an organ or region: it is found in no others. Those that are not named
    /// are found where the network finds them.
    pub ranges: Option<&'a BTreeMap<String, Shown>>,
    /// Standard deviation in mm of the Gaussian that smooths probabilities along the body; 0 leaves each slice to itself.
    pub smooth: f64,
    /// Average with the prediction of the mirrored slice, where the organs have mirror images.
    pub flip: bool,
    /// Which connected components of an organ stay.
    pub components: Components,
    /// Also return the probabilities.
    pub probabilities: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        let components = Components::default();
        Self { ranges: None, smooth: SMOOTH, flip: false, components, probabilities: false }
    }
}

/// Which connected components of an organ stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Components {
    /// As many of the largest as the organ has in the masks that trained the network; all where those do not tell.
    #[default]
    Trained,
    Largest,
    All,
}

impl Components {
    /// Makes background of all others in a mask of a network; components of a region may be of several values, and what is
    /// left of one within another is the other's.
    pub fn keep(self, mask: &mut Mask, network: &RunCard) {
        let channels = network.channels();
        for (number, channel) in channels.iter().enumerate() {
            let count = match self {
                Self::Trained => channel.parts,
                Self::Largest => Some(1),
                Self::All => None,
            };
            if let Some(count) = count {
                let around = channels[..number].iter().rev().find(|o| o.values.is_superset(&channel.values));
                let instead = around.map_or(0, |around| around.painted);
                largest_components(mask, |value| channel.values.contains(&value), count, instead);
            }
        }
    }
}

pub struct Prediction {
    /// In the scan's own grid.
    pub mask: Mask,
    /// Probabilities of each organ or region, in the order of [`RunCard::channels`], in the scan's own grid; empty unless asked for.
    pub probabilities: Vec<Image>,
    /// Confidence in each organ or region, in the same order, in each axial slice from below: the Dice that its mask has
    /// with its own smoothed probabilities, before components are left out. Nothing where it is not found.
    pub confidence: Vec<Vec<Option<f32>>>,
}

/// A trained network, ready for scans.
pub struct Predictor {
    pub card: RunCard,
    /// Tells the weights of one training from another's.
    pub weights: String,
    network: Segmenter,
    /// Maps of a slice.
    channels: usize,
    device: burn::tensor::Device,
    /// The channels after mirroring; `None` where an organ has no mirror image.
    mirrored: Option<Vec<i32>>,
}

/// Slices a forward pass.
const BATCH: usize = 8;

impl Predictor {
    /// # Errors
    /// As [`RunCard::read`] and [`Checkpoint::load`]; [`Kind::Checkpoint`] for an encoder alone.
    pub fn load(run: &Path, device: Device) -> Result<Self> {
        let card = RunCard::read(run)?;
        let RunKind::Segmenter(config) = card.model else {
            return Err(Error::new(run, Kind::Checkpoint, "a fine-tuned run", "a pre-trained encoder alone")
                .hint("fine-tune it first: polycl finetune DATASET --encoder RUN --out NEW"));
        };
        card.check_inputs(run)?;
        let device = device.open();
        let mut network = config.init(&device);
        let checkpoint = Checkpoint::read(&weights(run))?;
        checkpoint.load(&mut network)?;
        let names: Vec<String> = card.channels().into_iter().map(|channel| channel.name).collect();
        // Without a channel of background the first organ has the first.
        let first = names.len() + 1 - config.channels();
        let organs = |classes: Vec<u8>| {
            classes[first..].iter().map(|&class| i32::from(class) - first as i32).collect()
        };
        let mirrored = mirrored_classes(&names).filter(|_| card.flips).map(organs);
        let weights = format!("{:08x}", checkpoint.checksum);
        Ok(Self { card, weights, network, channels: config.channels(), device, mirrored })
    }

    /// True if [`Options::flip`] would do anything: mirrored slices must have a meaning, and the
    /// network must have seen some.
    pub fn can_flip(&self) -> bool {
        self.mirrored.is_some()
    }

    /// Segments a scan; nothing where it was asked to stop meanwhile.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] where the network's output is not float32.
    pub fn segment(
        &self,
        image: &Image,
        options: Options<'_>,
        watch: &dyn Watch,
    ) -> Result<Option<Prediction>> {
        let reorientation = Reorientation::to_canonical(&image.space);
        let canonical = reorientation.apply(image);
        let (grid, nz) = (Grid::of(&canonical.space), canonical.space.shape[2]);
        let mut drawing = Drawing::new(&self.card, grid, nz, options);
        let (along, size) = ([options.smooth, canonical.space.spacing()[2]], self.card.preprocess.size);
        let mut smoother = Smoother::new(along, nz, self.channels * size * size, BATCH);
        if let Some(text) = smoother.shortened() {
            watch.note(&format!("note: {text}"));
        }
        let mut drawn = 0;
        for first in (0..nz).step_by(BATCH) {
            if watch.stop() {
                return Ok(None);
            }
            let slices = first..(first + BATCH).min(nz);
            let planes: Vec<&[f32]> = slices.clone().map(|k| canonical.plane(k)).collect();
            smoother.add(slices.clone().zip(self.probabilities(&planes, grid, options.flip)?));
            let ready = |slice: &usize| slices.end == nz || smoother.knows(*slice);
            let until = (drawn..nz).take_while(ready).count() + drawn;
            while drawn < until {
                let next = (drawn + BATCH).min(until);
                let maps: Vec<Vec<f32>> = (drawn..next).map(|slice| smoother.mean(slice)).collect();
                drawing.add(&self.card.preprocess, drawn, &maps);
                drawn = next;
            }
            watch.step(slices.end, nz);
        }
        let mut mask = reorientation
            .invert(&Volume { space: canonical.space.clone(), voxels: drawing.labels }, &image.space);
        options.components.keep(&mut mask, &self.card);
        let restore =
            |voxels| reorientation.invert(&Volume { space: canonical.space.clone(), voxels }, &image.space);
        let probabilities = drawing.probabilities.into_iter().map(restore).collect();
        Ok(Some(Prediction { mask, probabilities, confidence: drawing.confidence }))
    }

    /// Network-size probability maps [channels·S·S] of each plane.
    fn probabilities(&self, planes: &[&[f32]], grid: Grid, flip: bool) -> Result<Vec<Vec<f32>>> {
        let preprocess = &self.card.preprocess;
        let size = preprocess.size;
        let slices: Vec<Vec<f32>> = planes.par_iter().map(|plane| preprocess.slice(plane, grid)).collect();
        let data = TensorData::new(slices.concat(), [planes.len(), 1, size, size]);
        let images = Tensor::<4>::from_data(data, &self.device);
        let mut maps = self.network.probabilities(images.clone());
        if let (true, Some(mirrored)) = (flip, &self.mirrored) {
            let channels = Tensor::<1, Int>::from_data(mirrored.as_slice(), &self.device);
            let other = self.network.probabilities(images.flip([3])).flip([3]).select(1, channels);
            maps = (maps + other) / 2.0;
        }
        let channels = maps.dims()[1];
        let values = floats(maps)?;
        Ok(values.chunks_exact(channels * size * size).map(<[f32]>::to_vec).collect())
    }
}

/// The mask (and probabilities) of a scan in canonical order, filled slice by slice.
struct Drawing<'a> {
    /// The value of each class.
    values: Vec<u16>,
    /// The slices that may show each channel: those of itself, and of the regions that it is part of.
    ranges: Vec<Vec<&'a Shown>>,
    overlap: bool,
    grid: Grid,
    labels: Vec<u16>,
    probabilities: Vec<Vec<f32>>,
    confidence: Vec<Vec<Option<f32>>>,
}

impl<'a> Drawing<'a> {
    fn new(network: &RunCard, grid: Grid, slices: usize, options: Options<'a>) -> Self {
        let channels = network.channels();
        let values: Vec<u16> =
            std::iter::once(0).chain(channels.iter().map(|channel| channel.painted)).collect();
        let shown = |channel: &PaintedRegion| options.ranges?.get(&channel.name);
        let around = |part: &PaintedRegion| {
            channels.iter().filter(|whole| whole.values.is_superset(&part.values)).filter_map(shown).collect()
        };
        let ranges = channels.iter().map(around).collect();
        let overlap = !network.regions.is_empty();
        let kept = if options.probabilities { values.len() - 1 } else { 0 };
        let voxels = grid.shape[0] * grid.shape[1] * slices;
        Self {
            ranges,
            overlap,
            grid,
            labels: Vec::with_capacity(voxels),
            probabilities: vec![Vec::with_capacity(voxels); kept],
            confidence: vec![Vec::with_capacity(slices); values.len() - 1],
            values,
        }
    }

    /// Resizes the maps of the next slices to the scan's grid, and only then decides.
    fn add(&mut self, preprocess: &Preprocess, first: usize, slices: &[Vec<f32>]) {
        debug_assert_eq!(self.labels.len(), first * self.grid.shape[0] * self.grid.shape[1]);
        let restore = |map: &[f32]| preprocess.restore(map, self.grid);
        let of_slice =
            |maps: &Vec<f32>| maps.chunks_exact(preprocess.size.pow(2)).map(restore).collect::<Vec<_>>();
        let restored: Vec<Vec<Vec<f32>>> = slices.par_iter().map(of_slice).collect();
        for (slice, mut maps) in (first..).zip(restored) {
            let background = maps.len() + 1 - self.values.len();
            for (map, ranges) in maps[background..].iter_mut().zip(&self.ranges) {
                if !ranges.iter().all(|ranges| within(ranges, slice)) {
                    map.fill(0.0);
                }
            }
            let class = |i: usize| decide(maps.len(), self.overlap, |channel| maps[channel][i]);
            let classes: Vec<u8> = (0..maps[0].len()).map(class).collect();
            self.labels.extend(classes.iter().map(|&class| self.values[usize::from(class)]));
            let foreground = &maps[background..];
            for ((own, map), number) in self.confidence.iter_mut().zip(foreground).zip(1..) {
                let shows = |(class, p): (&u8, &f32)| if self.overlap { *p > 0.5 } else { *class == number };
                own.push(expected_dice(map, classes.iter().zip(map).map(shows)));
            }
            for (kept, map) in self.probabilities.iter_mut().zip(foreground) {
                kept.extend_from_slice(map);
            }
        }
    }
}

/// Dice of a mask with the probabilities that it was made from; nothing where it is empty.
fn expected_dice(probabilities: &[f32], mask: impl Iterator<Item = bool>) -> Option<f32> {
    let (mut both, mut all, mut shown) = (0.0_f64, 0.0_f64, 0_u64);
    for (&p, shows) in probabilities.iter().zip(mask) {
        all += f64::from(p);
        if shows {
            both += f64::from(p);
            shown += 1;
        }
    }
    (shown > 0).then(|| (2.0 * both / (all + shown as f64)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_is_sure_is_confident() {
        let of = |p: &[f32]| expected_dice(p, p.iter().map(|p| *p > 0.5));
        assert_eq!(of(&[1.0, 1.0, 0.0, 0.0]), Some(1.0));
        assert_eq!(of(&[0.4, 0.2]), None);
        // 2 * 0.6 / (1.0 + 1)
        assert!((of(&[0.6, 0.4]).unwrap() - 0.6).abs() < 1e-6);
        assert!(of(&[0.9, 0.1, 0.0]) > of(&[0.9, 0.4, 0.4]));
    }
}
