//! What people made of the predictions of each round's network, once they have reviewed a scan.
//!
//! A mask that was proposed and mended stays near the proposal, whatever is true. So there are two figures: of scans that were
//! corrected, which tell of the effort, and of scans for which no network had proposed anything and that the round's
//! network has not seen, on which it is run unseen. The second is the figure to trust.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use polycl_metrics::dice_of;
use polycl_nn::device::Device;
use polycl_nn::predict::{Options, Predictor};
use polycl_nn::train::read_log;
use serde_json::{Value, json};

use super::record::{self, Figure, Record, Step};
use super::{choice, propose};
use crate::desk::{Desk, Trained};
use crate::document::Document;
use crate::folder::Entry;
use crate::locked::locked;
use crate::refusal::Answer;

/// Comparisons that are to be made, and a network that was loaded for one.
#[derive(Default)]
pub struct Measuring {
    network: Option<(u32, Arc<Trained>)>,
    /// Those that would tell nothing, until the mask changes.
    passed_by: BTreeSet<(u32, String, u64)>,
}

impl Measuring {
    /// Makes the next comparison; true where it gives a figure.
    pub fn next(&mut self, desk: &Desk) -> bool {
        let all = locked(&desk.rounds.all).clone();
        let Some((record, entry, when)) = self.wanted(desk, &all) else { return false };
        let figure = self.measure(desk, record, &all, &entry).and_then(|figure| {
            let Some(figure) = figure else { return Ok(false) };
            desk.rounds.change(record.number, |record| {
                record.figures.insert(entry.id.clone(), Figure { when, ..figure });
            })?;
            Ok(true)
        });
        let is_new = figure.unwrap_or_else(|refusal| {
            desk.trouble(Some(&entry.id), &refusal.message);
            false
        });
        if !is_new {
            self.passed_by.insert((record.number, entry.id.clone(), when));
        }
        is_new
    }

    /// The first round and reviewed scan that are not compared yet, and when the scan was changed last.
    fn wanted<'a>(&self, desk: &Desk, all: &'a [Record]) -> Option<(&'a Record, Arc<Entry>, u64)> {
        let entries = desk.entries();
        let reviewed: Vec<(&Arc<Entry>, u64)> = entries
            .iter()
            .filter(|entry| entry.state() == "reviewed")
            .filter_map(|entry| Some((entry, entry.when()?)))
            .collect();
        all.iter().filter(|record| record.step >= Step::Predict).find_map(|record| {
            let is_open = |(entry, when): &&(&Arc<Entry>, u64)| {
                let id = &entry.id;
                record.figures.get(id).is_none_or(|figure| figure.when != *when)
                    && !record.trained.contains(id)
                    && !self.passed_by.contains(&(record.number, id.clone(), *when))
            };
            reviewed.iter().find(is_open).map(|(entry, when)| (record, Arc::clone(entry), *when))
        })
    }

    /// Compares the prediction of a round with the mask of a scan; nothing where that would tell nothing.
    fn measure(
        &mut self,
        desk: &Desk,
        record: &Record,
        all: &[Record],
        entry: &Entry,
    ) -> Answer<Option<Figure>> {
        let id = &entry.id;
        let Some(document) = desk.document(entry)?.filter(|document| document.facts.review.is_some()) else {
            return Ok(None);
        };
        let last = all.iter().rev().find(|own| own.arrived.contains_key(id)).map(|own| own.number);
        if last == Some(record.number) {
            let labels = &record.arrived[id];
            let proposal = propose::kept(desk, record.number, id, document.mask.len());
            return Ok(proposal.map(|proposal| self.compare(desk, entry, &document, &proposal, labels, true)));
        }
        let is_swayed = last.is_some() || entry.label.is_some() || choice::was_predicted(&document);
        if is_swayed || record.seen.contains(id) {
            return Ok(None);
        }
        let trained = self.network(desk, record.number)?;
        let image = entry.input.image()?;
        let watch = Yielding(desk);
        let Some(prediction) = trained.predictor.segment(&image, Options::default(), &watch)? else {
            return Ok(None);
        };
        let (values, labels) = by_name(&trained.predictor, &document);
        let order = polycl_image::orient::Reorientation::to_canonical(&image.space);
        let mut found = order.apply(&prediction.mask).voxels;
        found.iter_mut().for_each(|own| *own = values.get(own).copied().unwrap_or(0));
        Ok(Some(self.compare(desk, entry, &document, &found, &labels, false)))
    }

    fn compare(
        &self,
        desk: &Desk,
        entry: &Entry,
        document: &Document,
        found: &[u16],
        labels: &BTreeSet<u16>,
        proposed: bool,
    ) -> Figure {
        let (dice, voxels) = agreement(found, &document.mask, labels);
        Figure { when: 0, proposed, dice, voxels, seconds: desk.rounds.clock.of(entry).as_secs() }
    }

    /// The network of a round, of which one is kept.
    fn network(&mut self, desk: &Desk, number: u32) -> Answer<Arc<Trained>> {
        if let Some(trained) = desk.trained().filter(|trained| trained.round == Some(number)) {
            return Ok(trained);
        }
        if let Some((_, trained)) = self.network.as_ref().filter(|(own, _)| *own == number) {
            return Ok(Arc::clone(trained));
        }
        let predictor = Predictor::load(&desk.rounds.network(number), Device::Cpu)?;
        let trained = Arc::new(Trained { predictor, name: format!("round {number}"), round: Some(number) });
        self.network = Some((number, Arc::clone(&trained)));
        Ok(trained)
    }
}

