//! The arms of a study: methods with the masks they learn from.

use std::path::PathBuf;

use anyhow::Context;
use polycl_nn::train::finetune::FinetuneConfig;

use crate::study::config::{Config, Labels, StudyMethod};

/// One way to get a network: a method, and the masks it learns from.
pub struct Arm {
    pub method: StudyMethod,
    /// Name of other masks than the data set's.
    pub labels: Option<String>,
    pub title: String,
    pub(super) dataset: PathBuf,
    pub(super) finetuning: FinetuneConfig,
}

/// The methods on masks drawn by hand, then those on other masks.
pub fn of(config: &Config) -> anyhow::Result<Vec<Arm>> {
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
        let wanted =
            |method: &&StudyMethod| labels.methods.is_empty() || labels.methods.contains(&method.name);
        for method in methods.iter().filter(wanted) {
            arms.push(relabelled(config, method, name, labels)?);
        }
    }
    Ok(arms)
}

fn relabelled(config: &Config, method: &StudyMethod, name: &str, labels: &Labels) -> anyhow::Result<Arm> {
    Ok(Arm {
        method: method.clone(),
        labels: Some(name.to_owned()),
        title: format!("{}, {name} masks", method.title),
        dataset: labels.dataset.clone(),
        finetuning: config.relabelled(method, labels).with_context(|| format!("labels.{name}"))?,
    })
}
