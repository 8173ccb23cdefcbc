//! Descriptions that tell slices apart: their looks, their height in the organ, the size of pixel and field.

use std::ops::Range;
use std::path::Path;

use polycl_base::Result;
use polycl_data::{Dataset, Scan};
use polycl_image::orient::slice_axis_of;
use rayon::prelude::*;

use super::candidate::Candidate;
use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::features::{averaged, of_encoder};
use crate::net::{Encoder, EncoderConfig, SegmenterConfig};
use crate::train::{RunCard, weights};

/// The source of a slice's looks.
#[expect(clippy::large_enum_variant, reason = "there is one in a process, not a list of them")]
pub(super) enum Looks {
    /// Its pixels, averaged down.
    Pixels,
    /// The last two maps of an encoder, averaged down. A grid is kept of each, since the mean over a map that is
    /// instance-normalised hardly tells slices apart.
    Encoder { encoder: Encoder, config: EncoderConfig, device: burn::tensor::Device },
}

/// Cells along each side of a slice, and of a map of an encoder.
const PIXELS: usize = 16;
const CELLS: usize = 4;
/// Slices a forward pass.
const BATCH: usize = 16;

/// One row of values for each slice.
pub(super) struct Points {
    pub values: Vec<f32>,
    pub width: usize,
}

impl Looks {
    /// Pixels, or the encoder of a run that has seen intensities like those of the data set.
    pub fn open(dataset: &Dataset, run: Option<&Path>, device: Device) -> Result<Self> {
        let Some(run) = run else { return Ok(Self::Pixels) };
        let card = RunCard::read(run)?;
        card.check_inputs(run)?;
        card.check_intensities(run, &dataset.index.preprocess)?;
        let (config, device) = (card.model.encoder(), device.open());
        let mut network = SegmenterConfig { encoder: config, organs: 1, overlap: false }.init(&device);
        Checkpoint::read(&weights(run))?.load_part(&mut network, "encoder.")?;
        Ok(Self::Encoder { encoder: network.encoder, config, device })
    }

    /// Describes slices; `done` hears how many are done.
    pub fn describe(
        &self,
        dataset: &Dataset,
        slices: &[Candidate],
        done: &mut dyn FnMut(usize),
    ) -> Result<Points> {
        let mut values = Vec::new();
        for (number, batch) in slices.chunks(BATCH).enumerate() {
            let read = |slice: &Candidate| dataset.image(slice.id.scan, slice.id.slice);
            let images = batch.par_iter().map(read).collect::<Result<Vec<_>>>()?;
            for (features, slice) in self.of(&images, dataset.index.preprocess.size)?.iter().zip(batch) {
                values.extend(features);
                values.extend(surroundings(slice, &dataset.index.scans[slice.id.scan]));
            }
            done(number * BATCH + batch.len());
        }
        let width = values.len() / slices.len();
        let (blocks, mut first) = (self.blocks(), 0);
        for features in &blocks {
            standardise(&mut values, width, first..first + features, 1.0 / blocks.len() as f64);
            first += features;
        }
        Ok(Points { values, width })
    }

    /// Sizes of the groups of features of one kind, in their order.
    fn blocks(&self) -> Vec<usize> {
        match self {
            Self::Pixels => vec![PIXELS * PIXELS],
            Self::Encoder { config, .. } => config.widths[3..].iter().map(|c| c * CELLS * CELLS).collect(),
        }
    }

    /// The features of each of some slices [size, size].
    fn of(&self, images: &[Vec<f32>], size: usize) -> Result<Vec<Vec<f32>>> {
        let Self::Encoder { encoder, device, .. } = self else {
            return Ok(images.par_iter().map(|image| averaged(image, 1, PIXELS)).collect());
        };
        of_encoder(encoder, images, size, (2, CELLS), device)
    }
}

/// Height in the organ, pixel and field of view. The whole organ, or a pixel and a field of twice the size, is
/// as far as two slices usually are by their looks: √2.
fn surroundings(slice: &Candidate, scan: &Scan) -> [f32; 3] {
    let axis = slice_axis_of(&scan.orientation);
    let plane = || (0..3).filter(|&other| Some(other) != axis);
    let pixel: f64 = plane().map(|axis| scan.spacing[axis].log2() / 2.0).sum();
    let pixels: f64 = plane().map(|axis| (scan.shape[axis] as f64).log2() / 2.0).sum();
    let height = slice.height.as_ref().map_or(0.5, |height| height.at);
    [height * 2f64.sqrt(), pixel, pixel + pixels].map(|value| value as f32)
}

/// Brings some columns to mean 0 and deviation 1, and their squares together to `share` in the mean. A feature
/// that varies less than half as much as the others counts for less: what hardly varies is mostly noise.
fn standardise(values: &mut [f32], width: usize, columns: Range<usize>, share: f64) {
    let (rows, features) = ((values.len() / width) as f64, columns.len() as f64);
    let (mut means, mut variances) = (vec![0.0; columns.len()], vec![0.0; columns.len()]);
    for row in values.chunks_exact(width) {
        for (mean, &value) in means.iter_mut().zip(&row[columns.clone()]) {
            *mean += f64::from(value) / rows;
        }
    }
    for row in values.chunks_exact(width) {
        for ((variance, mean), &value) in variances.iter_mut().zip(&means).zip(&row[columns.clone()]) {
            *variance += (f64::from(value) - mean).powi(2) / rows;
        }
    }
    // Where nothing varies, rounding must not become the difference.
    let least = ((variances.iter().sum::<f64>() / features).sqrt() / 2.0).max(1e-6);
    let scale = |variance: &f64| (share / features).sqrt() / variance.sqrt().max(least);
    let scales: Vec<f64> = variances.iter().map(scale).collect();
    for row in values.chunks_exact_mut(width) {
        for ((value, mean), scale) in row[columns.clone()].iter_mut().zip(&means).zip(&scales) {
            *value = ((f64::from(*value) - mean) * scale) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_count_alike_but_for_those_that_hardly_vary() {
        let mut values = [0.0, 10.0, 5.0, 7.0, 2.0, 30.0, 5.0, 9.0, 0.0, 10.0, 5.0, 7.0, 2.0, 30.0, 5.0, 9.0];
        standardise(&mut values, 4, 0..3, 1.0);
        let part = (1f32 / 3.0).sqrt();
        assert!((values[5] - part).abs() < 1e-6 && (values[1] + part).abs() < 1e-6, "{values:?}");
        assert!(values[4] > 0.0 && values[4] < 0.5 * part, "{values:?}");
        assert_eq!((values[2], values[3], values[7]), (0.0, 7.0, 9.0));
    }
}
