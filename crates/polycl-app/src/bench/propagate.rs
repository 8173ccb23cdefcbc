//! Propagation of slices of a true mask, compared with the rest of it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use polycl_base::Watch;
use polycl_data::provenance::propagation::Row;
use polycl_image::names::Names;
use polycl_image::orient::Reorientation;
use polycl_image::preprocess::labels_of;
use polycl_image::{Image, Input, Mask, Plane};
use polycl_metrics::{dice_of, score};
use polycl_nn::device::Device;
use polycl_nn::propagate::{self, Direction, Follower, Journal, Object, Propagated};
use polycl_nn::sam::Embedder;
use serde::{Deserialize, Serialize};

use crate::masks::{given_or_beside, on_grid, read_truth};
use crate::refinement::SamWeights;

/// A true mask of which some slices are taken for drawn ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub image: PathBuf,
    pub truth: PathBuf,
    /// Labels to take; all without any.
    pub labels: Vec<u16>,
    /// Kind of the planes that are taken for slices.
    #[serde(default)]
    pub plane: Plane,
    /// Names of labels, a file or a list; those beside the mask without it.
    pub names: Option<String>,
    /// Also draw so many slices, evenly apart.
    pub drawn: Vec<usize>,
    /// Also draw a second slice: the one that is suggested, and each of so many others.
    pub second: usize,
    /// Tell what is known of every slice, too.
    pub slices: bool,
    /// Folder of the network's embeddings.
    pub cache: Option<PathBuf>,
    pub weights: SamWeights,
    pub device: Device,
}

/// A finding, which watchers hear of at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Measured {
    /// All is checked.
    Begun,
    /// A volume, from one start.
    Volume {
        label: u16,
        organ: String,
        start: String,
        dice: f64,
        hd95: f64,
        /// Slices that show the label, those in which it was missed, and those where it is not and was found.
        slices: usize,
        missed: usize,
        added: usize,
        /// Slices drawn, from the feet.
        drawn: Vec<usize>,
    },
    /// One slice of it.
    Slice {
        label: u16,
        start: String,
        slice: usize,
        area: usize,
        pixels: usize,
        dice: f64,
        confidence: f32,
        predicted_iou: f32,
        agreement: f32,
        continuity: f32,
        away: f32,
    },
    /// The worth of a second drawn slice.
    Second { label: u16, start: usize, suggested: usize, first: f64, own: f64, others: f64, best: f64 },
}

/// A label of a scan.
struct Trial<'a> {
    watch: &'a dyn Watch,
    image: &'a Image,
    /// The label alone.
    truth: Mask,
    label: u16,
    names: &'a Names,
    plane: Plane,
    order: Reorientation,
    /// Slices that have it, from the feet.
    extent: Vec<usize>,
}

/// Propagates each label from several starts, and tells of each [`Measured`].
///
/// # Errors
/// Files that do not belong together or cannot be read; weights that are not there.
pub fn run(args: &Request, watch: &dyn Watch) -> anyhow::Result<()> {
    let image = Input::open(&args.image, None)?.image()?;
    let truth = on_grid(&args.truth, read_truth(&args.truth, &image.space)?, (&args.image, &image), watch)?;
    let names = given_or_beside(args.names.as_deref(), &args.truth)?;
    let (model, sam) = args.weights.open(args.device)?;
    let embedder = Embedder::new(model, sam, args.device, args.cache.clone());
    let follower = Follower::Boxes(Arc::new(embedder));
    let wanted = |label: &u16| args.labels.is_empty() || args.labels.contains(label);
    let labels: Vec<u16> = labels_of(&truth.voxels).filter(wanted).collect();
    anyhow::ensure!(!labels.is_empty(), "{}: none of the labels asked for is in it", args.truth.display());
    watch.partial(&Measured::Begun);
    for label in labels {
        let trial = Trial::new(&image, &truth, (label, args.plane), &names, watch);
        for (name, share) in [("third", 1.0 / 3.0), ("middle", 0.5), ("two_thirds", 2.0 / 3.0)] {
            let start = trial.at(share);
            let found = trial.line(&follower, &[start], name, args.slices)?;
            trial.second(&follower, args.second, start, &found)?;
        }
        for &count in &args.drawn {
            let starts: Vec<usize> = (0..count).map(|i| trial.at((i as f64 + 0.5) / count as f64)).collect();
            trial.line(&follower, &starts, &format!("even{count}"), args.slices)?;
        }
    }
    Ok(())
}

impl<'a> Trial<'a> {
    fn new(
        image: &'a Image,
        truth: &Mask,
        (label, plane): (u16, Plane),
        names: &'a Names,
        watch: &'a dyn Watch,
    ) -> Self {
        let order = plane.order(&truth.space);
        let mut truth = truth.clone();
        truth.voxels.iter_mut().filter(|voxel| **voxel != label).for_each(|voxel| *voxel = 0);
        let slices = truth.space.shape[order.slice_axis()];
        let extent = (0..slices).filter(|&k| order.plane(&truth, k).contains(&label)).collect();
        Self { watch, image, truth, label, names, plane, order, extent }
    }

