//! Everything a study is going to run, checked before anything runs. What is run is known by a hash of all
//! that decides over it, so that a study that was killed, or is asked for more, does nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use polycl_nn::select::SliceId;
use polycl_nn::train::finetune::{self, FinetuneConfig};
use polycl_nn::train::pretrain::{self, PretrainConfig};
use polycl_volume::dataset::split::{self, Split};
use polycl_volume::dataset::{Dataset, Scan};
use polycl_volume::rng::{Purpose, rng};
use polycl_volume::{Error, Kind};
use rand::seq::SliceRandom;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::config::{Budget, Config, Labels, Method, TestSet};
use super::draw::{self, Draw, Drawable};

/// One way to get a network: a method, and the masks it learns from.
pub struct Arm {
    pub method: Method,
    /// Name of other masks than the data set's.
    pub labels: Option<String>,
    pub title: String,
    dataset: PathBuf,
    finetuning: FinetuneConfig,
}

/// What was done to masks before they were scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finish {
    /// Nothing.
    Plain,
    /// A Segment Anything network has refined them.
    Refined,
    /// Voxels of an organ outside its true slices were set to zero.
    Oracle,
}

impl Finish {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Refined, Self::Oracle];

    /// What the name of a method ends with.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Refined => ", refined",
            Self::Oracle => ", oracle",
        }
    }
}

/// Patients to test on, all together or those of one fold.
pub struct Test {
    /// Index of the name in [`Plan::test_names`].
    pub name: usize,
    pub fold: Option<usize>,
    /// Number of the data set in [`Plan::datasets`], and of its scans.
    pub dataset: usize,
    pub scans: Vec<usize>,
    pub dir: PathBuf,
}

/// A pre-training.
pub struct Encoder {
    pub title: String,
    pub dir: PathBuf,
    pub config: PretrainConfig,
    key: String,
}

/// A fine-tuning, and the tests of what comes out.
pub struct Network {
    pub arm: usize,
    pub budget: usize,
    pub seed: u32,
    pub fold: Option<usize>,
    /// Index in [`Plan::encoders`].
    pub encoder: Option<usize>,
    pub dataset: PathBuf,
    pub config: FinetuneConfig,
    pub dir: PathBuf,
    pub tests: Vec<usize>,
    /// Whether its masks are refined as well.
    pub refine: bool,
}

/// What a network learns from.
struct Taught {
    split: Split,
    /// Slices of each case, where not all of them are drawn.
    drawn: Option<BTreeMap<String, Vec<usize>>>,
    /// Cases whose ranges are all that a method knows of them, which trains itself on these.
    ranged: Vec<String>,
}

pub struct Plan {
    pub config: Config,
    pub out: PathBuf,
    /// What tells the network that refines, and its weights, from others.
    pub refined_by: String,
    pub arms: Vec<Arm>,
    /// All data sets that take part, the training patients' first.
    pub datasets: Vec<(PathBuf, Dataset)>,
    pub test_names: Vec<String>,
    pub tests: Vec<Test>,
    pub encoders: Vec<Encoder>,
    pub networks: Vec<Network>,
}

/// Name of the test set that cross-validation makes.
const HELD_OUT: &str = "held-out patients";

