use std::io::{BufRead, Read};
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::read::reserve;
use super::voxel::{Misfits, Voxel, usable};
use super::{Encoding, complete, unreadable};

/// The longest number; `%.17g` takes 24 characters.
const LONGEST: usize = 64;

/// Reads voxels that are written as text, between white space or commas. `left` are the bytes from
/// here to the end of the file.
pub(crate) fn text<V: Voxel>(
    encoding: &Encoding,
    shape: [usize; 3],
    reader: &mut impl BufRead,
    left: u64,
    path: &Path,
) -> Result<Vec<V>> {
    let total = (encoding.bytes(shape, path)? / encoding.datatype.bytes() as u64) as usize;
    // A number and what parts it from the next are two characters.
    complete(2 * total as u64 - 1, left, path)?;
    let mut voxels = Vec::new();
    reserve(&mut voxels, total, path)?;
    let mut misfits = Misfits::NONE;
    while voxels.len() < total {
        let Some(word) = word(reader, path)? else {
            let found = format!("{}", voxels.len());
            return Err(Error::new(path, Kind::Truncated, format!("{total} numbers"), found)
                .hint("copy or download the file again: it is incomplete"));
        };
        let number: f64 =
            std::str::from_utf8(&word).ok().and_then(|word| word.parse().ok()).ok_or_else(|| {
                Error::new(path, Kind::Format, "numbers as text", "other text")
                    .hint("copy or download the file again: it is damaged")
            })?;
        let value = number * encoding.slope + encoding.intercept;
        let (voxel, fits) = V::from_value(value, encoding.rounding());
        if !fits {
            misfits.add(value);
        }
        voxels.push(voxel);
    }
    usable::<V>(&misfits, total, encoding, path)?;
    Ok(voxels)
}

/// The next word, cut off where it is too long for a number.
fn word(reader: &mut impl BufRead, path: &Path) -> Result<Option<Vec<u8>>> {
    let mut word = Vec::new();
    for byte in reader.bytes() {
        let byte = byte.map_err(|e| unreadable(path, &e))?;
        let apart = byte.is_ascii_whitespace() || byte == b',';
        if !apart {
            word.push(byte);
        }
        if word.len() > LONGEST || (apart && !word.is_empty()) {
            break;
        }
    }
    Ok((!word.is_empty()).then_some(word))
}
