//! A cohort of phantom patients.

use std::path::PathBuf;

use polycl_base::{Result, Watch};
use polycl_phantom::{Config, Domain, cohort};
use serde::{Deserialize, Serialize};

/// Patients to draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub out: PathBuf,
    pub patients: usize,
    /// Number of the first patient.
    #[serde(default)]
    pub first: usize,
    pub domain: Domain,
    /// Side of the square slices in pixels.
    pub size: usize,
    pub seed: u64,
}

/// Writes the cohort, whole or not at all.
///
/// # Errors
/// As [`cohort::write`].
pub fn run(request: &Request, watch: &dyn Watch) -> Result<()> {
    let Request { out, patients, first, domain, size, seed } = request;
    let config = Config { seed: *seed, domain: *domain, size: *size, slices: None };
    watch.task("phantom");
    cohort::write(&config, *first..first + patients, out, watch)
}
