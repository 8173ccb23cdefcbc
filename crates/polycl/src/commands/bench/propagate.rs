use std::path::PathBuf;

use polycl_nn::device::Device;
use polycl_nn::propagate::{Boxes, Direction, Journal, Object, Propagated, Request, Tracker, propagate};
use polycl_nn::sam::Embedder;
use polycl_volume::dataset::names::Names;
use polycl_volume::dataset::provenance::propagation::Row;
use polycl_volume::metrics::{self, score};
use polycl_volume::orient::Reorientation;
use polycl_volume::preprocess::labels_of;
use polycl_volume::{Image, Input, Mask};

use crate::cli::Outcome;
use crate::commands::case::read_truth;
use crate::commands::sam::{Network, given_or_beside, on_grid};
use crate::talk;

/// Measure what propagation makes of one annotated slice, and of several
///
/// Takes slices of a true mask for drawn ones, propagates them, and compares with the rest. Prints a line
/// for each label and start: Dice and HD95 of the volume, slices that were missed and slices that should
/// be empty.
#[derive(clap::Args)]
pub struct PropagateArgs {
    /// CT scan
    image: PathBuf,
    /// Its true mask
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Labels to take, by number; all without it
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    labels: Vec<u16>,
    /// Names of labels: a file, or 1=liver,2=spleen; else those beside the mask
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Also draw so many slices, evenly apart
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    drawn: Vec<usize>,
    /// Also draw a second slice: the one that is suggested, and each of so many others
    #[arg(long, value_name = "N", default_value_t = 0)]
    second: usize,
    /// Print what is known of every slice, too
    #[arg(long)]
    slices: bool,
    /// Folder in which embeddings are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

/// A label of a scan, and who follows it.
struct Trial<'a> {
    image: &'a Image,
    /// The label alone.
    truth: Mask,
    label: u16,
    names: &'a Names,
    order: Reorientation,
    /// Slices that have it, from the feet.
    extent: Vec<usize>,
}

pub fn run(args: &PropagateArgs) -> anyhow::Result<Outcome> {
    let image = Input::open(&args.image, None)?.image()?;
    let truth = on_grid(&args.truth, read_truth(&args.truth)?, &args.image, &image)?;
    let names = given_or_beside(args.names.as_deref(), &args.truth)?;
    let (model, sam) = args.network.open(args.device)?;
    let mut tracker = Tracker::Boxes(Boxes::new(Embedder::new(model, sam, args.device, args.cache.clone())));
    let wanted = |label: &u16| args.labels.is_empty() || args.labels.contains(label);
    let labels: Vec<u16> = labels_of(&truth.voxels).filter(wanted).collect();
    anyhow::ensure!(!labels.is_empty(), "{}: none of the labels asked for is in it", args.truth.display());
    talk::data("label,name,drawn,dice,hd95,slices,missed,false,start\n");
    for label in labels {
        let trial = Trial::new(&image, &truth, label, &names);
        for (name, share) in [("third", 1.0 / 3.0), ("middle", 0.5), ("two_thirds", 2.0 / 3.0)] {
            let start = trial.at(share);
            let found = trial.line(&mut tracker, &[start], name, args.slices)?;
            trial.second(&mut tracker, args.second, start, &found)?;
        }
        for &count in &args.drawn {
            let starts: Vec<usize> = (0..count).map(|i| trial.at((i as f64 + 0.5) / count as f64)).collect();
            trial.line(&mut tracker, &starts, &format!("even{count}"), args.slices)?;
        }
    }
    Ok(Outcome::Done)
}

impl<'a> Trial<'a> {
    fn new(image: &'a Image, truth: &Mask, label: u16, names: &'a Names) -> Self {
        let order = Reorientation::to_canonical(&truth.space);
        let mut truth = truth.clone();
        truth.voxels.iter_mut().filter(|voxel| **voxel != label).for_each(|voxel| *voxel = 0);
        let slices = truth.space.shape[order.slice_axis()];
        let extent = (0..slices).filter(|&k| order.plane(&truth, k).contains(&label)).collect();
        Self { image, truth, label, names, order, extent }
    }

    /// The slice at a share of the label's extent.
    fn at(&self, share: f64) -> usize {
        self.extent[((self.extent.len() as f64 * share) as usize).min(self.extent.len() - 1)]
    }

