//! The methods there are, and those a study compares.

use anyhow::{Context, ensure};
use polycl_nn::select::Strategy;
use polycl_nn::train::finetune::FinetuneConfig;
use polycl_nn::train::pretrain::{Method, Negatives, PretrainConfig};
use serde::Serialize;
use toml::Table;

use super::Config;
use crate::settings::overlay;
use crate::study::draw::Draw;

/// A method by its name in a study's file.
struct Known {
    name: &'static str,
    /// Its name in the report.
    title: &'static str,
    /// `None` from scratch.
    pretraining: Option<Settings>,
}

/// The settings that make a pre-training the method it is. They are laid over those of all pre-trainings, so that
/// what is left open here stays as the file says.
#[derive(Clone, Copy, Serialize)]
struct Settings {
    method: Option<Method>,
    strategy: Option<Strategy>,
    negatives: Option<Negatives>,
    dropout: Option<f64>,
}

pub const SCRATCH: &str = "scratch";

const METHODS: [Known; 12] = [
    Known { name: SCRATCH, title: "scratch", pretraining: None },
    compared("simclr", "SimCLR", Method::Simclr),
    compared("moco", "MoCo v2", Method::Moco),
    compared("byol", "BYOL", Method::Byol),
    compared("positional", "positional", Method::Positional),
    compared("mae", "MAE", Method::Mae),
    published("scan", "PolyCL-S", Strategy::Scan),
    published("organ", "PolyCL-O", Strategy::Organ),
    published("mixed", "PolyCL-M", Strategy::Mixed),
    all_negatives("scan-all", "PolyCL-S, all negatives", Strategy::Scan),
    all_negatives("organ-all", "PolyCL-O, all negatives", Strategy::Organ),
    all_negatives("mixed-all", "PolyCL-M, all negatives", Strategy::Mixed),
];

/// A method that PolyCL is compared with.
const fn compared(name: &'static str, title: &'static str, method: Method) -> Known {
    let settings = Settings { method: Some(method), strategy: None, negatives: None, dropout: None };
    Known { name, title, pretraining: Some(settings) }
}

/// PolyCL as published.
const fn published(name: &'static str, title: &'static str, strategy: Strategy) -> Known {
    let settings = Settings { method: None, strategy: Some(strategy), negatives: None, dropout: Some(0.25) };
    Known { name, title, pretraining: Some(settings) }
}

const fn all_negatives(name: &'static str, title: &'static str, strategy: Strategy) -> Known {
    let negatives = Some(Negatives::All);
    let settings = Settings { method: None, strategy: Some(strategy), negatives, dropout: None };
    Known { name, title, pretraining: Some(settings) }
}

impl Settings {
    fn knows(&self, setting: &str) -> bool {
        let asked = setting != "organ" || sorts_by_organ(self.strategy);
        asked && self.method.unwrap_or_default().knows(setting)
    }
}

/// True for the strategies that need an organ; the other one refuses it.
pub(super) fn sorts_by_organ(strategy: Option<Strategy>) -> bool {
    matches!(strategy, Some(Strategy::Organ | Strategy::Mixed))
}

/// A method with everything that its trainings have in common.
#[derive(Debug, Clone)]
pub struct StudyMethod {
    pub name: String,
    pub title: String,
    pub draw: Draw,
    /// `None` from scratch.
    pub pretraining: Option<PretrainConfig>,
    pub finetuning: FinetuneConfig,
    /// The same before it was read, for other masks to lay their settings over.
    pub(super) finetuning_table: Table,
}

impl Config {
    /// The methods in the order in which they are listed, with all settings but those of a single run.
    pub fn methods(&self) -> anyhow::Result<Vec<StudyMethod>> {
        self.methods
            .iter()
            .map(|name| self.method(name).with_context(|| format!("method '{name}'")))
            .collect()
    }

    fn method(&self, name: &str) -> anyhow::Result<StudyMethod> {
        let own = self.own.get(name).cloned().unwrap_or_default();
        let base = own.base.as_deref().unwrap_or(name);
        let known = METHODS.iter().find(|known| known.name == base).with_context(|| {
            let known = METHODS.map(|known| known.name).join(", ");
            format!("expected one of {known}, or a table [method.{name}] with one of them as base")
        })?;
        let given = if own.base.is_some() { name } else { known.title };
        let mut finetuning_table = self.finetuning.clone();
        if known.pretraining.is_none() {
            // What is said of all encoders is said of those that were pre-trained.
            finetuning_table.remove("encoder_rate");
            finetuning_table.remove("freeze");
        }
        overlay(&mut finetuning_table, own.finetuning);
        let finetuning = self.finetuning(finetuning_table.clone())?;
        let pretraining = match &known.pretraining {
            Some(settings) => Some(self.pretrained(settings, own.pretraining)?),
            None => {
                ensure!(
                    own.pretraining.is_empty(),
                    "pretraining: expected no settings, for this method has no pre-training"
                );
                ensure!(
                    !finetuning.shuffled_encoder,
                    "finetuning: expected no shuffled_encoder, for this method has no pre-training"
                );
                None
            }
        };
        let title = own.title.unwrap_or_else(|| given.to_owned());
        let draw = own.draw.or(self.draw).unwrap_or_default();
        Ok(StudyMethod { name: name.to_owned(), title, draw, pretraining, finetuning, finetuning_table })
    }

    /// The settings of all pre-trainings, those that make the method over them, and its own over both.
    fn pretrained(&self, settings: &Settings, own: Table) -> anyhow::Result<PretrainConfig> {
        let mut table = self.pretraining.clone();
        // Both may stand there for the methods that know them.
        for setting in ["organ", "temperature"] {
            if !settings.knows(setting) {
                table.remove(setting);
            }
        }
        overlay(&mut table, Table::try_from(settings)?);
        overlay(&mut table, own);
        self.pretraining(table)
    }
}
