//! A study as a person writes it down.

mod budget;
mod check;
mod methods;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use polycl_nn::sam::Model;
use serde::{Deserialize, Deserializer};
use toml::Table;

use super::draw::Draw;
pub use budget::Budget;
pub use methods::{SCRATCH, StudyMethod};

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
    /// The organs that are segmented.
    pub organs: Vec<String>,
    /// Names that `methods.rs` lists, or those of `method` tables.
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
    /// The choice of those slices, for methods that do not say it.
    #[serde(default)]
    draw: Option<Draw>,
    /// Also scores masks with an organ's voxels outside its true slices set to zero.
    #[serde(default)]
    pub oracle: bool,
    /// Seeds of everything random: who is labelled, first weights, order.
    #[serde(default = "three_seeds")]
    pub seeds: Vec<u32>,
    /// Cross-validation: so many parts of the labelled patients are tested in turn.
    #[serde(default)]
    pub folds: Option<usize>,
    /// Takes masks, too, that a machine proposed and a person reviewed, as drawn by hand.
    #[serde(default)]
    pub accept_reviewed: bool,
    /// Data sets that are tested on.
    #[serde(default, rename = "test")]
    pub tests: Vec<TestSet>,
    /// Shows scans in the report; faces and patients' marks stay out of what is passed on without.
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
    /// Refines masks, too.
    #[serde(default)]
    pub refinement: Option<Refinement>,
    /// Other masks of the training scans, by what they are called: those that `polycl propagate` made, say.
    #[serde(default)]
    pub labels: BTreeMap<String, Labels>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    /// One of those that `methods.rs` lists, if that is not the name of the table.
    base: Option<String>,
    /// Its name in the report.
    title: Option<String>,
    /// The choice of the slices of a budget in slices.
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

impl Config {
    /// Reads the text of a file; `path` is named in errors.
    pub fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let mut config: Self =
            toml::from_str(text).map_err(|e| anyhow::anyhow!("{}: {}", path.display(), e.message()))?;
        config.budgets.extend(config.slices.iter().copied().map(Budget::Slices));
        if let Some(refinement) = &mut config.refinement {
            refinement.budgets.extend(refinement.slices.iter().copied().map(Budget::Slices));
        }
        config.check().with_context(|| path.display().to_string())?;
        Ok(config)
    }

    /// The largest budget in slices, if there is one.
    pub fn most_slices(&self) -> Option<usize> {
        self.slices.iter().copied().max()
    }
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
        let refused = polycl_base::told(config.methods().unwrap_err().as_ref());
        assert!(refused.contains("images: expected a multiple of"), "{refused}");
    }

    #[test]
    fn filters_that_nothing_pre_trained_cannot_be_shuffled() {
        let study = "dataset = 'x'\norgans = ['liver']\nmethods = ['METHOD']\nbudgets = [1]\nfolds = 2\n\
                     [method.scratch.finetuning]\nshuffled_encoder = true\n\
                     [method.simclr.finetuning]\nshuffled_encoder = true\n";
        let methods = |name| toml::from_str::<Config>(&study.replace("METHOD", name)).unwrap().methods();
        assert!(methods("simclr").unwrap()[0].finetuning.shuffled_encoder);
        let refused = polycl_base::told(methods("scratch").unwrap_err().as_ref());
        assert!(refused.contains("method 'scratch': finetuning: expected no shuffled_encoder"), "{refused}");
    }
}
