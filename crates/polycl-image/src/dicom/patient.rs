//! The patient of a series.

use std::fmt;

/// Who was scanned. Identifying: no part may reach an index, a log or an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Patient {
    pub id: String,
    pub name: String,
    /// Date of birth, as it stands there.
    pub born: String,
}

impl Patient {
    /// True if nothing says that they are two people.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        let born = self.born.is_empty() || other.born.is_empty() || self.born == other.born;
        (&self.id, &self.name) == (&other.id, &other.name) && born
    }
}

/// Says nothing of the patient, on purpose.
impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patient")
    }
}
