//! Names of the networks that can follow objects.

use std::fmt;
use std::str::FromStr;

use crate::sam::names::{named, names, serde_by_name, unknown};
use crate::{sam, sam2};

/// The name of a published network of either generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkName {
    Sam(sam::Model),
    Sam2(sam2::Model),
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sam(model) => model.fmt(f),
            Self::Sam2(model) => model.fmt(f),
        }
    }
}

serde_by_name!(NetworkName);

impl FromStr for NetworkName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (older, newer) = (&sam::config::NAMES, &sam2::config::NAMES);
        let found = named(older, text).map(Self::Sam).or_else(|| named(newer, text).map(Self::Sam2));
        found.ok_or_else(|| unknown(names(older).chain(names(newer)), text))
    }
}
