//! How much each slice of a fine-tuning counts.

use polycl_volume::dataset::Scan;
use serde::{Deserialize, Serialize};

/// What decides how much a slice counts whose mask no person has drawn. A slice that a person has
/// drawn always counts in full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelWeight {
    /// The confidence of propagation, the lowest of the organs segmented: a slice in which nobody
    /// has looked for one of them does not count at all. In full where none is known, as in predictions.
    #[default]
    Confidence,
    /// All slices alike, as if all had been drawn by hand.
    Equal,
    /// Nothing: only slices count in which a person has drawn every organ.
    Drawn,
}

impl LabelWeight {
    pub fn of(self, scan: &Scan, organs: &[String], slice: usize) -> f32 {
        match self {
            Self::Confidence => organs.iter().map(|o| scan.confidence(o, slice)).fold(1.0, f32::min),
            Self::Equal => 1.0,
            Self::Drawn => f32::from(u8::from(organs.iter().all(|organ| scan.by_hand(organ, slice)))),
        }
    }
}