/// The values of a document's labels by those of a network's organs of the same names. An organ that the document does not
/// know gets a value that no voxel of it has.
fn by_name(predictor: &Predictor, document: &Document) -> (BTreeMap<u16, u16>, BTreeSet<u16>) {
    let names = document.names();
    let mut free = (1..=u16::MAX).rev().filter(|value| !names.contains_key(value));
    let mut values = BTreeMap::new();
    for organ in &predictor.card.organs {
        let own = names.iter().find(|(_, name)| name.to_lowercase() == organ.name.to_lowercase());
        let value = own.map(|(value, _)| *value).or_else(|| free.next());
        values.extend(value.map(|value| (organ.value, value)));
    }
    let labels = values.values().copied().collect();
    (values, labels)
}

/// The mean Dice of the labels that either mask shows, and the voxels in which they differ.
fn agreement(found: &[u16], mask: &[u16], labels: &BTreeSet<u16>) -> (Option<f64>, u64) {
    let pairs = || found.iter().zip(mask);
    let shown = labels.iter().filter_map(|label| dice_of(pairs().map(|(a, b)| (a == label, b == label))));
    let shown: Vec<f64> = shown.collect();
    let of = |value: &u16| if labels.contains(value) { *value } else { 0 };
    let voxels = pairs().filter(|(a, b)| of(a) != of(b)).count() as u64;
    ((!shown.is_empty()).then(|| shown.iter().sum::<f64>() / shown.len() as f64), voxels)
}

/// Waits while a person does.
struct Yielding<'a>(&'a Desk);

impl polycl_base::Watch for Yielding<'_> {
    fn stop(&self) -> bool {
        self.0.yield_to_people(|| self.0.is_stopping());
        self.0.is_stopping()
    }
}

/// A round as the page shows it.
pub fn told(desk: &Desk, record: &Record, all: &[Record]) -> Value {
    let folder = record::folder(&desk.rounds.folder, record.number);
    let curve = |run: &str| -> Vec<f64> {
        read_log(&folder.join(run)).unwrap_or_default().iter().map(|epoch| epoch.loss).collect()
    };
    // A word that was taken back is no word; a newer proposal is another's.
    let still = record.figures.iter().filter_map(|(id, figure)| {
        let entry = desk.entry(id).ok().filter(|entry| entry.state() == "reviewed")?;
        let last = all.iter().rev().find(|own| own.arrived.contains_key(id)).map(|own| own.number);
        let holds = if figure.proposed { last == Some(record.number) } else { last.is_none() };
        holds.then_some((entry, figure))
    });
    let still: Vec<(Arc<Entry>, &Figure)> = still.collect();
    let mean = |proposed: bool, of: fn(&Figure) -> Option<f64>| {
        let values: Vec<f64> = still
            .iter()
            .filter(|(_, figure)| figure.proposed == proposed)
            .filter_map(|(_, f)| of(f))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let count = |proposed: bool| still.iter().filter(|(_, figure)| figure.proposed == proposed).count();
    let figures = still.iter().map(|(entry, figure)| {
        json!({"id": entry.id, "name": entry.name, "proposed": figure.proposed, "dice": figure.dice,
               "voxels": figure.voxels, "seconds": figure.seconds})
    });
    json!({
        "round": record.number,
        "began": record.began,
        "step": record.step,
        "pretrain": record.pretrain,
        "trained": record.trained.len(),
        "held_back": record.held_back.len(),
        "arrived": record.arrived.len(),
        "network": format!("rounds/{}/network", record.number),
        "curves": {"pretrain": curve("encoder"), "finetune": curve("network")},
        "unseen": {"scans": count(false), "dice": mean(false, |figure| figure.dice)},
        "corrected": {
            "scans": count(true),
            "dice": mean(true, |figure| figure.dice),
            "voxels": mean(true, |figure| Some(figure.voxels as f64)),
            // Of what no tab has had open the time is not known.
            "seconds": mean(true, |figure| (figure.seconds > 0).then_some(figure.seconds as f64)),
        },
        "figures": figures.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_agree_by_label() {
        let labels = BTreeSet::from([1, 2, 3]);
        // One of three voxels of label 1 is missed, and label 9 is nobody's business.
        let (dice, voxels) = agreement(&[1, 1, 0, 2, 0, 9], &[1, 1, 1, 2, 9, 0], &labels);
        assert!((dice.unwrap() - f64::midpoint(0.8, 1.0)).abs() < 1e-9);
        assert_eq!(voxels, 1);
        assert_eq!(agreement(&[0, 9], &[0, 0], &labels), (None, 0));
        // Found where nothing is.
        assert_eq!(agreement(&[1, 0], &[0, 0], &labels), (Some(0.0), 1));
    }
}
