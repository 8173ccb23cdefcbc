//! Everything a study is going to run, checked before anything runs. What is run is known by a hash of all
//! that decides over it, so that a study that was killed, or is asked for more, does nothing twice.

mod arms;
mod labelled;
mod names;
mod results;
mod testing;
mod trainings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind};
use polycl_data::{Dataset, Scan};
use polycl_nn::train::finetune::FinetuneConfig;
use polycl_nn::train::pretrain::PretrainConfig;

use super::config::{Config, SCRATCH};
pub use arms::Arm;
pub use results::{Finish, SCORES, SUMMARY};

/// Patients to test on, all together or those of one fold.
pub struct Test {
    /// Index of the name in [`StudyPlan::test_names`].
    pub name: usize,
    pub fold: Option<usize>,
    /// Number of the data set in [`StudyPlan::datasets`], and of its scans.
    pub dataset: usize,
    pub scans: Vec<usize>,
    pub dir: PathBuf,
}

pub struct Pretraining {
    pub title: String,
    pub dir: PathBuf,
    pub config: PretrainConfig,
    key: String,
}

/// A fine-tuning, and the tests of what comes out.
pub struct Finetuning {
    pub arm: usize,
    pub budget: usize,
    pub seed: u32,
    pub fold: Option<usize>,
    /// Index in [`StudyPlan::pretrainings`].
    pub pretraining: Option<usize>,
    pub dataset: PathBuf,
    pub config: FinetuneConfig,
    pub dir: PathBuf,
    pub tests: Vec<usize>,
    /// Refines its masks as well.
    pub refine: bool,
}

pub struct StudyPlan {
    pub config: Config,
    pub out: PathBuf,
    /// Tells the network that refines, and its weights, from others.
    pub refined_by: String,
    pub arms: Vec<Arm>,
    /// All data sets that take part, the training patients' first.
    pub datasets: Vec<(PathBuf, Dataset)>,
    pub test_names: Vec<String>,
    pub tests: Vec<Test>,
    pub pretrainings: Vec<Pretraining>,
    pub finetunings: Vec<Finetuning>,
}

/// Number of the data set of the patients who train.
const TRAINING: usize = 0;

impl StudyPlan {
    /// # Errors
    /// For everything that cannot be met with the data at hand; nothing is written.
    pub fn new(config: Config, out: &Path, refined_by: String) -> anyhow::Result<Self> {
        let mut plan = Self {
            arms: arms::of(&config)?,
            out: std::path::absolute(out)?,
            refined_by,
            datasets: Vec::new(),
            test_names: Vec::new(),
            tests: Vec::new(),
            pretrainings: Vec::new(),
            finetunings: Vec::new(),
            config,
        };
        plan.open(&plan.config.dataset.clone())?;
        let patients = plan.training().index.patients();
        let unknown = plan.config.exclude.iter().find(|patient| !patients.contains(patient.as_str()));
        if let Some(unknown) = unknown {
            let expected = format!("a patient '{unknown}' to leave out");
            return Err(refused(&plan.config.dataset, expected, "no patient of that name".to_owned()).into());
        }
        for arm in 0..plan.arms.len() {
            plan.open(&plan.arms[arm].dataset.clone())?;
        }
        plan.test_sets()?;
        plan.folds()?;
        plan.trainings()?;
        Ok(plan)
    }

    /// Number of a data set, opened once.
    fn open(&mut self, path: &Path) -> anyhow::Result<usize> {
        if let Some(number) = self.datasets.iter().position(|(known, _)| known == path) {
            return Ok(number);
        }
        self.datasets.push((path.to_path_buf(), Dataset::open(path)?));
        Ok(self.datasets.len() - 1)
    }

    pub fn dataset(&self, number: usize) -> &Dataset {
        &self.datasets[number].1
    }

    /// The data set of the patients who train.
    pub fn training(&self) -> &Dataset {
        self.dataset(TRAINING)
    }

    /// Scans of a data set with masks of all organs that are truth here, of one domain or all.
    fn by_hand(&self, dataset: usize, domain: Option<&str>) -> Vec<usize> {
        let fits = |scan: &Scan| {
            let drawn = scan.labelled() && scan.is_truth(&self.config.organs, self.config.accept_reviewed);
            let left_out = dataset == TRAINING && self.config.exclude.contains(&scan.patient);
            drawn && !left_out && scan.of_domain(domain)
        };
        let scans = self.dataset(dataset).index.scans.iter().enumerate();
        scans.filter(|(_, scan)| fits(scan)).map(|(number, _)| number).collect()
    }

    /// Scans that train or test of which a person reviewed what a machine had proposed.
    pub fn reviewed(&self) -> usize {
        let domain = self.config.domain.as_deref();
        let training = self.by_hand(TRAINING, domain).into_iter().map(|scan| (TRAINING, scan));
        let testing = self.tests.iter().flat_map(|test| test.scans.iter().map(|&scan| (test.dataset, scan)));
        let all: BTreeSet<(usize, usize)> = training.chain(testing).collect();
        let is_reviewed =
            |&(dataset, scan): &(usize, usize)| !self.dataset(dataset).index.scans[scan].origin.is_hand();
        all.iter().filter(|scan| is_reviewed(scan)).count()
    }

    /// The arm that was settled on beforehand.
    pub fn primary(&self) -> Option<usize> {
        match &self.config.primary {
            Some(name) => self.arms.iter().position(|arm| arm.method.name == *name),
            None => self.arms.iter().position(|arm| arm.method.pretraining.is_some()),
        }
    }

    /// The arm that others are held against: the method named scratch, else the first without pre-training.
    pub fn reference(&self) -> Option<usize> {
        let plain = |arm: &Arm| arm.method.pretraining.is_none();
        let named = self.arms.iter().position(|arm| plain(arm) && arm.method.name == SCRATCH);
        named.or_else(|| self.arms.iter().position(plain))
    }

    /// The organs and their numbers in the training data, which masks of the study have.
    pub fn numbers(&self) -> BTreeMap<&str, u16> {
        let index = &self.training().index;
        self.config.organs.iter().filter_map(|organ| Some((organ.as_str(), index.label(organ)?))).collect()
    }
}

fn refused(file: &Path, expected: String, found: String) -> Error {
    Error::new(file, Kind::Request, expected, found)
}
