//! A study as a person writes it down.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use polycl_nn::net::Net;
use polycl_nn::sam::Model;
use polycl_nn::train::finetune::FinetuneConfig;
use polycl_nn::train::pretrain::PretrainConfig;
use polycl_volume::{Error, Kind};
use serde::{Deserialize, Deserializer};
use toml::Table;

use super::draw::Draw;
use crate::commands::overlay::overlay;

/// The whole of a study's TOML file. Paths are relative to where `polycl study` is run, as those of all
/// commands are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub title: Option<String>,
    /// Data set of the patients who train, and of the scans that pre-train.
    pub dataset: PathBuf,
    /// Only scans of this domain train and pre-train.
    #[serde(default)]
    pub domain: Option<String>,
    /// Patients of the data set who take no part in anything, by name.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What is segmented.
    pub organs: Vec<String>,
    /// From the list below, or of the `method` tables.
    pub methods: Vec<String>,
    /// The method whose comparison with scratch was settled on before the study; the first that is pre-trained
    /// without it.
    #[serde(default)]
    pub primary: Option<String>,
    /// Labelled patients, validation included: numbers of them, fractions, or "all". After them stand the
    /// budgets in slices, once the file is read.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    /// Drawn slices.
    #[serde(default)]
    slices: Vec<usize>,
    /// How those slices are chosen, for methods that do not say it.
    #[serde(default)]
    draw: Option<Draw>,
    /// Whether masks are also scored with an organ's voxels outside its true slices set to zero.
    #[serde(default)]
    pub oracle: bool,
    /// Seeds of everything random: who is labelled, first weights, order.
    #[serde(default = "three_seeds")]
    pub seeds: Vec<u32>,
    /// Cross-validation: so many parts of the labelled patients are tested in turn.
    #[serde(default)]
    pub folds: Option<usize>,
    /// Data sets that are tested on.
    #[serde(default, rename = "test")]
    pub tests: Vec<TestSet>,
    /// Whether the report shows scans; faces and patients' marks stay out of what is passed on without.
    #[serde(default = "yes")]
    pub pictures: bool,
    /// Slices that pass the encoder in pre-training, the same for all methods …
    #[serde(default = "default_images")]
    pub images: usize,
    /// … and in each step.
    #[serde(default = "default_images_per_step")]
    pub images_per_step: usize,
    /// Settings of all pre-trainings, as in the `config.toml` of one.
    #[serde(default)]
    pretraining: Table,
    /// Settings of all fine-tunings, as in the `config.toml` of one.
    #[serde(default)]
    finetuning: Table,
    /// Methods with settings of their own, by name.
    #[serde(default, rename = "method")]
    own: BTreeMap<String, Own>,
    /// Whether masks are refined, too.
    #[serde(default)]
    pub refinement: Option<Refinement>,
    /// Other masks of the training scans, by what they are called: those that `polycl propagate` made, say.
    #[serde(default)]
    pub labels: BTreeMap<String, Labels>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    /// One of the list below, if that is not the table's name.
    base: Option<String>,
    /// What the report calls it.
    title: Option<String>,
    /// How the slices of a budget in slices are chosen.
    draw: Option<Draw>,
    pretraining: Table,
    finetuning: Table,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSet {
    pub name: String,
    pub dataset: PathBuf,
    #[serde(default)]
    pub domain: Option<String>,
    /// States that patients who have the name of one in the training data are other people.
    #[serde(default)]
    pub namesakes: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refinement {
    #[serde(deserialize_with = "named")]
    pub model: Model,
    #[serde(default)]
    pub weights: Option<PathBuf>,
    /// Only masks of these methods; of all without it.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Only masks at these budgets and at those of `slices`; at all without either.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    #[serde(default)]
    slices: Vec<usize>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// A data set of the same scans.
    pub dataset: PathBuf,
    /// Only these methods; all without it.
    #[serde(default)]
    pub methods: Vec<String>,
    #[serde(default)]
    pub finetuning: Table,
}

/// A network by its name.
fn named<'de, D: Deserializer<'de>>(from: D) -> Result<Model, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

fn three_seeds() -> Vec<u32> {
    vec![0, 1, 2]
}

fn yes() -> bool {
    true
}

fn default_images() -> usize {
    24_000
}

/// Eight triplets.
fn default_images_per_step() -> usize {
    24
}

/// Passes over which a pre-training's images are spread where the file does not say.
const EPOCHS: i64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected budgets that are numbers of patients, fractions of them, or \"all\"")]
pub enum Budget {
    Patients(usize),
    Fraction(f64),
    All(All),
    /// Drawn slices, which have a list of their own in the file.
    #[serde(skip)]
    Slices(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    All,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patients(count) => f.pad(&count.to_string()),
            Self::Fraction(part) => f.pad(&percent(*part)),
            Self::All(_) => f.pad("all"),
            Self::Slices(1) => f.pad("1 slice"),
            Self::Slices(count) => f.pad(&format!("{count} slices")),
        }
    }
}

