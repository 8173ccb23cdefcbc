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

/// Says nothing of the patient, on purpose.
impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patient")
    }
}
