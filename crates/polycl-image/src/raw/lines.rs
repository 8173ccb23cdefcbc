use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result};

use super::beside::beside;
use super::{Source, unreadable};

/// The longest line of a header, and all of it together. Slicer's longest are of some kilobytes.
const LONGEST: u64 = 64 << 10;
const HEADER: u64 = 1 << 20;

/// Reads a header of text line by line, under a limit, and counts its bytes.
pub(crate) struct Lines<R> {
    reader: R,
    /// Bytes read so far.
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, bytes: 0 }
    }

    /// The next line without its end; `None` behind the last one. Bytes that are no UTF-8 are
    /// replaced: they stand in comments and names, which we do not look at.
    pub fn next(&mut self, path: &Path) -> Result<Option<String>> {
        let mut line = Vec::new();
        let limit = LONGEST.min(HEADER - self.bytes) + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut line);
        self.bytes += read.map_err(|e| unreadable(path, &e))? as u64;
        if line.len() as u64 == limit {
            let expected = format!("a header of lines up to {LONGEST} bytes, {HEADER} in all");
            return Err(Error::new(path, Kind::Format, expected, "a longer header")
                .hint("check that this is an image"));
        }
        if line.is_empty() {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()))
    }
}

impl<'s, 'a> Lines<BufReader<&'s mut Source<'a>>> {
    /// The bytes that the header speaks of, how many there are, and their file: they follow the header, or are in the
    /// file beside it that it names.
    pub fn data(
        self,
        name: Option<&str>,
        path: &Path,
    ) -> Result<(BufReader<&'s mut Source<'a>>, u64, PathBuf)> {
        let Some(name) = name else {
            let left = self.reader.get_ref().len().saturating_sub(self.bytes);
            return Ok((self.reader, left, path.to_path_buf()));
        };
        let (source, file) = (self.reader.into_inner(), beside(path, name)?);
        source.go_on(path, &file)?;
        let len = source.len();
        Ok((source.buffered(), len, file))
    }
}