    /// The slice at a share of the label's extent.
    fn at(&self, share: f64) -> usize {
        self.extent[((self.extent.len() as f64 * share) as usize).min(self.extent.len() - 1)]
    }

    fn propagate(&self, follower: &Follower, starts: &[usize]) -> anyhow::Result<Propagated> {
        let mut annotation = self.truth.clone();
        annotation.voxels.fill(0);
        for &k in starts {
            self.order.put_plane(&mut annotation, k, &self.order.plane(&self.truth, k));
        }
        let objects = Object::all(&self.image.space, self.plane, Some(&annotation), &[], self.names, None);
        let slices = self.truth.space.shape[self.order.slice_axis()];
        let request = propagate::Request {
            image: self.image,
            plane: self.plane,
            annotation: Some(&annotation),
            objects: &objects,
            range: 0..=slices - 1,
            direction: Direction::Both,
        };
        let folder = tempfile::tempdir()?;
        let (journal, _) = Journal::open(&folder.path().join("journal"), "bench", follower.side())?;
        let found = propagate::propagate(follower, &request, &journal, &())?;
        found.context("a watcher who never stops")
    }

    fn dice(&self, found: &Propagated) -> f64 {
        let options = polycl_metrics::Options { labels: [self.label].into(), ..Default::default() };
        score(&self.truth, &found.mask, &options)[&self.label].dice.unwrap_or(0.0)
    }

    /// Propagates, and tells how well that went.
    fn line(
        &self,
        follower: &Follower,
        starts: &[usize],
        name: &str,
        slices: bool,
    ) -> anyhow::Result<Propagated> {
        let found = self.propagate(follower, starts)?;
        let options = polycl_metrics::Options { labels: [self.label].into(), ..Default::default() };
        let scores = &score(&self.truth, &found.mask, &options)[&self.label];
        let (dice, hd95) = (scores.dice.unwrap_or(0.0), scores.hd95.unwrap_or(f64::INFINITY));
        let all = self.truth.space.shape[self.order.slice_axis()];
        let has = |mask: &Mask, k: usize| self.order.plane(mask, k).contains(&self.label);
        let missed = self.extent.iter().filter(|&&k| !has(&found.mask, k)).count();
        let added = (0..all).filter(|&k| has(&found.mask, k) && !self.extent.contains(&k)).count();
        self.watch.partial(&Measured::Volume {
            label: self.label,
            organ: self.names.get(&self.label).cloned().unwrap_or_default(),
            start: name.to_owned(),
            dice,
            hd95,
            slices: self.extent.len(),
            missed,
            added,
            drawn: starts.to_vec(),
        });
        if slices {
            found
                .rows
                .iter()
                .filter(|row| row.evidence.is_some())
                .for_each(|row| self.slice(&found, row, name));
        }
        Ok(found)
    }

    fn slice(&self, found: &Propagated, row: &Row, name: &str) {
        let k = self.order.slice_to_canonical(row.slice, &self.truth.space);
        let (truth, own) = (self.order.plane(&self.truth, k), self.order.plane(&found.mask, k));
        let dice = dice_of(truth.iter().zip(&own).map(|(&a, &b)| (a != 0, b != 0))).unwrap_or(1.0);
        let area = truth.iter().filter(|&&l| l != 0).count();
        if let Some(e) = row.evidence {
            self.watch.partial(&Measured::Slice {
                label: self.label,
                start: name.to_owned(),
                slice: k,
                area,
                pixels: row.pixels,
                dice,
                confidence: row.confidence,
                predicted_iou: row.predicted_iou.unwrap_or(0.0),
                agreement: e.agreement.unwrap_or(f32::NAN),
                continuity: e.continuity,
                away: e.away,
            });
        }
    }

    /// Measures the worth of a second drawn slice: the suggested one, and others over the organ.
    fn second(
        &self,
        follower: &Follower,
        others: usize,
        start: usize,
        found: &Propagated,
    ) -> anyhow::Result<()> {
        let Some(suggestion) = found.suggestion.filter(|_| others > 0) else { return Ok(()) };
        let suggested = self.order.slice_to_canonical(suggestion.slice, &self.truth.space);
        let first = self.dice(found);
        let own = self.dice(&self.propagate(follower, &[start.min(suggested), start.max(suggested)])?);
        let mut dice = Vec::new();
        for i in 0..others {
            let k = self.at((i as f64 + 0.5) / others as f64);
            if k != start {
                dice.push(self.dice(&self.propagate(follower, &[start.min(k), start.max(k)])?));
            }
        }
        let mean = dice.iter().sum::<f64>() / dice.len().max(1) as f64;
        let best = dice.iter().copied().fold(0.0, f64::max);
        let label = self.label;
        self.watch.partial(&Measured::Second { label, start, suggested, first, own, others: mean, best });
        Ok(())
    }
}
