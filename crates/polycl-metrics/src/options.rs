//! The choices of an evaluation.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::EmptyPolicy;

/// The labels to score, and the rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Labels to score, as the first reference numbers them. Empty for every one that reference and
    /// prediction both name or, where one has no names, that one of the two masks holds.
    pub labels: BTreeSet<u16>,
    /// Tolerance of the normalised surface Dice in mm.
    pub tolerance: f64,
    pub empty: EmptyPolicy,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { labels: BTreeSet::new(), tolerance: 2.0, empty: EmptyPolicy::Worst, seed: 0 }
    }
}
