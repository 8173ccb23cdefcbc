//! The fine-tuning that is about to begin, for the person who started it.

use polycl_data::Origin;
use serde::Serialize;

use crate::train::LabelWeight;

/// Who and what will train; watchers hear it before the first step.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    pub organs: Vec<String>,
    pub training_patients: usize,
    /// Scans of which no slice is drawn that shows the organ, though some do: they take no part.
    pub bare: usize,
    pub validation_patients: usize,
    pub slices: usize,
    /// Slices among them that show an organ.
    pub shown: usize,
    /// Slices of the training scans that count for nothing.
    pub left_out: usize,
    /// Slices within named ranges that a first network will draw, and of how many scans.
    pub taught: (usize, usize),
    /// True if all others count alike.
    pub alike: bool,
    /// Who drew the masks of the training scans.
    pub origins: Vec<Origin>,
    pub label_weight: Option<LabelWeight>,
    pub flip: bool,
    /// True if flips were asked for and cannot be.
    pub unflipped: bool,
    /// True if validation was asked for and cannot be.
    pub unvalidated: bool,
    /// Scans with masks that do not draw every organ, and so take no part.
    pub partial: usize,
}
