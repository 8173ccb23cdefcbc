use std::io;
use std::path::Path;

use polycl_base::{Error, Kind};

pub(crate) fn truncated(path: &Path, expected: String, found: u64) -> Error {
    Error::new(path, Kind::Truncated, expected, format!("{found}"))
        .hint("copy or download the file again: it is incomplete")
}

/// An error while reading: of the system, or of the decompressor.
pub(crate) fn unreadable(path: &Path, e: &io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let damaged = "copy or download the file again: it is damaged";
    match e.kind() {
        UnexpectedEof => {
            Error::new(path, Kind::Truncated, "complete compressed data", "data that break off").hint(damaged)
        }
        InvalidData | InvalidInput => {
            Error::new(path, Kind::Format, "intact compressed data", e.to_string()).hint(damaged)
        }
        _ => Error::io(path, "read it", e),
    }
}

/// Numbers as a message shows a shape.
pub(crate) fn list<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(" x ")
}
