//! PolyCL: an anchor, a positive and a negative, chosen by one of the strategies.

use burn::tensor::{Device, Tensor, TensorData};
use polycl_base::rng::{Purpose, rng};
use polycl_base::{Error, Kind, Result};
use polycl_data::Dataset;
use rand::seq::SliceRandom;

use super::config::{Negatives, PretrainConfig, RATE};
use super::slices::Slices;
use crate::loss::{Pair, Pairs, info_nce, similarity};
use crate::net::Contrastive;
use crate::select::{Selector, SliceId, Triplet};
use crate::train::{LeftOut, Probe, Task};

pub struct Triplets<'a> {
    slices: Slices<'a>,
    selector: Selector,
    /// Anchors without a valid partner: the same in every epoch.
    skipped: usize,
}

/// Anchors, positives and negatives, each [B, 1, S, S], and which of them oppose which anchor.
pub struct Batch {
    slices: [TensorData; 3],
    pairs: Option<Pairs>,
}

impl<'a> Triplets<'a> {
    pub fn new(dataset: &'a Dataset, config: &'a PretrainConfig, scans: &[usize]) -> Result<Self> {
        let strategy = config.strategy.ok_or_else(|| {
            Error::new(&dataset.dir, Kind::Request, "a strategy for PolyCL", "no --strategy")
                .hint("give --strategy scan, or organ or mixed with --organ NAME")
        })?;
        let selector = Selector::new(&dataset.dir, &dataset.index, scans, strategy, config.organ.as_deref())?;
        let partnerless = |&&anchor: &&SliceId| selector.triplet(0, 0, anchor).is_none();
        let skipped = selector.anchors().iter().filter(partnerless).count();
        Ok(Self { slices: Slices::new(dataset, config, scans), selector, skipped })
    }

    pub fn scans(&self) -> Vec<usize> {
        self.selector.scans()
    }

    pub fn count(&self) -> usize {
        self.selector.anchors().len() - self.skipped
    }

    fn triplets(&self, round: usize) -> Vec<Triplet> {
        let config = self.slices.config;
        let draw = if config.fixed_triplets { 0 } else { round as u64 };
        let triplet = |anchor| self.selector.triplet(config.training.seed, draw, anchor);
        self.selector.anchors().into_iter().filter_map(triplet).collect()
    }

    /// Which of a batch's anchors, positives and negatives, in this order, are what to which anchor.
    fn pairs(&self, triplets: &[Triplet]) -> Pairs {
        let count = triplets.len();
        let ids = |of: fn(&Triplet) -> SliceId| triplets.iter().map(of);
        let all: Vec<SliceId> =
            ids(|t| t.anchor).chain(ids(|t| t.positive)).chain(ids(|t| t.negative)).collect();
        Pairs::new(count, all.len(), |anchor, other| match other {
            _ if other == count + anchor => Pair::Positive,
            _ if self.selector.opposes(all[anchor], all[other]) => Pair::Negative,
            _ => Pair::Ignored,
        })
    }
}

impl Task for Triplets<'_> {
    type Model = Contrastive;
    type Item = Triplet;
    type Batch = Batch;

    const RATE: f64 = RATE;

    fn plan(&self, round: usize) -> Vec<Triplet> {
        let mut triplets = self.triplets(round);
        let seed = self.slices.config.training.seed;
        triplets.shuffle(&mut rng(seed, Purpose::Shuffle, [round as u64, 0]));
        triplets
    }

    fn left_out(&self) -> Option<LeftOut> {
        Some(LeftOut { skipped: self.skipped, unknown: self.selector.unknown })
    }

    fn load(&self, round: usize, triplets: &[Triplet]) -> Result<Batch> {
        let config = self.slices.config;
        let stack = |slice: fn(&Triplet) -> SliceId, which: u64| {
            let ids: Vec<SliceId> = triplets.iter().map(slice).collect();
            self.slices.load(round, &ids, config.views.map(|views| (views, which)))
        };
        let slices = [stack(|t| t.anchor, 0)?, stack(|t| t.positive, 1)?, stack(|t| t.negative, 2)?];
        let pairs = (config.negatives == Some(Negatives::All)).then(|| self.pairs(triplets));
        Ok(Batch { slices, pairs })
    }

    fn probe(&self, model: &Contrastive, device: &Device) -> Result<Option<Probe>> {
        self.slices.probe(&model.encoder, device)
    }

    /// Each of the three passes the encoder as a batch of its own; it matters to batch norm.
    fn loss(&self, model: Contrastive, batch: Batch, device: &Device) -> (Contrastive, Tensor<1>) {
        let config = self.slices.config;
        let embeddings = model.triplet(batch.slices.map(|images| Tensor::from_data(images, device)));
        let loss = match batch.pairs {
            Some(pairs) => multi_negative(embeddings, pairs, config.temperature()),
            None => {
                let [anchor, positive, negative] = embeddings;
                config.loss.forward(anchor, positive, negative, config.temperature())
            }
        };
        (model, loss)
    }
}

/// Embeddings of anchors, positives and negatives [B, C] each; `pairs` is [B, 3B] → scalar as `[1]`.
pub fn multi_negative(embeddings: [Tensor<2>; 3], pairs: Pairs, temperature: f32) -> Tensor<1> {
    let anchors = embeddings[0].clone();
    info_nce(similarity(anchors, Tensor::cat(embeddings.into(), 0), temperature), pairs)
}
