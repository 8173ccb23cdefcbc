//! Budgets: how much is labelled.

use std::fmt;

use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected budgets that are numbers of patients, fractions of them, or \"all\"")]
pub enum Budget {
    Patients(usize),
    Fraction(f64),
    All(All),
    /// Drawn slices, which have a list of their own in the file.
    #[serde(skip)]
    Slices(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    All,
}

impl Budget {
    /// "1 labelled patient", "10 % of the labelled patients", "all labelled patients".
    pub fn in_words(self) -> String {
        match self {
            Self::Patients(1) => "1 labelled patient".to_owned(),
            Self::Patients(count) => format!("{count} labelled patients"),
            Self::Fraction(part) => format!("{} of the labelled patients", percent(part)),
            Self::All(_) => "all labelled patients".to_owned(),
            Self::Slices(1) => "1 drawn slice".to_owned(),
            Self::Slices(count) => format!("{count} drawn slices"),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patients(count) => f.pad(&count.to_string()),
            Self::Fraction(part) => f.pad(&percent(*part)),
            Self::All(_) => f.pad("all"),
            Self::Slices(1) => f.pad("1 slice"),
            Self::Slices(count) => f.pad(&format!("{count} slices")),
        }
    }
}

/// "2.5 %": as written, whatever floating point makes of it.
fn percent(part: f64) -> String {
    format!("{} %", (part * 1e8).round() / 1e6)
}
