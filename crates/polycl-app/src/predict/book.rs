//! The record of a folder of masks: which network made them, of which scans it had seen before.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use polycl_base::{Error, Kind, Result, lock, output};
use polycl_data::provenance::Record;
use polycl_data::provenance::prediction::{self, SeenBy};
use polycl_image::legend::Regions;
use polycl_image::names::Names;
use polycl_nn::predict::Predictor;
use polycl_nn::train::{RunCard, Seen};
use serde_json::{Map, json};

use crate::recipe::MaskRecipe;
use crate::shards::Own;

/// The network that segmented the scans of a folder, and how.
pub type Card = prediction::Card<MaskRecipe>;

/// The book in which the masks of a network are put down.
pub struct Book<'a> {
    pub out: &'a Path,
    pub run: &'a Path,
    pub predictor: &'a Predictor,
    pub refined_by: Option<String>,
    /// The shard whose masks these are.
    pub own: Option<&'a Own>,
}

impl Book<'_> {
    /// The folder's card from earlier calls, or a new one.
    pub fn card(&self) -> Result<Card> {
        let path = self.out.join(Record::Predict.file());
        if !path.exists() {
            return Ok(Card {
                polycl: env!("CARGO_PKG_VERSION").to_owned(),
                run: self.run.to_path_buf(),
                weights: self.predictor.weights.clone(),
                refined_by: self.refined_by.clone(),
                cases: Some(BTreeSet::new()),
                made: BTreeMap::new(),
                odd: BTreeMap::new(),
                seen: SeenBy::default(),
            });
        }
        let found = Card::read(self.out)?;
        let same = |card: &Card| card.weights == self.predictor.weights && card.refined_by == self.refined_by;
        found.filter(same).ok_or_else(|| {
            let expected = format!("masks of the run {}, refined in the same way", self.run.display());
            Error::new(path, Kind::Request, expected, "masks of another run or refinement")
                .hint("choose another --out")
        })
    }

    /// Adds a case, what is odd about its scan, and if its ranges are told, to the card as it is now: another call may have
    /// added its own since.
    pub fn add(&self, case: &str, fingerprint: &str, odd: &[String], ranged: bool) -> Result<()> {
        let [training, validation, pretraining] = groups(&self.predictor.card).map(|(seen, _)| seen);
        self.change(|card| {
            card.made.remove(case);
            card.odd.remove(case);
            if !odd.is_empty() {
                card.odd.insert(case.to_owned(), odd.to_vec());
            }
            if let Some(cases) = &mut card.cases {
                cases.insert(case.to_owned());
            }
            // An older mask may stand there until this one is finished.
            if ranged {
                card.seen.ranged.insert(case.to_owned());
            }
            for (group, seen) in [
                (&mut card.seen.trained_on, training),
                (&mut card.seen.validated_on, validation),
                (&mut card.seen.pretrained_on, pretraining),
            ] {
                group.remove(case);
                if among(seen, fingerprint) {
                    group.insert(case.to_owned());
                }
            }
        })?;
        write_labels(&self.out.join("labels.json"), &self.predictor.card)
    }

    /// Notes that the mask of a case, and all that goes with it, is written.
    pub fn finish(&self, case: &str, made: MaskRecipe) -> Result<()> {
        self.change(|card| {
            if made.ranges.is_empty() {
                card.seen.ranged.remove(case);
            }
            card.made.insert(case.to_owned(), made);
        })
    }

    /// Changes the card as it is now, unless this process lost the folder while it was paused.
    fn change(&self, change: impl FnOnce(&mut Card)) -> Result<()> {
        self.check()?;
        let lock = lock::wait(self.out)?;
        let mut card = self.card()?;
        change(&mut card);
        card.write_if(self.out, || lock.check().and_then(|()| self.check()))
    }

    /// Refuses to go on where another process has taken the shard over.
    ///
    /// # Errors
    /// As [`Own::check`].
    pub fn check(&self) -> Result<()> {
        self.own.map_or(Ok(()), Own::check)
    }
}

/// The scans that a network has seen, and what for.
pub fn groups(network: &RunCard) -> [(&[Seen], &'static str); 3] {
    [
        (&network.training_cases, "trained this network"),
        (&network.validation_cases, "chose this network's best checkpoint"),
        (&network.pretraining_cases, "was seen in training, without its mask"),
    ]
}

pub fn among(seen: &[Seen], fingerprint: &str) -> bool {
    seen.iter().any(|seen| seen.fingerprint == fingerprint)
}

/// The organs of a network by their values in masks.
pub fn organs(card: &RunCard) -> Names {
    card.organs.iter().map(|organ| (organ.value, organ.name.clone())).collect()
}

/// The regions of a network by their values in masks, if it has any.
pub fn regions(network: &RunCard) -> Regions {
    network.regions.iter().map(|region| (region.name.clone(), region.values.clone())).collect()
}

/// Names of values, or nnU-Net's labels with the values of each and the one as which it is painted.
fn write_labels(path: &Path, network: &RunCard) -> Result<()> {
    let regions = Map::from_iter(regions(network).into_iter().map(|(name, values)| (name, json!(values))));
    let painted: Vec<u16> = network.regions.iter().map(|region| region.painted).collect();
    let labels = match regions.is_empty() {
        true => json!(organs(network)),
        false => json!({ "labels": regions, "regions_class_order": painted }),
    };
    let text = serde_json::to_string_pretty(&labels)
        .map_err(|e| Error::new(path, Kind::Format, "names in JSON", e.to_string()))?;
    output::atomically(path, |file| writeln!(file, "{text}"))
}