/// "2.5 %": as written, whatever floating point makes of it.
pub fn percent(part: f64) -> String {
    format!("{} %", (part * 1e8).round() / 1e6)
}

/// The methods there are: name, what the report calls it, and its settings.
const METHODS: [(&str, &str, &str); 12] = [
    (SCRATCH, "scratch", ""),
    ("simclr", "SimCLR", "method = 'simclr'"),
    ("moco", "MoCo v2", "method = 'moco'"),
    ("byol", "BYOL", "method = 'byol'"),
    ("positional", "positional", "method = 'positional'"),
    ("mae", "MAE", "method = 'mae'"),
    ("scan", "PolyCL-S", "strategy = 'scan'\ndropout = 0.25"),
    ("organ", "PolyCL-O", "strategy = 'organ'\ndropout = 0.25"),
    ("mixed", "PolyCL-M", "strategy = 'mixed'\ndropout = 0.25"),
    ("scan-all", "PolyCL-S, all negatives", "strategy = 'scan'\nnegatives = 'all'"),
    ("organ-all", "PolyCL-O, all negatives", "strategy = 'organ'\nnegatives = 'all'"),
    ("mixed-all", "PolyCL-M, all negatives", "strategy = 'mixed'\nnegatives = 'all'"),
];

pub const SCRATCH: &str = "scratch";

/// A method with everything that its trainings have in common.
#[derive(Debug, Clone)]
pub struct Method {
    pub name: String,
    pub title: String,
    pub draw: Draw,
    /// `None` from scratch.
    pub pretraining: Option<PretrainConfig>,
    pub finetuning: FinetuneConfig,
    finetuning_table: Table,
}

