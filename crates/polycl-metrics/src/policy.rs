//! The policy for a label that one mask has and the other has not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The scores of a case for a label that only one of its two masks holds. Where both masks lack the
/// label nothing can be scored: that is undefined under every policy, left out of means and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmptyPolicy {
    /// The worst possible: 0 for Dice, IoU and NSD, the image diagonal for HD, HD95 and ASSD.
    #[default]
    Worst,
    /// Undefined, and left out of the label's means.
    Skip,
    /// Undefined, and so is every mean over it.
    Nan,
}

impl EmptyPolicy {
    pub const ALL: [Self; 3] = [Self::Worst, Self::Skip, Self::Nan];

    /// One line for people, to stand beside every result.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Worst => {
                "where only one mask has the label, Dice, IoU and NSD count as 0, distances as the image diagonal"
            }
            Self::Skip => "where only one mask has the label, the case is left out of the means",
            Self::Nan => "where only one mask has the label, the means are undefined",
        }
    }
}

impl fmt::Display for EmptyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Worst => "worst",
            Self::Skip => "skip",
            Self::Nan => "nan",
        })
    }
}

impl FromStr for EmptyPolicy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let policy = Self::ALL.into_iter().find(|policy| policy.to_string() == name);
        policy.ok_or_else(|| "expected worst, skip or nan".to_owned())
    }
}

/// Which of the two masks of a case hold a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Both,
    /// Only the reference: the prediction misses it.
    Missed,
    /// Only the prediction: there is nothing to find.
    FalseAlarm,
    Neither,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Missed => "missed",
            Self::FalseAlarm => "false_alarm",
            Self::Neither => "neither",
        }
    }

    pub fn one_sided(self) -> bool {
        matches!(self, Self::Missed | Self::FalseAlarm)
    }
}
