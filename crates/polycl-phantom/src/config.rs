//! The settings of a cohort.

use std::fmt;

/// Two hospitals. `A`: mostly portal phase, smooth kernel, files in LPS. `B`: a sharper and noisier
/// scanner at a lower tube voltage with thicker slices, streaks and a wrong calibration, heavier
/// patients, more arterial and native scans, files in RAS or LAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    A,
    B,
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// A cohort. Patient `i` depends on `seed`, `domain` and `i` alone: a larger cohort begins with the
/// smaller one's patients.
#[derive(Debug, Clone)]
pub struct Config {
    pub seed: u64,
    pub domain: Domain,
    /// Pixels along each side of the square planes.
    pub size: usize,
    /// Number of planes over the scanned length of 22 to 23 cm; by default the patient's own slice
    /// distance decides (4.5 to 6.5 mm: 34 to 52 slices).
    pub slices: Option<usize>,
}
