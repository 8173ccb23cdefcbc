//! The ways to pre-train, and the settings of each.

use std::fmt;

use polycl_base::{Error, Kind, Result};
use polycl_data::Dataset;
use serde::{Deserialize, Serialize};

use super::masking::Masking;
use crate::loss::ContrastiveLoss;
use crate::net::Net;
use crate::select::Strategy;
use crate::train::{Settings, Views};

/// A way to pre-train: one file each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Triplets of slices by one of the strategies.
    #[default]
    Polycl,
    Simclr,
    Moco,
    Byol,
    /// Slices at a similar relative height are positives.
    Positional,
    /// A masked autoencoder.
    Mae,
}

impl Method {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// True for a setting of [`PretrainConfig`] that means something to this method.
    pub fn knows(self, setting: &str) -> bool {
        match setting {
            "strategy" | "organ" | "negatives" | "loss" | "fixed_triplets" => self == Self::Polycl,
            "momentum" => matches!(self, Self::Moco | Self::Byol),
            "positional" => self == Self::Positional,
            "masking" => self == Self::Mae,
            "temperature" => !matches!(self, Self::Byol | Self::Mae),
            _ => true,
        }
    }

    /// Slices that pass the encoder for every item of a batch.
    pub fn images(self) -> usize {
        match self {
            Self::Polycl => 3,
            Self::Simclr | Self::Moco | Self::Byol | Self::Positional => 2,
            Self::Mae => 1,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Polycl => "polycl",
            Self::Simclr => "simclr",
            Self::Moco => "moco",
            Self::Byol => "byol",
            Self::Positional => "positional",
            Self::Mae => "mae",
        })
    }
}

/// The whole of a pre-training's `config.toml`. Settings that only some methods know are refused under
/// the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PretrainConfig {
    #[serde(skip_serializing_if = "Method::is_default")]
    pub method: Method,
    /// The choice of positives and negatives by PolyCL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The organ whose presence sorts the slices, for strategies `organ` and `mixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organ: Option<String>,
    /// Only scans of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Patients who take no part, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    pub net: Net,
    /// Loss of PolyCL.
    pub loss: ContrastiveLoss,
    /// τ of all methods that divide by one; 0.2 for MoCo v2 and 0.1 for all others, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Draws the triplets of the first epoch for all, as the published code of PolyCL does.
    pub fixed_triplets: bool,
    /// Negatives of PolyCL; one without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negatives: Option<Negatives>,
    /// Views of the methods that compare two; PolyCL and the autoencoder take slices as they
    /// are, unless this is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views: Option<Views>,
    /// Momentum of MoCo and BYOL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<Momentum>,
    /// Threshold of positional contrastive learning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positional: Option<Threshold>,
    /// Masking of the masked autoencoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masking: Option<Masking>,
    /// Probability of dropout at the end of each block of the U-Net; the paper's without it, which moves an embedding
    /// further than another slice does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    pub training: Settings,
}

/// The network that follows, as a running mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Momentum {
    /// Decay per step of that mean.
    pub rate: f64,
    /// Keys that MoCo remembers.
    pub queue: usize,
}

impl Default for Momentum {
    /// The papers' 0.996 and 0.999 and 65,536 keys are for hundreds of thousands of steps.
    fn default() -> Self {
        Self { rate: 0.99, queue: 1024 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Threshold {
    /// Largest difference of relative height between positives, as a part of the scan.
    pub threshold: f32,
}

impl Default for Threshold {
    /// The paper's.
    fn default() -> Self {
        Self { threshold: 0.1 }
    }
}

/// The paper's, and all that earlier versions knew.
const PUBLISHED_DROPOUT: f64 = 0.25;
/// Learning rate of every method where the settings name none.
pub const RATE: f64 = 3e-4;

impl PretrainConfig {
    /// The temperature asked for, or the method's own.
    pub fn temperature(&self) -> f32 {
        self.temperature.unwrap_or(if self.method == Method::Moco { 0.2 } else { 0.1 })
    }

    pub fn dropout(&self) -> f64 {
        self.dropout.unwrap_or(PUBLISHED_DROPOUT)
    }

    /// Writes into the settings what was left open, so that the run's file holds what was done.
    pub(super) fn resolve(&mut self) {
        self.training.rate.get_or_insert(RATE);
        match self.method {
            Method::Mae => drop(self.masking.get_or_insert_default()),
            Method::Polycl | Method::Simclr => {}
            Method::Moco | Method::Byol => drop(self.momentum.get_or_insert_default()),
            Method::Positional => drop(self.positional.get_or_insert_default()),
        }
        if self.method.images() == 2 {
            self.views.get_or_insert_default();
        }
        if self.method.knows("temperature") {
            self.temperature = Some(self.temperature());
        }
    }

    /// # Errors
    /// [`Kind::Request`] for values that make no sense, and for settings that the method does not know.
    pub(super) fn check(&self, dataset: &Dataset) -> Result<()> {
        let refused =
            |expected: &str, found: String| Err(Error::new(&dataset.dir, Kind::Request, expected, found));
        if !(self.temperature() > 0.0 && self.temperature().is_finite()) {
            return refused("a temperature above 0", self.temperature().to_string());
        }
        let given = [
            ("strategy", self.strategy.is_some()),
            ("organ", self.organ.is_some()),
            ("negatives", self.negatives.is_some()),
            ("loss", self.loss != ContrastiveLoss::default()),
            ("fixed_triplets", self.fixed_triplets),
            ("momentum", self.momentum.is_some()),
            ("positional", self.positional.is_some()),
            ("masking", self.masking.is_some()),
            ("temperature", self.temperature.is_some()),
        ];
        if let Some((setting, _)) =
            given.into_iter().find(|(setting, given)| *given && !self.method.knows(setting))
        {
            let expected = format!("settings that method {} knows", self.method);
            return refused(&expected, format!("'{setting}'"));
        }
        if self.negatives == Some(Negatives::All) && self.loss == ContrastiveLoss::Euclidean {
            return refused("the cosine loss with all negatives", "the Euclidean loss".to_owned());
        }
        if !(0.0..=0.95).contains(&self.dropout()) {
            return refused("a dropout of 0 to 0.95", self.dropout().to_string());
        }
        let momentum = self.momentum.unwrap_or_default();
        if !((0.0..1.0).contains(&momentum.rate) && (1..=1 << 20).contains(&momentum.queue)) {
            let found = format!("a rate of {} and {} keys", momentum.rate, momentum.queue);
            return refused("a momentum from 0 to below 1 and up to 1,048,576 keys", found);
        }
        let threshold = self.positional.unwrap_or_default().threshold;
        if !(0.0..=1.0).contains(&threshold) {
            return refused("a threshold from 0 to 1", threshold.to_string());
        }
        let masking = self.masking.filter(|_| self.method.knows("masking"));
        let odd = masking.map_or(Ok(()), |masking| masking.check(dataset.index.preprocess.size));
        odd.and_then(|()| self.views.map_or(Ok(()), |views| views.check()))
            .or_else(|found| refused("settings within their limits", found))
    }
}

/// The slices that an anchor is told from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Negatives {
    /// The negative of its triplet, as published.
    #[default]
    One,
    /// Every slice of the batch that the strategy could have drawn as its negative.
    All,
}
