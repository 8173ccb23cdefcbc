//! The settings of a fine-tuning.

use std::collections::BTreeMap;
use std::path::PathBuf;

use polycl_base::{Error, Kind, Result};
use polycl_data::Dataset;
use polycl_data::split::Split;
use serde::{Deserialize, Serialize};

use crate::loss::SegmentationLoss;
use crate::net::Net;
use crate::train::{Augment, LabelWeight, Settings};

/// The whole of a fine-tuning's `config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FinetuneConfig {
    /// The run whose encoder to begin with; from scratch without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PathBuf>,
    /// Negative control: the values of each of its filters in random order, which keeps their norm and mean, not their form.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shuffled_encoder: bool,
    /// The network, where no run says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<Net>,
    /// Organs to segment; every organ of the data set where none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organs: Vec<String>,
    /// Labelled patients to use, validation included and those labelled by hand first …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cases: Option<usize>,
    /// … or the fraction of them; all of them without either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// … or who trains and who validates, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// The drawn slices of each case, by the store's numbers, as if no others had been drawn; slices that are known
    /// not to show the organs train beside them, all others do not. Whole masks without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<BTreeMap<String, Vec<usize>>>,
    /// Lets a first network, trained on the masks alone, draw within named ranges on scans without masks, and on slices
    /// left undrawn; a second one learns from it as well. On where there are such scans, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_train: Option<bool>,
    /// The cases that are drawn on so, as if they had no masks; all that have none, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranged: Option<Vec<String>>,
    /// Negative control: each of those scans has another one's ranges.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub permuted_ranges: bool,
    /// Keeps one in five labelled patients from training, to choose the best checkpoint; without it
    /// all train, and the last weights are the result.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub validate: bool,
    /// Masks that a person reviewed validate as those that a person drew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accept_reviewed: bool,
    /// Only scans of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    pub loss: SegmentationLoss,
    /// The part of every batch that shows an organ; 0 takes slices as they come. Half without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreground: Option<f64>,
    /// Probability of dropout at the end of each block of the U-Net.
    pub dropout: f64,
    /// Weight of slices that no person has drawn; left out where a person drew them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_weight: Option<LabelWeight>,
    /// Epochs for which the encoder stays as it was pre-trained.
    pub freeze: usize,
    /// The encoder's learning rate as a part of the decoder's; 1 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_rate: Option<f64>,
    /// Epochs without a better validation score, or without a lower training loss where nobody validates, after
    /// which training ends; 0 goes on to the last.
    pub patience: usize,
    pub augment: Augment,
    pub training: Settings,
    /// The network is also told where in each organ's range a slice lies, as only a teacher's can be.
    #[serde(skip)]
    pub told_heights: bool,
}

/// Part of a batch that shows an organ.
pub const FOREGROUND: f64 = 0.5;
/// The encoder's learning rate as a part of the decoder's.
pub const ENCODER_RATE: f64 = 1.0;
/// Steps an epoch: few labels need no fewer steps than many.
pub const STEPS: usize = 125;
/// Learning rate at its highest, part of the steps that warm up, and what the running mean of the weights keeps.
pub const RATE: f64 = 2e-3;
pub const WARMUP: f64 = 0.05;
pub const AVERAGE: f64 = 0.99;

pub(super) fn settings_make_sense(dataset: &Dataset, config: &FinetuneConfig) -> Result<()> {
    crate::train::check(&dataset.dir, &config.training)?;
    config.augment.check().map_err(|found| {
        Error::new(&dataset.dir, Kind::Request, "an augmentation within its limits", found)
    })?;
    let parts =
        [("foreground", config.foreground.unwrap_or(FOREGROUND), 1.0), ("dropout", config.dropout, 0.95)];
    if let Some((name, found, most)) =
        parts.into_iter().find(|&(_, part, most)| !(0.0..=most).contains(&part))
    {
        let expected = format!("a {name} of 0 to {most}");
        return Err(Error::new(&dataset.dir, Kind::Request, expected, found.to_string()));
    }
    if let Some(rate) = config.encoder_rate.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
        let expected = "a part of the learning rate above 0 for the encoder";
        return Err(Error::new(&dataset.dir, Kind::Request, expected, rate.to_string())
            .hint("give --freeze to keep the encoder as it is"));
    }
    Ok(())
}
