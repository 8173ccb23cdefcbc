//! The settings of a study's trainings: what the file says, and what the study says itself.

use anyhow::{Context, bail, ensure};
use polycl_base::{Error, Kind, Subject};
use polycl_nn::net::Net;
use polycl_nn::train::finetune::FinetuneConfig;
use polycl_nn::train::pretrain::PretrainConfig;
use serde::Deserialize;
use toml::Table;

use super::methods::sorts_by_organ;
use super::{Config, Labels, StudyMethod};
use crate::settings::overlay;

/// Passes over which a pre-training's images are spread where the file does not say.
const EPOCHS: i64 = 10;

impl Config {
    /// The network of all methods: their scores would tell of it otherwise.
    pub fn net(&self) -> anyhow::Result<Net> {
        let named = self.pretraining.get("net").or_else(|| self.finetuning.get("net"));
        Ok(named.cloned().map(Net::deserialize).transpose()?.unwrap_or_default())
    }

    pub(super) fn pretraining(&self, mut table: Table) -> anyhow::Result<PretrainConfig> {
        for taken in ["domain", "exclude"] {
            ensure!(
                !table.contains_key(taken),
                "pretraining.{taken}: expected no such setting, for the study itself decides it"
            );
        }
        table.entry("net").or_insert_with(|| self.net().unwrap_or_default().to_string().into());
        let training = table.entry("training").or_insert_with(|| Table::new().into());
        let training = training.as_table_mut().context("pretraining.training: expected a table")?;
        for taken in ["batch", "steps", "seed"] {
            ensure!(
                !training.contains_key(taken),
                "pretraining.training.{taken}: expected no such setting, for images, images_per_step and seeds of the study decide it"
            );
        }
        training.entry("epochs").or_insert_with(|| EPOCHS.into());
        table.entry("dropout").or_insert_with(|| 0.0.into());
        let mut config = PretrainConfig::deserialize(table)
            .map_err(|e| anyhow::anyhow!("pretraining: {}", e.message()))?;
        if let ([organ], true) = (self.organs.as_slice(), sorts_by_organ(config.strategy)) {
            config.organ.get_or_insert_with(|| organ.clone());
        }
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

    pub(super) fn finetuning(&self, table: Table) -> anyhow::Result<FinetuneConfig> {
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
            bail!("finetuning.{setting}: expected no such setting, for the study itself decides it");
        }
        if config.validate && !self.slices.is_empty() {
            let (setting, expected) =
                (Subject::Setting("finetuning.validate".into()), "slices that all train");
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
        config.accept_reviewed |= self.accept_reviewed;
        Ok(config)
    }

    /// A method's fine-tuning on other masks.
    pub fn relabelled(&self, method: &StudyMethod, labels: &Labels) -> anyhow::Result<FinetuneConfig> {
        let mut table = method.finetuning_table.clone();
        overlay(&mut table, labels.finetuning.clone());
        self.finetuning(table)
    }
}
