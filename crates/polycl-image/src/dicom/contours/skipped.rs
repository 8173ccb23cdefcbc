//! Contours of which nothing is drawn, and why.

use std::collections::BTreeMap;

/// The reason that a contour is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Skipped {
    Point,
    Open,
    /// A geometric type that the standard does not have.
    Unknown,
    /// Fewer than three points.
    TooShort,
    /// A coordinate that is no number, or no place in a patient.
    NoNumbers,
    /// Coordinates that do not come in threes.
    NoTriples,
    NoArea,
    Oblique,
    Beyond,
    /// The same points as another contour in its slice has.
    Repeated,
    /// Farther from a slice than other contours of the ROI are.
    Farther,
}

impl Skipped {
    pub fn words(self) -> &'static str {
        match self {
            Self::Point => "points",
            Self::Open => "open",
            Self::Unknown => "of an unknown geometric type",
            Self::TooShort => "of fewer than three points",
            Self::NoNumbers => "with coordinates that are no numbers",
            Self::NoTriples => "with coordinates that do not come in threes",
            Self::NoArea => "without an area",
            Self::Oblique => "across the scan's slices",
            Self::Beyond => "beyond the scan",
            Self::Repeated => "that repeat another contour",
            Self::Farther => "between slices that have nearer ones",
        }
    }
}

/// Numbers of contours by the reason.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(BTreeMap<Skipped, usize>);

impl Tally {
    pub fn add(&mut self, reason: Skipped) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// `contours skipped: 3 open, 1 beyond the scan`, if there are any.
    pub fn words(&self) -> Option<String> {
        let parts: Vec<String> =
            self.0.iter().map(|(reason, count)| format!("{count} {}", reason.words())).collect();
        (!parts.is_empty()).then(|| format!("contours skipped: {}", parts.join(", ")))
    }
}