impl Config {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut config: Self =
            toml::from_str(&text).map_err(|e| anyhow::anyhow!("{}: {}", path.display(), e.message()))?;
        config.budgets.extend(config.slices.iter().copied().map(Budget::Slices));
        if let Some(refinement) = &mut config.refinement {
            refinement.budgets.extend(refinement.slices.iter().copied().map(Budget::Slices));
        }
        config.check().with_context(|| path.display().to_string())?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.organs.is_empty(), "organs: expected what is to be segmented, found nothing");
        ensure!(!self.methods.is_empty(), "methods: expected at least one, found none");
        ensure!(!self.budgets.is_empty(), "budgets: expected at least one, or one in slices, found none");
        ensure!(!self.seeds.is_empty(), "seeds: expected at least one, found none");
        ensure!(
            self.folds.is_some() || !self.tests.is_empty(),
            "expected patients to test on, found neither [[test]] nor folds"
        );
        ensure!(self.folds.is_none_or(|folds| folds >= 2), "folds: expected at least 2");
        ensure!(self.images_per_step > 0, "images_per_step: expected at least 1, found 0");
        twice("methods", &self.methods)?;
        twice("seeds", &self.seeds)?;
        twice("budgets", &self.budgets)?;
        twice("test", &self.tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>())?;
        if let Some(budget) =
            self.refinement.iter().flat_map(|r| &r.budgets).find(|b| !self.budgets.contains(b))
        {
            bail!("refinement.budgets: expected budgets of the study, found {budget}");
        }
        let named = self.refinement.iter().flat_map(|refinement| &refinement.methods);
        let named = named.chain(self.labels.values().flat_map(|labels| &labels.methods)).chain(&self.primary);
        if let Some(unknown) = named.into_iter().find(|name| !self.methods.contains(name)) {
            bail!("expected one of the methods of the study, found '{unknown}'");
        }
        if let Some(unused) = self.own.keys().find(|name| !self.methods.contains(name)) {
            bail!("[method.{unused}]: expected one of the methods of the study");
        }
        self.check_slices()
    }

    /// The largest budget in slices, if there is one.
    pub fn most_slices(&self) -> Option<usize> {
        self.slices.iter().copied().max()
    }

    /// Whether some method trains itself within ranges.
    fn self_trains(&self) -> bool {
        let says = |table: &Table| table.get("self_train").and_then(toml::Value::as_bool) == Some(true);
        says(&self.finetuning) || self.own.values().any(|own| says(&own.finetuning))
    }

    /// What budgets in slices need, and what does not go with them.
    fn check_slices(&self) -> anyhow::Result<()> {
        let refused = |setting: &str, expected: &str, found: String, hint: &str| {
            Err(Error::new(setting, Kind::Request, expected, found).hint(hint).into())
        };
        let draws = self.draw.is_some() || self.own.values().any(|own| own.draw.is_some());
        if draws && self.slices.is_empty() {
            let hint =
                "name budgets in drawn slices, such as slices = [5, 10]; one in patients takes whole masks";
            return refused("draw", "budgets in slices to draw", "none".to_owned(), hint);
        }
        if self.slices.contains(&0) {
            let hint = "the smallest budget is one drawn slice";
            return refused("slices", "numbers of drawn slices from 1", "0".to_owned(), hint);
        }
        if !self.labels.is_empty() && self.self_trains() {
            let hint = "compare other masks and self-training in two studies";
            return refused("self_train", "no other masks beside it", "[labels]".to_owned(), hint);
        }
        match self.labels.keys().next() {
            Some(labels) if !self.slices.is_empty() => {
                let hint = "compare other masks at budgets of patients, in a study without slices";
                refused("slices", "no other masks beside them", format!("[labels.{labels}]"), hint)
            }
            _ => Ok(()),
        }
    }

    /// The methods in the order in which they are listed, with all settings but those of a single run.
    pub fn methods(&self) -> anyhow::Result<Vec<Method>> {
        self.methods
            .iter()
            .map(|name| self.method(name).with_context(|| format!("method '{name}'")))
            .collect()
    }

    fn method(&self, name: &str) -> anyhow::Result<Method> {
        let own = self.own.get(name).cloned().unwrap_or_default();
        let base = own.base.as_deref().unwrap_or(name);
        let known = METHODS.iter().find(|(known, ..)| *known == base).with_context(|| {
            let known = METHODS.map(|(name, ..)| name).join(", ");
            format!("expected one of {known}, or a table [method.{name}] with one of them as base")
        })?;
        let (_, title, settings) = known;
        let given = if own.base.is_some() { name } else { title };
        let mut finetuning_table = self.finetuning.clone();
        if base == SCRATCH {
            // What is said of all encoders is said of those that were pre-trained.
            finetuning_table.remove("encoder_rate");
            finetuning_table.remove("freeze");
        }
        overlay(&mut finetuning_table, own.finetuning);
        let finetuning = self.finetuning(finetuning_table.clone())?;
        let mut pretraining = None;
        if base == SCRATCH {
            ensure!(own.pretraining.is_empty(), "pretraining: expected nothing, for there is none");
        } else {
            let settings: Table = settings.parse().expect("the settings of methods are TOML");
            let mut table = self.shared(&settings);
            overlay(&mut table, settings);
            overlay(&mut table, own.pretraining);
            pretraining = Some(self.pretraining(table)?);
        }
        let title = own.title.unwrap_or_else(|| given.to_owned());
        let draw = own.draw.or(self.draw).unwrap_or_default();
        Ok(Method { name: name.to_owned(), title, draw, pretraining, finetuning, finetuning_table })
    }

    /// The settings of all pre-trainings, without those that a method of these settings does not know.
    fn shared(&self, settings: &Table) -> Table {
        let says = |key: &str| settings.get(key).and_then(|value| value.as_str());
        let mut table = self.pretraining.clone();
        if !matches!(says("strategy"), Some("organ" | "mixed")) {
            table.remove("organ");
        }
        if matches!(says("method"), Some("byol" | "mae")) {
            table.remove("temperature");
        }
        table
    }

    /// The network of all methods: their scores would tell of it otherwise.
    pub fn net(&self) -> anyhow::Result<Net> {
        let named = self.pretraining.get("net").or_else(|| self.finetuning.get("net"));
        Ok(named.cloned().map(Net::deserialize).transpose()?.unwrap_or_default())
    }

    fn pretraining(&self, mut table: Table) -> anyhow::Result<PretrainConfig> {
        for taken in ["domain", "exclude"] {
            ensure!(!table.contains_key(taken), "pretraining.{taken}: expected the study itself to say it");
        }
        table.entry("net").or_insert_with(|| self.net().unwrap_or_default().to_string().into());
        let strategy = table.get("strategy").and_then(|value| value.as_str()).unwrap_or("scan");
        if let ([organ], true) = (self.organs.as_slice(), strategy != "scan") {
            table.entry("organ").or_insert_with(|| organ.clone().into());
        }
        let training = table.entry("training").or_insert_with(|| Table::new().into());
        let training = training.as_table_mut().context("pretraining.training: expected a table")?;
        for taken in ["batch", "steps", "seed"] {
            ensure!(
                !training.contains_key(taken),
                "pretraining.training.{taken}: expected images, images_per_step and seeds of the study to say it"
            );
        }
        training.entry("epochs").or_insert_with(|| EPOCHS.into());
        table.entry("dropout").or_insert_with(|| 0.0.into());
        let mut config = PretrainConfig::deserialize(table)
            .map_err(|e| anyhow::anyhow!("pretraining: {}", e.message()))?;
        let (epochs, images) = (config.training.epochs.max(1), config.method.images());
        // Saturating: numbers so large that their product wraps around to 0 must not be divided by.
        let least = self.images_per_step.saturating_mul(epochs);
        let steps = self.images / least;
        let whole = self.images.is_multiple_of(least);
        ensure!(
            self.images_per_step.is_multiple_of(images) && whole && steps > 0,
            "images: expected a multiple of {} ({epochs} epochs of whole steps of {} images, {images} to an item), found {}",
            least,
            self.images_per_step,
            self.images
        );
        ensure!(config.net == self.net()?, "pretraining.net: expected the same network for all methods");
        config.training.batch = self.images_per_step / images;
        config.training.steps = Some(steps);
        config.domain = self.domain.clone();
        Ok(config)
    }

    fn finetuning(&self, table: Table) -> anyhow::Result<FinetuneConfig> {
        let mut config =
            FinetuneConfig::deserialize(table).map_err(|e| anyhow::anyhow!("finetuning: {}", e.message()))?;
        let said = [
            ("cases", config.cases.is_some()),
            ("fraction", config.fraction.is_some()),
            ("split", config.split.is_some()),
            ("drawn", config.drawn.is_some()),
            ("ranged", config.ranged.is_some()),
            ("encoder", config.encoder.is_some()),
            ("organs", !config.organs.is_empty()),
            ("domain", config.domain.is_some()),
            ("training.seed", config.training.seed != 0),
        ];
        if let Some((setting, _)) = said.into_iter().find(|(_, said)| *said) {
            bail!("finetuning.{setting}: expected the study itself to say it");
        }
        if config.validate && !self.slices.is_empty() {
            let (setting, expected) = ("finetuning.validate", "slices that all train");
            return Err(Error::new(setting, Kind::Request, expected, "patients spared for validation")
                .hint("leave `validate` out, or name budgets in patients alone")
                .into());
        }
        let net = self.net()?;
        ensure!(config.net.is_none_or(|own| own == net), "finetuning.net: expected the same network for all");
        config.net = Some(net);
        config.self_train.get_or_insert(false);
        config.organs.clone_from(&self.organs);
        config.domain.clone_from(&self.domain);
        Ok(config)
    }

    /// A method's fine-tuning on other masks.
    pub fn relabelled(&self, method: &Method, labels: &Labels) -> anyhow::Result<FinetuneConfig> {
        let mut table = method.finetuning_table.clone();
        overlay(&mut table, labels.finetuning.clone());
        self.finetuning(table)
    }
}

fn twice<T: PartialEq + fmt::Debug>(what: &str, list: &[T]) -> anyhow::Result<()> {
    let again = list.iter().enumerate().find(|(at, item)| list[..*at].contains(item));
    again.map_or(Ok(()), |(_, item)| bail!("{what}: expected each once, found {item:?} twice"))
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn numbers_of_images_that_overflow_are_refused() {
        let study = "dataset = 'x'\norgans = ['liver']\nmethods = ['scan']\nbudgets = [1]\nfolds = 2\n\
                     images = 10\nimages_per_step = 4294967296\npretraining.training.epochs = 4294967296\n";
        let config: Config = toml::from_str(study).unwrap();
        config.check().unwrap();
        // Wrapped around, the images of an epoch were 0, which was divided by.
        let refused = format!("{:#}", config.methods().unwrap_err());
        assert!(refused.contains("images: expected a multiple of"), "{refused}");
    }
}
