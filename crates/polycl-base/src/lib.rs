//! Everything else stands on this and it knows no image: errors, files that are whole or not there, locks, streams of
//! random numbers, text and tables, zip files, and who watches a piece of work.

pub mod archive;
pub mod claim;
mod error;
pub mod lock;
pub mod output;
pub mod rng;
pub mod table;
pub mod text;
mod watch;

pub use error::{Error, Kind, Result, Subject, only, some, told};
pub use watch::{Until, Watch};

/// A number and the noun that it counts: `1 patient`, `2 patients`.
pub fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Lower-case hex, as `sha256sum` prints it.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
