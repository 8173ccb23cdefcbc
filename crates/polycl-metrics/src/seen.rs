//! Which cases a model has seen. A score on such a case says little about new patients.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The exposure of a model to a case, from least to most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    #[default]
    No,
    /// Its voxels were seen in training, without its mask: its encoder was pre-trained on them, or a teacher drew on them.
    Pretraining,
    /// It chose the checkpoint.
    Validation,
    /// The weights were fitted to its mask.
    Training,
}

impl Seen {
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Pretraining => "pretraining",
            Self::Validation => "validation",
            Self::Training => "training",
        }
    }

    /// True if the case's mask took part in the making of the model.
    pub fn trained(self) -> bool {
        self >= Self::Validation
    }
}

/// The cases (or patients: a lone scan is named after its patient) that made a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenCases(BTreeMap<String, Seen>);

impl SeenCases {
    /// Notes what was seen of `cases`; what tells most of a case stays.
    pub fn add(&mut self, cases: impl IntoIterator<Item = String>, seen: Seen) {
        for case in cases {
            let known = self.0.entry(case).or_default();
            *known = seen.max(*known);
        }
    }

    pub fn of(&self, case: &str) -> Seen {
        self.0.get(case).copied().unwrap_or_default()
    }
}
