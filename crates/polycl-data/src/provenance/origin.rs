use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who drew the masks of a scan, from the most to the least believable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A person. Only such masks are truth: they validate, and `evaluate` scores against them.
    #[default]
    Hand,
    /// A person who looked at what a machine had proposed, mended it, and called it done: `polycl serve`.
    Reviewed,
    /// `polycl propagate`, from slices that a person has drawn.
    Propagated,
    /// A network: `polycl predict` or `polycl refine`.
    Predicted,
}

impl Origin {
    pub const ALL: [Self; 4] = [Self::Hand, Self::Reviewed, Self::Propagated, Self::Predicted];

    pub fn is_hand(&self) -> bool {
        *self == Self::Hand
    }

    /// Counts of each origin, in words: "3 by hand, 2 propagated".
    pub fn counts(origins: impl IntoIterator<Item = Self>) -> String {
        let origins = Vec::from_iter(origins);
        let count = |origin: Self| origins.iter().filter(|&&other| other == origin).count();
        let words = |origin: Self| match origin {
            Self::Hand => "by hand".to_owned(),
            _ => origin.to_string(),
        };
        let some = Self::ALL.into_iter().filter(|&origin| count(origin) > 0);
        some.map(|origin| format!("{} {}", count(origin), words(origin))).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hand => "hand",
            Self::Reviewed => "reviewed",
            Self::Propagated => "propagated",
            Self::Predicted => "predicted",
        })
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let named = |origin: &Self| origin.to_string() == text;
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| "expected hand, reviewed, propagated or predicted".to_owned())
    }
}
