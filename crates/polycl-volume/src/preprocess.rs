//! From a scan's voxels to network slices and back: canonical orientation, intensity window,
//! in-plane resize. The same code serves import and prediction, so the two cannot drift apart.

use serde::{Deserialize, Serialize};

/// How slices are prepared. Saved with the data set and with every run trained on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocess {
    /// Side of the square network slice in pixels; a multiple of 32.
    pub size: usize,
    /// Intensity window in HU: its centre and its width.
    pub window: [f32; 2],
    pub fit: Fit,
    pub normalise: Normalise,
    /// Central fraction of each scan's slices that enters the data set, in (0, 1].
    pub keep: f64,
}

/// How a plane that is not square becomes a square slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Stretch both sides to the size.
    Stretch,
    /// Keep the aspect of the pixels and pad with the lower end of the window.
    Pad,
}

/// What the window's two ends are mapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// 0 and 1.
    Unit,
    /// As the published code does, for reproduction: (HU + 3055) / 8866 after windowing.
    Published,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self { size: 256, window: [40.0, 400.0], fit: Fit::Stretch, normalise: Normalise::Unit, keep: 1.0 }
    }
}
