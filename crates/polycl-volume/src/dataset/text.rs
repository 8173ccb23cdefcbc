//! Files of text that are read whole.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The most bytes of such a file. Rows about every slice of thousands of scans have less; a file without an end,
/// such as a device, is not read until memory is full.
const MOST: u64 = 1 << 30;

/// # Errors
/// As reading does, and for a file that is too large.
pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    let too_large =
        || Error::new(ErrorKind::FileTooLarge, "it is above 1 GiB, which is more than any such file holds");
    let file = File::open(file)?;
    let mut bytes = Vec::new();
    let len = file.metadata()?.len();
    // Not all files know their length.
    if len > MOST || file.take(MOST + 1).read_to_end(&mut bytes)? as u64 > MOST {
        return Err(too_large());
    }
    Ok(bytes)
}
