//! The labels that a training has: whole masks of patients, drawn slices, ranges of organs.

use std::collections::{BTreeMap, BTreeSet};

use polycl_data::split::{self, Split};
use polycl_data::{Dataset, Scan};
use polycl_nn::select::SliceId;

use super::{Arm, StudyPlan, refused};
use crate::study::config::Budget;
use crate::study::draw::{self, Draw, Drawable};

/// The masks and ranges that a network learns from.
pub struct Taught {
    pub split: Split,
    /// Slices of each case, where not all of them are drawn.
    pub drawn: Option<BTreeMap<String, Vec<usize>>>,
    /// Cases whose ranges are all that a method knows of them, which trains itself on these.
    pub ranged: Vec<String>,
}

impl StudyPlan {
    /// The labels of an arm at a budget: the same patients of `scans` for all methods at a budget of patients, and at one
    /// in slices those that the method draws.
    pub(super) fn taught(
        &self,
        [arm, budget]: [usize; 2],
        seed: u32,
        scans: &[usize],
        drawable: &Drawable,
    ) -> anyhow::Result<Taught> {
        let Arm { method, finetuning, .. } = &self.arms[arm];
        let want = match self.config.budgets[budget] {
            Budget::Slices(count) => return self.drawn(drawable.take(method.draw, count), count),
            Budget::Patients(count) => split::Budget::Cases(count),
            Budget::Fraction(part) => split::Budget::Fraction(part),
            Budget::All(_) => split::Budget::All,
        };
        let index = &self.training().index;
        let patients: Vec<String> = scans.iter().map(|&scan| index.scans[scan].patient.clone()).collect();
        let split = split::budget(&patients, &[], want, seed.into(), finetuning.validate);
        let split = split.map_err(|error| error.about(&self.config.dataset))?;
        Ok(Taught { split, drawn: None, ranged: Vec::new() })
    }

    fn drawn(&self, slices: Vec<SliceId>, count: usize) -> anyhow::Result<Taught> {
        if slices.len() < count {
            let organs = self.config.organs.join(", ");
            let expected = format!("at most {} slices to draw that show {organs}", slices.len());
            let error = refused(&self.config.dataset, expected, count.to_string());
            return Err(error
                .hint("name smaller budgets, or import more scans with masks drawn by hand")
                .into());
        }
        let index = &self.training().index;
        let mut drawn: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut patients = BTreeSet::new();
        for id in slices {
            let scan = &index.scans[id.scan];
            drawn.entry(scan.case.clone()).or_default().push(id.slice);
            patients.insert(scan.patient.clone());
        }
        drawn.values_mut().for_each(|slices| slices.sort_unstable());
        let split = Split { train: Vec::from_iter(patients), validation: Vec::new() };
        Ok(Taught { split, drawn: Some(drawn), ranged: Vec::new() })
    }

    /// The slices that budgets in slices draw from.
    pub(super) fn drawable(&self, scans: &[usize], seed: u32) -> anyhow::Result<Drawable> {
        let (dataset, organs, seed) = (self.training(), &self.config.organs, seed.into());
        let suggests = self.arms.iter().any(|arm| arm.method.draw == Draw::Suggested);
        let suggested = match self.config.most_slices().filter(|_| suggests) {
            Some(most) => draw::suggested(dataset, scans, organs, seed, most)?,
            None => Vec::new(),
        };
        let drawable = Drawable::new(&dataset.index, scans, organs, seed, suggested);
        drawable.map_err(|error| error.about(&self.config.dataset).into())
    }

    /// Cases of which a method that trains itself is told the ranges: all that no test needs. None where the masks of
    /// all of them train whole.
    pub(super) fn ranged(&self, exclude: &[String], taught: &Taught) -> Vec<String> {
        let (domain, whole) = (self.config.domain.as_deref(), taught.drawn.is_none());
        let scans = || {
            let all = self.training().index.scans.iter();
            all.filter(|scan| scan.of_domain(domain) && !exclude.contains(&scan.patient))
        };
        let left = |scan: &Scan| {
            let known = |organ: &String| (0..scan.slices).any(|slice| scan.shows(organ, slice) == Some(true));
            let trains = whole && taught.split.train.contains(&scan.patient);
            !trains && self.config.organs.iter().all(known)
        };
        if scans().any(left) { scans().map(|scan| scan.case.clone()).collect() } else { Vec::new() }
    }

    /// Other masks must be of the very scans of the patients who train, made ready in the same way.
    pub(super) fn check_labels(&self, labels: &Dataset, split: &Split) -> anyhow::Result<()> {
        let training = &self.training().index;
        let (ours, theirs) = (&training.preprocess, &labels.index.preprocess);
        if ours != theirs {
            let found = format!("{theirs:?}");
            return Err(refused(&labels.dir, format!("slices preprocessed as {ours:?}"), found).into());
        }
        let trains =
            |scan: &&Scan| split.train.contains(&scan.patient) || split.validation.contains(&scan.patient);
        let known = |scan: &&Scan| {
            let same = |other: &Scan| other.fingerprint == scan.fingerprint && other.patient == scan.patient;
            training.scans.iter().any(same)
        };
        let foreign = labels.index.scans.iter().filter(trains).find(|scan| !known(scan));
        foreign.map_or(Ok(()), |scan| {
            let expected = format!("masks of the scans of {}", self.config.dataset.display());
            let found = format!("{} of patient {}, another scan", scan.case, scan.patient);
            Err(refused(&labels.dir, expected, found).into())
        })
    }
}
