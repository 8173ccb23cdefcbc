//! The patients who are tested: other data sets, or parts of the training data in turn.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use polycl_base::rng::{Purpose, rng};
use polycl_data::Scan;
use rand::seq::SliceRandom;

use super::names::{folder, key};
use super::{StudyPlan, TRAINING, Test, refused};
use crate::study::config::TestSet;

/// Name of the test set that cross-validation makes.
const HELD_OUT: &str = "held-out patients";

impl StudyPlan {
    pub(super) fn test_sets(&mut self) -> anyhow::Result<()> {
        for test in self.config.tests.clone() {
            ensure!(
                self.config.folds.is_none() || test.name != HELD_OUT,
                "test '{HELD_OUT}': expected another name, for that is what folds test on"
            );
            let dataset = self.open(&test.dataset)?;
            let scans = self.by_hand(dataset, test.domain.as_deref());
            if scans.is_empty() {
                let expected = format!("scans with masks of {} drawn by hand", self.config.organs.join(", "));
                return Err(refused(
                    &test.dataset,
                    expected,
                    format!("no such scan for test '{}'", test.name),
                )
                .into());
            }
            self.refuse_overlap(dataset, &scans, &test)?;
            self.add_test(test.name.clone(), None, dataset, scans);
        }
        Ok(())
    }

    /// No patient who is tested on may have trained or pre-trained anything.
    fn refuse_overlap(
        &self,
        test: usize,
        scans: &[usize],
        TestSet { name, namesakes, .. }: &TestSet,
    ) -> anyhow::Result<()> {
        let (path, trained) = &self.datasets[TRAINING];
        let domain = self.config.domain.as_deref();
        let trains = |scan: &&Scan| {
            let left_out = self.config.exclude.contains(&scan.patient);
            !left_out && scan.of_domain(domain)
        };
        // In one data set a name is one person.
        let namesakes = *namesakes && test != TRAINING;
        let trained = || trained.index.scans.iter().filter(trains);
        let patients: BTreeSet<&str> = trained().map(|scan| &*scan.patient).collect();
        let voxels: BTreeMap<&str, &str> = trained().map(|scan| (&*scan.fingerprint, &*scan.case)).collect();
        for scan in scans.iter().map(|&scan| &self.dataset(test).index.scans[scan]) {
            let (found, hint) = match voxels.get(&*scan.fingerprint) {
                Some(case) => {
                    let found = format!("{}, whose voxels are those of {case}", scan.case);
                    (found, "leave it out of one of the two; `folds` tests on parts of one data set")
                }
                None if !namesakes && patients.contains(&*scan.patient) => {
                    let hint = "say `namesakes = true` in that [[test]] where these are other people of the same names";
                    (format!("patient {}", scan.patient), hint)
                }
                None => continue,
            };
            let expected = format!("no patient of the training data {} in test '{name}'", path.display());
            return Err(refused(&self.datasets[test].0, expected, found).hint(hint).into());
        }
        Ok(())
    }

    pub(super) fn folds(&mut self) -> anyhow::Result<()> {
        let Some(folds) = self.config.folds else { return Ok(()) };
        let scans = self.by_hand(TRAINING, self.config.domain.as_deref());
        let index = &self.training().index;
        let patient = |scan: usize| index.scans[scan].patient.clone();
        let patients: BTreeSet<String> = scans.iter().map(|&scan| patient(scan)).collect();
        if patients.len() < folds {
            let found = format!("{} of them", patients.len());
            return Err(refused(&self.config.dataset, format!("patients for {folds} folds"), found).into());
        }
        let mut order: Vec<String> = patients.into_iter().collect();
        order.shuffle(&mut rng(0, Purpose::Split, [2, folds as u64]));
        let of_fold = |fold: usize| -> Vec<usize> {
            let tested: Vec<&String> = order.iter().skip(fold).step_by(folds).collect();
            scans.iter().copied().filter(|&scan| tested.contains(&&index.scans[scan].patient)).collect()
        };
        let parts: Vec<Vec<usize>> = (0..folds).map(of_fold).collect();
        for (fold, scans) in parts.into_iter().enumerate() {
            self.add_test(HELD_OUT.to_owned(), Some(fold), TRAINING, scans);
        }
        Ok(())
    }

    fn add_test(&mut self, name: String, fold: Option<usize>, dataset: usize, scans: Vec<usize>) {
        let index = &self.dataset(dataset).index;
        let chosen: Vec<_> = scans.iter().map(|&scan| &index.scans[scan]).collect();
        let masks: Vec<_> = chosen.iter().flat_map(|scan| &scan.masks).map(|mask| &mask.sha256).collect();
        let chosen: Vec<_> =
            chosen.iter().map(|scan| (&scan.case, &scan.fingerprint, &scan.mask_names)).collect();
        let key = key(&(&chosen, &masks, &index.labels, self.numbers()));
        let dir = self.out.join("tests").join(folder(&name, &key));
        let name = self.test_names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.test_names.push(name);
            self.test_names.len() - 1
        });
        self.tests.push(Test { name, fold, dataset, scans, dir });
    }
}