impl Plan {
    /// # Errors
    /// For everything that cannot be met with the data at hand; nothing is written.
    pub fn new(config: Config, out: &Path, refined_by: String) -> anyhow::Result<Self> {
        let mut plan = Self {
            arms: arms(&config)?,
            out: std::path::absolute(out)?,
            refined_by,
            datasets: Vec::new(),
            test_names: Vec::new(),
            tests: Vec::new(),
            encoders: Vec::new(),
            networks: Vec::new(),
            config,
        };
        let training = plan.open(&plan.config.dataset.clone())?;
        let patients = plan.dataset(training).index.patients();
        let unknown = plan.config.exclude.iter().find(|patient| !patients.contains(patient.as_str()));
        if let Some(unknown) = unknown {
            let expected = format!("a patient '{unknown}' to leave out");
            return Err(refused(&plan.config.dataset, expected, "nobody of that name".to_owned()).into());
        }
        for arm in 0..plan.arms.len() {
            plan.open(&plan.arms[arm].dataset.clone())?;
        }
        plan.test_sets(training)?;
        plan.folds(training)?;
        plan.trainings(training)?;
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

    fn dataset(&self, number: usize) -> &Dataset {
        &self.datasets[number].1
    }

    /// Scans of a data set with masks of all organs, drawn by hand, of one domain or all.
    fn by_hand(&self, dataset: usize, domain: Option<&str>) -> Vec<usize> {
        let fits = |scan: &Scan| {
            let drawn = scan.labelled() && scan.wholly_by_hand(&self.config.organs);
            let left_out = dataset == 0 && self.config.exclude.contains(&scan.patient);
            drawn && !left_out && scan.of_domain(domain)
        };
        let scans = self.dataset(dataset).index.scans.iter().enumerate();
        scans.filter(|(_, scan)| fits(scan)).map(|(number, _)| number).collect()
    }

    fn test_sets(&mut self, training: usize) -> anyhow::Result<()> {
        for test in self.config.tests.clone() {
            ensure!(
                self.config.folds.is_none() || test.name != HELD_OUT,
                "test '{HELD_OUT}': expected another name, for that is what folds test on"
            );
            let dataset = self.open(&test.dataset)?;
            let scans = self.by_hand(dataset, test.domain.as_deref());
            if scans.is_empty() {
                let expected = format!("scans with masks of {} drawn by hand", self.config.organs.join(", "));
                return Err(refused(&test.dataset, expected, format!("none for test '{}'", test.name)).into());
            }
            self.refuse_overlap(training, dataset, &scans, &test)?;
            self.add_test(test.name.clone(), None, dataset, scans);
        }
        Ok(())
    }

    /// The organs and their numbers in the training data, which masks of the study have.
    pub fn numbers(&self) -> BTreeMap<&str, u16> {
        let index = &self.dataset(0).index;
        self.config.organs.iter().filter_map(|organ| Some((organ.as_str(), index.label(organ)?))).collect()
    }

    fn add_test(&mut self, name: String, fold: Option<usize>, dataset: usize, scans: Vec<usize>) {
        let index = &self.dataset(dataset).index;
        let chosen: Vec<_> = scans.iter().map(|&scan| &index.scans[scan]).collect();
        let chosen: Vec<_> =
            chosen.iter().map(|scan| (&scan.case, &scan.fingerprint, &scan.mask_names)).collect();
        let masks: Vec<_> =
            scans.iter().flat_map(|&scan| &index.scans[scan].masks).map(|m| &m.sha256).collect();
        let dir = self
            .out
            .join("tests")
            .join(folder(&name, &key(&(&chosen, &masks, &index.labels, self.numbers()))));
        let name = self.test_names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.test_names.push(name);
            self.test_names.len() - 1
        });
        self.tests.push(Test { name, fold, dataset, scans, dir });
    }

    /// No patient who is tested on may have trained or pre-trained anything.
    fn refuse_overlap(
        &self,
        training: usize,
        test: usize,
        scans: &[usize],
        TestSet { name, namesakes, .. }: &TestSet,
    ) -> anyhow::Result<()> {
        let (path, trained) = &self.datasets[training];
        let domain = self.config.domain.as_deref();
        let trains = |scan: &&Scan| {
            let left_out = self.config.exclude.contains(&scan.patient);
            !left_out && scan.of_domain(domain)
        };
        // In one data set a name is one person.
        let namesakes = *namesakes && training != test;
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
                    let hint = "where these are other people of the same names, say `namesakes = true` in that [[test]]";
                    (format!("patient {}", scan.patient), hint)
                }
                None => continue,
            };
            let expected = format!("in test '{name}' nobody of the training data {}", path.display());
            return Err(refused(&self.datasets[test].0, expected, found).hint(hint).into());
        }
        Ok(())
    }

    fn folds(&mut self, training: usize) -> anyhow::Result<()> {
        let Some(folds) = self.config.folds else { return Ok(()) };
        let scans = self.by_hand(training, self.config.domain.as_deref());
        let index = &self.dataset(training).index;
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
            self.add_test(HELD_OUT.to_owned(), Some(fold), training, scans);
        }
        Ok(())
    }

    /// All trainings, by seed, then fold, then budget.
    fn trainings(&mut self, training: usize) -> anyhow::Result<()> {
        let folds: Vec<Option<usize>> = match self.config.folds {
            Some(folds) => (0..folds).map(Some).collect(),
            None => vec![None],
        };
        for (seed, &fold) in
            self.config.seeds.clone().into_iter().flat_map(|s| folds.iter().map(move |f| (s, f)))
        {
            let exclude = self.left_out_of(training, fold);
            let encoders = self.encoders_of(training, seed, fold, &exclude)?;
            let mut scans = self.by_hand(training, self.config.domain.as_deref());
            scans.retain(|&scan| !exclude.contains(&self.dataset(training).index.scans[scan].patient));
            let drawable = self.drawable(training, &scans, seed)?;
            for budget in 0..self.config.budgets.len() {
                for (arm, &encoder) in encoders.iter().enumerate() {
                    let mut taught = self
                        .taught(training, [arm, budget], seed, &scans, &drawable)
                        .with_context(|| format!("budget {}", self.config.budgets[budget]))?;
                    taught.ranged = self.ranged(training, &exclude, &taught);
                    self.add_network([arm, budget], (seed, fold), encoder, taught)?;
                }
            }
        }
        Ok(())
    }

    /// Cases of which a method that trains itself is told the ranges: all that no test needs. None where the masks of
    /// all of them train whole.
    fn ranged(&self, training: usize, exclude: &[String], taught: &Taught) -> Vec<String> {
        let (domain, whole) = (self.config.domain.as_deref(), taught.drawn.is_none());
        let scans = || {
            let all = self.dataset(training).index.scans.iter();
            all.filter(|scan| scan.of_domain(domain) && !exclude.contains(&scan.patient))
        };
        let left = |scan: &Scan| {
            let known = |organ: &String| (0..scan.slices).any(|slice| scan.shows(organ, slice) == Some(true));
            let trains = whole && taught.split.train.contains(&scan.patient);
            !trains && self.config.organs.iter().all(known)
        };
        if scans().any(left) { scans().map(|scan| scan.case.clone()).collect() } else { Vec::new() }
    }

    /// What budgets in slices draw from.
    fn drawable(&self, training: usize, scans: &[usize], seed: u32) -> anyhow::Result<Drawable> {
        let (dataset, organs, seed) = (self.dataset(training), &self.config.organs, seed.into());
        let suggests = self.arms.iter().any(|arm| arm.method.draw == Draw::Suggested);
        let suggested = match self.config.most_slices().filter(|_| suggests) {
            Some(most) => draw::suggested(dataset, scans, organs, seed, most)?,
            None => Vec::new(),
        };
        let drawable = Drawable::new(&dataset.index, scans, organs, seed, suggested);
        drawable.map_err(|error| Error { file: self.config.dataset.clone(), ..error }.into())
    }

    /// Who of the patients of `scans` is labelled at a budget of patients, the same for all methods; the slices of
    /// a budget in slices, as the method draws them.
    fn taught(
        &self,
        training: usize,
        [arm, budget]: [usize; 2],
        seed: u32,
        scans: &[usize],
        drawable: &Drawable,
    ) -> anyhow::Result<Taught> {
        let Arm { method, finetuning, .. } = &self.arms[arm];
        let want = match self.config.budgets[budget] {
            Budget::Slices(count) => return self.drawn(training, drawable.take(method.draw, count), count),
            Budget::Patients(count) => split::Budget::Cases(count),
            Budget::Fraction(part) => split::Budget::Fraction(part),
            Budget::All(_) => split::Budget::All,
        };
        let index = &self.dataset(training).index;
        let patients: Vec<String> = scans.iter().map(|&scan| index.scans[scan].patient.clone()).collect();
        let split = split::budget(&patients, &[], want, seed.into(), finetuning.validate);
        let split = split.map_err(|error| Error { file: self.config.dataset.clone(), ..error })?;
        Ok(Taught { split, drawn: None, ranged: Vec::new() })
    }

    fn drawn(&self, training: usize, slices: Vec<SliceId>, count: usize) -> anyhow::Result<Taught> {
        if slices.len() < count {
            let organs = self.config.organs.join(", ");
            let expected = format!("at most {} slices to draw that show {organs}", slices.len());
            let error = refused(&self.config.dataset, expected, count.to_string());
            return Err(error
                .hint("name smaller budgets, or import more scans with masks drawn by hand")
                .into());
        }
        let index = &self.dataset(training).index;
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

    /// The patients of the training data who are left out of everything, and those who are tested in a fold.
    fn left_out_of(&self, training: usize, fold: Option<usize>) -> Vec<String> {
        let tests = self.tests.iter().filter(|test| fold.is_some() && test.fold == fold);
        let index = &self.dataset(training).index;
        let patients = tests.flat_map(|test| &test.scans).map(|&scan| index.scans[scan].patient.clone());
        Vec::from_iter(patients.chain(self.config.exclude.iter().cloned()).collect::<BTreeSet<_>>())
    }

    /// The encoder of every arm, if it has one.
    fn encoders_of(
        &mut self,
        training: usize,
        seed: u32,
        fold: Option<usize>,
        exclude: &[String],
    ) -> anyhow::Result<Vec<Option<usize>>> {
        let mut encoders = Vec::new();
        for arm in 0..self.arms.len() {
            let method = self.arms[arm].method.clone();
            let Some(mut config) = method.pretraining else {
                encoders.push(None);
                continue;
            };
            config.training.seed = seed.into();
            config.exclude = exclude.to_vec();
            pretrain::check(self.dataset(training), &config)
                .with_context(|| format!("method '{}'", method.name))?;
            let key = key(&(&config, self.dataset(training).index.fingerprint()));
            let known = self.encoders.iter().position(|encoder| encoder.key == key);
            encoders.push(Some(known.unwrap_or_else(|| {
                let title = titled(&method.name, seed, fold);
                let dir = self.place("encoders", &title, &key);
                self.encoders.push(Encoder { title: format!("pre-training {title}"), dir, config, key });
                self.encoders.len() - 1
            })));
        }
        Ok(encoders)
    }

    fn add_network(
        &mut self,
        [arm, budget]: [usize; 2],
        (seed, fold): (u32, Option<usize>),
        encoder: Option<usize>,
        Taught { split, drawn, ranged }: Taught,
    ) -> anyhow::Result<()> {
        let Arm { method, finetuning, dataset, title, .. } = &self.arms[arm];
        let number = self.datasets.iter().position(|(path, _)| path == dataset);
        let data = self.dataset(number.context("data sets were opened before")?);
        let mut config = finetuning.clone();
        config.training.seed = seed.into();
        self.check_labels(data, &split).with_context(|| title.clone())?;
        config.split = Some(split);
        config.drawn = drawn;
        // Where all masks train whole there is nothing else to learn from.
        config.self_train = config.self_train.map(|wanted| wanted && !ranged.is_empty());
        config.ranged = Some(ranged).filter(|_| config.self_train == Some(true));
        config.permuted_ranges &= config.ranged.is_some();
        finetune::check(data, &config).with_context(|| title.clone())?;
        let upstream = encoder.map(|encoder| self.encoders[encoder].key.as_str());
        let key = key(&(&config, data.index.fingerprint(), upstream));
        let wanted = self.config.budgets[budget];
        let labels = self.arms[arm].labels.as_ref().map_or(String::new(), |labels| format!(" {labels}"));
        let title = titled(&format!("{}{labels} {wanted}", method.name), seed, fold);
        let refinement = self.config.refinement.as_ref();
        let refine = refinement.is_some_and(|refinement| {
            let methods = &refinement.methods;
            let budgets = &refinement.budgets;
            (methods.is_empty() || methods.contains(&method.name))
                && (budgets.is_empty() || budgets.contains(&wanted))
        });
        let tests = (0..self.tests.len()).filter(|&test| {
            let of = self.tests[test].fold;
            of.is_none() || of == fold
        });
        let network = Network {
            arm,
            budget,
            seed,
            fold,
            encoder,
            dataset: dataset.clone(),
            dir: self.place("networks", &title, &key),
            tests: tests.collect(),
            refine,
            config,
        };
        self.networks.push(network);
        Ok(())
    }
}

