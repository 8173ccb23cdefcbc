use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub type Result<T> = std::result::Result<T, Error>;

/// One thing that went wrong: the subject, what was expected of it, what was found, and what the user may do.
/// The hint is kept apart so that the command line can print it on its own line.
///
/// The text of an error says what a person should know of its cause; [`told`] relies on that.
#[derive(Debug, Clone, Serialize)]
pub struct Error {
    pub about: Subject,
    pub kind: Kind,
    pub expected: String,
    pub found: String,
    pub hint: Option<String>,
    /// The error of a library or of the system that led to this one.
    #[serde(skip)]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The thing that an [`Error`] speaks about. Boxed without room to grow: an error is passed up through every function
/// that can fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A file or a folder.
    #[serde(serialize_with = "lossy")]
    File(Box<Path>),
    /// A flag of the command line, dashes included.
    Flag(Box<str>),
    /// A key of a settings file, such as `finetuning.validate`.
    Setting(Box<str>),
    Organ(Box<str>),
    Case(Box<str>),
    /// Something that is fetched, by its name in the catalogue or by its wheel's.
    Item(Box<str>),
    /// A URL, or a host and port.
    Address(Box<str>),
    /// A program that is run.
    Program(Box<str>),
    /// A step of the work or what goes into it, in words.
    Work(&'static str),
}

/// The class of an [`Error`], for callers (and tests) that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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
        about: impl Into<Subject>,
        kind: Kind,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            about: about.into(),
            kind,
            expected: expected.into(),
            found: found.into(),
            hint: None,
            source: None,
        }
    }

    /// An error that found another one, and keeps it.
    pub fn caused(
        about: impl Into<Subject>,
        kind: Kind,
        expected: impl Into<String>,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::new(about, kind, expected, cause.to_string()).because(cause)
    }

    /// An operating-system error while `doing` (a verb phrase, e.g. "read it").
    pub fn io(about: impl Into<Subject>, doing: &str, source: &io::Error) -> Self {
        let error = Self::caused(about, Kind::Io, doing, copied(source));
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                error.hint("free some space and run it again; what was there before is as it was")
            }
            _ => error,
        }
    }

    /// The same error about something else, such as the place where a person looks for the file.
    #[must_use]
    pub fn about(mut self, about: impl Into<Subject>) -> Self {
        self.about = about.into();
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Hints at the known name from which `name` differs in capitals alone; any other hint stays.
    #[must_use]
    pub fn hint_spelling(mut self, name: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let lower = name.to_lowercase();
        if let Some(known) = known.into_iter().find(|known| known.as_ref().to_lowercase() == lower) {
            self.hint = Some(format!("write {}: capitals count in names", known.as_ref()));
        }
        self
    }

    /// Keeps what led to this error. Its text stays as it is, for `found` says of the cause what there is to say.
    #[must_use]
    pub fn because(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(cause));
        self
    }

    /// The file or folder that this is about, if it is about one.
    pub fn file(&self) -> Option<&Path> {
        match &self.about {
            Subject::File(path) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { about, expected, found, .. } = self;
        match self.kind {
            Kind::Io => write!(f, "{about}: could not {expected}: {found}"),
            _ => write!(f, "{about}: expected {expected}, found {found}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Flag(text)
            | Self::Setting(text)
            | Self::Organ(text)
            | Self::Case(text)
            | Self::Item(text)
            | Self::Address(text)
            | Self::Program(text) => f.write_str(text),
            Self::Work(text) => f.write_str(text),
        }
    }
}

impl From<PathBuf> for Subject {
    fn from(path: PathBuf) -> Self {
        Self::File(path.into())
    }
}

impl From<&PathBuf> for Subject {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.as_path().into())
    }
}

impl From<&Path> for Subject {
    fn from(path: &Path) -> Self {
        Self::File(path.into())
    }
}

/// An error with what led to it, outermost first, on one line. An [`Error`] ends it: its own text has told of its
/// cause, which would be there twice.
pub fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let chain =
        std::iter::successors(Some(error), |error| if error.is::<Error>() { None } else { error.source() });
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The first few of a list and how many there are beyond, for a message.
pub fn some(items: &[impl AsRef<str>]) -> String {
    let shown = items.iter().take(5).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(5) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// All names of a kind, for a message about one that is not among them: `only liver, spleen`, or `no organ`.
pub fn only(names: impl IntoIterator<Item = impl AsRef<str>>, kind: &str) -> String {
    let names: Vec<_> = names.into_iter().collect();
    if names.is_empty() {
        return format!("no {kind}");
    }
    format!("only {}", names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
}

/// The system's errors are no `Clone`: the same code, or kind and text.
fn copied(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// A path for those who read JSON, which has no place for bytes that are no text.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
