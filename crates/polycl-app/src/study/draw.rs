//! The choice of the slices that a person draws under a budget in slices.

use polycl_base::Result;
use polycl_base::rng::{Purpose, rng};
use polycl_data::split::{self, Budget};
use polycl_data::{Dataset, Index};
use polycl_nn::select::SliceId;
use polycl_nn::suggest::{self, Request};
use rand::seq::SliceRandom;
use serde::Deserialize;

/// The choice of the slices of a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// One slice of every patient in turn.
    Spread,
    /// Scan after scan; of the last one as many slices as are left, evenly spaced.
    #[default]
    Whole,
    /// Those that `polycl suggest` chooses.
    Suggested,
}

/// The slices that a person may draw, in an order of one seed.
pub struct Drawable {
    /// The scans of each patient that show an organ, and their slices that do, ascending.
    patients: Vec<Vec<Vec<SliceId>>>,
    suggested: Vec<SliceId>,
    seed: u64,
}

impl Drawable {
    /// Orders the patients of `scans`, drawn by hand, as budgets of patients do.
    pub fn new(
        index: &Index,
        scans: &[usize],
        organs: &[String],
        seed: u64,
        suggested: Vec<SliceId>,
    ) -> Result<Self> {
        let patient = |&scan: &usize| index.scans[scan].patient.clone();
        let patients: Vec<String> = scans.iter().map(patient).collect();
        let order = split::budget(&patients, &[], Budget::All, seed, false)?.train;
        let showing = |scan: usize| -> Vec<SliceId> {
            let shows = |slice: &usize| {
                organs.iter().any(|organ| index.scans[scan].shows(organ, *slice) == Some(true))
            };
            (0..index.scans[scan].slices).filter(shows).map(|slice| SliceId { scan, slice }).collect()
        };
        let of = |(place, name): (usize, &String)| {
            let own = scans.iter().copied().filter(|&scan| index.scans[scan].patient == *name);
            let mut own: Vec<_> = own.map(showing).filter(|slices| !slices.is_empty()).collect();
            own.shuffle(&mut rng(seed, Purpose::Split, [3, place as u64]));
            own
        };
        Ok(Self { patients: order.iter().enumerate().map(of).collect(), suggested, seed })
    }

    /// The slices of a budget; fewer where there are no more.
    pub fn take(&self, draw: Draw, count: usize) -> Vec<SliceId> {
        let mut slices = match draw {
            Draw::Spread => self.spread(),
            Draw::Whole => self.whole(count),
            Draw::Suggested => self.suggested.clone(),
        };
        slices.truncate(count);
        slices
    }

    fn spread(&self) -> Vec<SliceId> {
        let shuffled = |scan: &Vec<SliceId>| {
            let mut slices = scan.clone();
            slices.shuffle(&mut rng(self.seed, Purpose::Split, [4, scan[0].scan as u64]));
            slices
        };
        let patient = |scans: &Vec<Vec<SliceId>>| in_rounds(&scans.iter().map(shuffled).collect::<Vec<_>>());
        in_rounds(&self.patients.iter().map(patient).collect::<Vec<_>>())
    }

    fn whole(&self, count: usize) -> Vec<SliceId> {
        let mut drawn = Vec::new();
        for scan in in_rounds(&self.patients) {
            let take = scan.len().min(count - drawn.len());
            drawn.extend(suggest::spread(&scan, take));
        }
        drawn
    }
}

/// The first of every list, then the second of every list that has one, and so on.
fn in_rounds<T: Clone>(lists: &[Vec<T>]) -> Vec<T> {
    let rounds = lists.iter().map(Vec::len).max().unwrap_or(0);
    (0..rounds).flat_map(|round| lists.iter().filter_map(move |list| list.get(round).cloned())).collect()
}

/// Suggests `count` slices, of which smaller budgets take the first. Where that leaves enough scans, each seed
/// chooses from another random half of them: suggestions know no chance, and differ by seed as random draws do.
pub fn suggested(
    dataset: &Dataset,
    scans: &[usize],
    organs: &[String],
    seed: u64,
    count: usize,
) -> Result<Vec<SliceId>> {
    let mut scans = scans.to_vec();
    if scans.len() >= 2 * count {
        scans.shuffle(&mut rng(seed, Purpose::Split, [5, 0]));
        scans.truncate(scans.len() / 2);
        scans.sort_unstable();
    }
    let (organs, scans) = (organs.to_vec(), Some(scans));
    let request = Request { organs, count, scans, ignore_masks: true, ..Request::default() };
    let chosen = suggest::choose(dataset, &request)?;
    Ok(chosen.iter().map(|chosen| SliceId { scan: chosen.scan, slice: chosen.slice }).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    /// Scans of ten slices that show the liver in some of them, and whose they are.
    fn index(scans: &[(&str, [usize; 2])]) -> Index {
        let scan = |(number, (patient, range)): (usize, &(&str, [usize; 2]))| {
            json!({
                "case": format!("scan{number}"), "patient": patient, "slices": 10, "first_slice": 0,
                "shape": [32, 32, 10], "spacing": [1.0, 1.0, 1.0], "orientation": "LPS", "fingerprint": "",
                "image": { "path": "x", "sha256": "" }, "drawn": ["liver"], "presence": { "liver": [range] },
            })
        };
        let scans: Vec<_> = scans.iter().enumerate().map(scan).collect();
        let preprocess = polycl_image::preprocess::Preprocess::default();
        let index = json!({
            "polycl_dataset": 1, "preprocess": preprocess, "labels": { "1": "liver" }, "scans": scans,
        });
        serde_json::from_value(index).unwrap()
    }

    fn patients(index: &Index, slices: &[SliceId]) -> Vec<String> {
        slices.iter().map(|slice| index.scans[slice.scan].patient.clone()).collect()
    }

    #[test]
    fn every_draw_takes_each_slice_that_shows_the_organ_once() {
        let index = index(&[("a", [2, 4]), ("a", [0, 9]), ("b", [5, 5]), ("c", [1, 6])]);
        for seed in 0..20 {
            let organs = ["liver".to_owned()];
            let drawable = Drawable::new(&index, &[0, 1, 2, 3], &organs, seed, Vec::new()).unwrap();
            let spread = drawable.take(Draw::Spread, 99);
            let whole = drawable.take(Draw::Whole, 99);
            for slices in [&spread, &whole] {
                assert_eq!((slices.len(), BTreeSet::from_iter(slices).len()), (3 + 10 + 1 + 6, 20));
                assert!(slices.iter().all(|id| index.scans[id.scan].shows("liver", id.slice).unwrap()));
            }
            assert_eq!(drawable.take(Draw::Spread, 7), spread[..7]);
            // One of each first, in the order in which whole scans are drawn, too.
            let mut order = patients(&index, &whole);
            order.dedup();
            assert_eq!(patients(&index, &spread)[..3], order[..3]);
            assert_eq!(BTreeSet::from_iter(&order[..3]).len(), 3);
            // What is left for the last scan is spaced over it.
            let first: Vec<_> = whole.iter().filter(|id| id.scan == whole[0].scan).copied().collect();
            let [one] = drawable.take(Draw::Whole, 1)[..] else { panic!("one slice") };
            assert_eq!(one, first[first.len() / 2]);
        }
    }
}