impl Plan {
    /// Other masks must be of the very scans of the patients who train, made ready in the same way.
    fn check_labels(&self, labels: &Dataset, split: &Split) -> anyhow::Result<()> {
        let training = &self.dataset(0).index;
        let (ours, theirs) = (&training.preprocess, &labels.index.preprocess);
        if ours != theirs {
            let found = format!("{theirs:?}");
            return Err(refused(&labels.dir, format!("slices made ready as {ours:?}"), found).into());
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

    /// The folder of what has this key: the one it has already, whatever it was called then, that of a network
    /// The folder of what has this key: that of the same training for another method, the one it has already,
    /// whatever it was called then, or a new one.
    fn place(&self, kind: &str, title: &str, key: &str) -> PathBuf {
        let parent = self.out.join(kind);
        let there = std::fs::read_dir(&parent).into_iter().flatten().flatten().map(|entry| entry.path());
        let planned = self.networks.iter().map(|network| network.dir.clone());
        let same = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(&format!("-{key}")));
        planned.chain(there).find(same).unwrap_or_else(|| parent.join(folder(title, key)))
    }
}

fn arms(config: &Config) -> anyhow::Result<Vec<Arm>> {
    let methods = config.methods()?;
    let mut arms = Vec::new();
    for method in &methods {
        arms.push(Arm {
            method: method.clone(),
            labels: None,
            title: method.title.clone(),
            dataset: config.dataset.clone(),
            finetuning: method.finetuning.clone(),
        });
    }
    for (name, labels) in &config.labels {
        let wanted = |method: &&Method| labels.methods.is_empty() || labels.methods.contains(&method.name);
        for method in methods.iter().filter(wanted) {
            arms.push(relabelled(config, method, name, labels)?);
        }
    }
    Ok(arms)
}

fn relabelled(config: &Config, method: &Method, name: &str, labels: &Labels) -> anyhow::Result<Arm> {
    Ok(Arm {
        method: method.clone(),
        labels: Some(name.to_owned()),
        title: format!("{}, {name} masks", method.title),
        dataset: labels.dataset.clone(),
        finetuning: config.relabelled(method, labels).with_context(|| format!("labels.{name}"))?,
    })
}

fn titled(what: &str, seed: u32, fold: Option<usize>) -> String {
    let fold = fold.map_or(String::new(), |fold| format!(" fold {fold}"));
    format!("{what} seed {seed}{fold}")
}

/// Twelve digits tell runs apart; the version decides, too, for it may compute otherwise.
fn key(of: &impl Serialize) -> String {
    let text = serde_json::to_string(&(of, env!("CARGO_PKG_VERSION"))).expect("settings are JSON");
    let digest = Sha256::digest(text);
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// A folder's name that a person can read, and that is another for other settings.
fn folder(title: &str, key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("{}-{key}", title.chars().take(60).map(plain).collect::<String>())
}

fn refused(file: &Path, expected: String, found: String) -> Error {
    Error::new(file, Kind::Request, expected, found)
}
