use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong with one file: what was expected there, what was found, and what the user
/// may do about it. The hint is kept apart so that the command line can print it on its own line.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Error {
    pub file: PathBuf,
    pub kind: Kind,
    pub expected: String,
    pub found: String,
    pub hint: Option<String>,
}

/// The class of an [`Error`], for callers (and tests) that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The operating system refused: missing file, permissions, full disk.
    Io,
    /// The file ends before its header says it does.
    Truncated,
    /// The bytes are not of a format we read.
    Format,
    /// Shape, spacing or affine are impossible or do not agree.
    Geometry,
    /// Voxel values are not usable: NaN, or labels that are no small whole numbers.
    Voxels,
    /// Label values and names do not agree.
    Labels,
    /// An image, mask, case or patient lacks its partner.
    Pairing,
    /// The request cannot be met with the data at hand.
    Request,
    /// Stored weights do not belong to the network that wants them.
    Checkpoint,
}

impl Error {
    pub fn new(
        file: impl AsRef<Path>,
        kind: Kind,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            file: file.as_ref().to_path_buf(),
            kind,
            expected: expected.into(),
            found: found.into(),
            hint: None,
        }
    }

    /// An operating-system error while `doing` (a verb phrase, e.g. "read it").
    pub fn io(file: impl AsRef<Path>, doing: &str, source: &io::Error) -> Self {
        let error = Self::new(file, Kind::Io, doing, source.to_string());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                error.hint("free some space and run it again; what was there before is as it was")
            }
            _ => error,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The first few of a list and how many there are beyond, for a message.
pub(crate) fn some(items: &[impl AsRef<str>]) -> String {
    let shown = items.iter().take(5).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(5) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, expected, found, .. } = self;
        match self.kind {
            Kind::Io => write!(f, "{}: could not {expected}: {found}", file.display()),
            _ => write!(f, "{}: expected {expected}, found {found}", file.display()),
        }
    }
}
