//! Networks that can follow objects, by name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use polycl_volume::Result;

use super::boxes::Boxes;
use super::memory::Memory;
use super::tracker::Tracker;
use crate::device::Device;
use crate::sam::names::{named, names, unknown};
use crate::sam::{self, Embedder, Sam};
use crate::sam2::{self, Sam2};
use crate::weights::{self, Weights};

/// A published network of either generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Sam(sam::Model),
    Sam2(sam2::Model),
}

impl Network {
    /// A tracker with the weights of a file; `wanted` names the network where its tensors do not tell.
    /// `cache` is where embeddings of the first generation are kept, if they are.
    ///
    /// # Errors
    /// As [`weights::read`], and those of wrong tensors.
    pub fn open(
        path: &Path,
        wanted: Option<Self>,
        device: Device,
        cache: Option<PathBuf>,
    ) -> Result<(Self, Tracker)> {
        let weights = Weights::new(path, weights::read(path)?, &device.open());
        let newer = match wanted {
            Some(wanted) => matches!(wanted, Self::Sam2(_)),
            None => sam2::Model::is_of(&weights),
        };
        if newer {
            let wanted = if let Some(Self::Sam2(model)) = wanted { Some(model) } else { None };
            let model = sam2::Model::recognise(&weights, wanted)?;
            let network = Sam2::load(weights, model.config())?;
            return Ok((Self::Sam2(model), Tracker::Memory(Memory::new(model, network, device))));
        }
        let wanted = if let Some(Self::Sam(model)) = wanted { Some(model) } else { None };
        let model = sam::Model::recognise(&weights, wanted)?;
        let embedder = Embedder::new(model, Sam::load(weights, model.config())?, device, cache);
        Ok((Self::Sam(model), Tracker::Boxes(Boxes::new(embedder))))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sam(model) => model.fmt(f),
            Self::Sam2(model) => model.fmt(f),
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (older, newer) = (&sam::config::NAMES, &sam2::config::NAMES);
        let found = named(older, text).map(Self::Sam).or_else(|| named(newer, text).map(Self::Sam2));
        found.ok_or_else(|| unknown(names(older).chain(names(newer)), text))
    }
}