    fn propagate(&self, tracker: &mut Tracker, starts: &[usize]) -> anyhow::Result<Propagated> {
        let mut annotation = self.truth.clone();
        annotation.voxels.fill(0);
        for &k in starts {
            self.order.put_plane(&mut annotation, k, &self.order.plane(&self.truth, k));
        }
        let objects = Object::all(&self.image.space, Some(&annotation), &[], self.names, None);
        let slices = self.truth.space.shape[self.order.slice_axis()];
        let request = Request {
            image: self.image,
            annotation: Some(&annotation),
            objects: &objects,
            range: 0..=slices - 1,
            direction: Direction::Both,
        };
        let folder = tempfile::tempdir()?;
        let (journal, _) = Journal::open(&folder.path().join("journal"), "bench", tracker.side())?;
        Ok(propagate(tracker, &request, &journal, &mut |_, _| {})?)
    }

    fn dice(&self, found: &Propagated) -> f64 {
        let options = metrics::Options { labels: [self.label].into(), ..Default::default() };
        score(&self.truth, &found.mask, &options)[&self.label].dice.unwrap_or(0.0)
    }

    /// Propagates, and prints how well that went.
    fn line(
        &self,
        tracker: &mut Tracker,
        starts: &[usize],
        name: &str,
        slices: bool,
    ) -> anyhow::Result<Propagated> {
        let found = self.propagate(tracker, starts)?;
        let options = metrics::Options { labels: [self.label].into(), ..Default::default() };
        let scores = &score(&self.truth, &found.mask, &options)[&self.label];
        let (dice, hd95) = (scores.dice.unwrap_or(0.0), scores.hd95.unwrap_or(f64::INFINITY));
        let all = self.truth.space.shape[self.order.slice_axis()];
        let has = |mask: &Mask, k: usize| self.order.plane(mask, k).contains(&self.label);
        let missed = self.extent.iter().filter(|&&k| !has(&found.mask, k)).count();
        let false_ones = (0..all).filter(|&k| has(&found.mask, k) && !self.extent.contains(&k)).count();
        let organ = self.names.get(&self.label).map_or("", String::as_str);
        talk::data(format_args!(
            "{},{organ},{name},{dice:.4},{hd95:.2},{},{missed},{false_ones},{}\n",
            self.label,
            self.extent.len(),
            starts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        ));
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
        let both = truth.iter().zip(&own).filter(|&(&a, &b)| a != 0 && b != 0).count();
        let sum = truth.iter().chain(&own).filter(|&&l| l != 0).count();
        let dice = if sum == 0 { 1.0 } else { 2.0 * both as f64 / sum as f64 };
        let area = truth.iter().filter(|&&l| l != 0).count();
        if let Some(e) = row.evidence {
            talk::data(format_args!(
                "SLICE,{name},{},{k},{area},{},{dice:.4},{:.4},{:.4},{:.4},{:.4},{}\n",
                self.label,
                row.pixels,
                row.confidence,
                row.predicted_iou.unwrap_or(0.0),
                e.agreement.unwrap_or(f32::NAN),
                e.continuity,
                e.away
            ));
        }
    }

    /// What a second drawn slice is worth: the suggested one, and others over the organ.
    fn second(
        &self,
        tracker: &mut Tracker,
        others: usize,
        start: usize,
        found: &Propagated,
    ) -> anyhow::Result<()> {
        let Some(suggestion) = found.suggestion.filter(|_| others > 0) else { return Ok(()) };
        let suggested = self.order.slice_to_canonical(suggestion.slice, &self.truth.space);
        let first = self.dice(found);
        let own = self.dice(&self.propagate(tracker, &[start.min(suggested), start.max(suggested)])?);
        let mut dice = Vec::new();
        for i in 0..others {
            let k = self.at((i as f64 + 0.5) / others as f64);
            if k != start {
                dice.push(self.dice(&self.propagate(tracker, &[start.min(k), start.max(k)])?));
            }
        }
        let mean = dice.iter().sum::<f64>() / dice.len().max(1) as f64;
        let best = dice.iter().copied().fold(0.0, f64::max);
        talk::data(format_args!(
            "SECOND,{},{start},{suggested},first {first:.4},suggested {own:.4},others {mean:.4},best {best:.4}\n",
            self.label
        ));
        Ok(())
    }
}
