//! Zip files, as much of them as PyTorch's checkpoints, Python's wheels and NumPy's archives need: entries that are
//! stored or deflated, found by their name in the directory at the file's end.
//!
//! Small on purpose: existing readers keep several times the directory in memory and go looking for
//! further directories when one is broken. Here a file has one directory, no two entries share a
//! byte or a name, every length is held against what is there, and checksums are checked.
//! The format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use crate::{Error, Kind, Result};

/// An opened zip file.
#[derive(Debug)]
pub struct Archive<F = File> {
    path: PathBuf,
    file: F,
    /// Bytes of the file.
    pub len: u64,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Offsets of its own header and of the next entry's or the directory's.
    start: u64,
    end: u64,
    packed: u64,
    size: u64,
    /// Zero where none was computed, as by `torch.save` with `compute_crc32` turned off.
    crc: u32,
    method: u16,
    encrypted: bool,
}

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Fixed parts of the records: an entry's own header, its line in the directory, the end record,
/// what leads to the large end record, and that.
const LOCAL: usize = 30;
const LINE: usize = 46;
const END: usize = 22;
const LOCATOR: usize = 20;
const LARGE_END: usize = 56;
/// The longest comment after the end record.
const COMMENT: u64 = u16::MAX as u64;
/// A directory of more is none: this one holds 100 000 tensors.
const DIRECTORY: u64 = 16 << 20;
const ZIP: &str = "a zip file";

impl Archive {
    /// As [`Archive::new`], from a file.
    ///
    /// As there.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e: &io::Error| Error::io(path, "read it", e);
        let file = File::open(path).map_err(|e| failed(&e))?;
        let len = file.metadata().map_err(|e| failed(&e))?.len();
        Self::new(file, len, path)
    }
}

impl<F: Read + Seek> Archive<F> {
    /// Reads the directory of a zip file of `len` bytes; errors name `path`.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Truncated`] where the directory at the end is missing;
    /// [`Kind::Format`] for what is no zip file or contradicts itself.
    pub fn new(file: F, len: u64, path: &Path) -> Result<Self> {
        let mut archive = Self { path: path.to_path_buf(), file, len, entries: BTreeMap::new() };
        let (at, size) = archive.directory()?;
        let directory = archive.bytes(at, size)?;
        archive.list(&directory, at)?;
        Ok(archive)
    }

    /// The entries' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The content of an entry that is stored as it is.
    ///
    /// # Errors
    /// [`Kind::Format`] where there is none, where it is compressed, or damaged.
    pub fn stored(&mut self, name: &str) -> Result<Vec<u8>> {
        let entry = self.entry(name)?;
        if entry.method != STORED {
            return Err(self.broken(format!("{name} stored as it is"), "a compressed entry"));
        }
        // No more than the file itself: `content` has held the size against it.
        let path = self.path.clone();
        let mut content = self.content(name)?;
        let mut bytes = Vec::with_capacity(usize::try_from(entry.size).unwrap_or(0));
        content.read_to_end(&mut bytes).map_err(|e| damaged(&path, name, &e))?;
        Ok(bytes)
    }

    /// Reads an entry from its start. Its size and checksum are held against the directory once it
    /// has been read to its end; an error there is of the kind [`io::ErrorKind::InvalidData`].
    ///
    /// # Errors
    /// [`Kind::Format`] where there is none, or it is not where the directory says.
    pub fn content(&mut self, name: &str) -> Result<Content<'_, F>> {
        let entry = self.entry(name)?;
        let header = self.bytes(entry.start, LOCAL as u64)?;
        let data = entry.start + (LOCAL + word(&header, 26) + word(&header, 28)) as u64;
        if !header.starts_with(b"PK\x03\x04") || data + entry.packed > entry.end {
            return Err(self.broken(format!("{name} where the directory says"), "something else there"));
        }
        let stored = entry.method == STORED && entry.packed == entry.size;
        if entry.encrypted {
            return Err(self.broken(format!("{name} open"), "an encrypted entry"));
        }
        if !stored && entry.method != DEFLATED {
            return Err(self.broken(format!("{name} stored or deflated"), "another compression"));
        }
        self.file.seek(SeekFrom::Start(data)).map_err(|e| Error::io(&self.path, "read it", &e))?;
        let packed = (&mut self.file).take(entry.packed);
        let source = if stored {
            Source::Stored(packed)
        } else {
            Source::Deflated(Box::new(DeflateDecoder::new(BufReader::new(packed))))
        };
        Ok(Content { source, crc: Crc::new(), read: 0, entry })
    }

    fn entry(&self, name: &str) -> Result<Entry> {
        self.entries
            .get(name)
            .copied()
            .ok_or_else(|| self.broken(format!("{name} in it"), "no entry of that name"))
    }

    /// The offset and length of the directory, by the record at the end of the file or, where a field of that is
    /// too small, by the large one before it.
    fn directory(&mut self) -> Result<(u64, u64)> {
        let tail_at = self.len.saturating_sub(END as u64 + COMMENT);
        let tail = self.bytes(tail_at, self.len - tail_at)?;
        // The record is told from bytes that look like it by the comment, which ends the file.
        let is_end = |&at: &usize| {
            tail[at..].starts_with(b"PK\x05\x06") && at + END + word(&tail, at + 20) == tail.len()
        };
        let Some(end) = (0..(tail.len() + 1).saturating_sub(END)).rev().find(is_end) else {
            return Err(Error::new(&self.path, Kind::Truncated, ZIP, "no directory at its end")
                .hint("copy or download it again"));
        };
        let mut before = tail_at + end as u64;
        let (mut size, mut at) = (long(&tail, end + 12), long(&tail, end + 16));
        if let Some(locator) = end.checked_sub(LOCATOR)
            && tail[locator..].starts_with(b"PK\x06\x07")
        {
            before = quad(&tail, locator + 8);
            let large = self.bytes(before, LARGE_END as u64)?;
            if !large.starts_with(b"PK\x06\x06") {
                return Err(self.broken(ZIP, "no directory where its end says"));
            }
            (size, at) = (quad(&large, 40), quad(&large, 48));
        }
        if size > DIRECTORY || at.checked_add(size).is_none_or(|stop| stop > before) {
            return Err(self.broken(ZIP, format!("a directory of {size} bytes from byte {at} on")));
        }
        Ok((at, size))
    }

    /// Takes the lines of the directory, which lies at `at`.
    fn list(&mut self, directory: &[u8], at: u64) -> Result<()> {
        let mut rest = directory;
        while !rest.is_empty() {
            let Some((name, entry, next)) = line(rest) else {
                return Err(self.broken(ZIP, "a directory that breaks off"));
            };
            if self.entries.insert(name.clone(), entry).is_some() {
                return Err(self.broken("every name once", format!("{name} twice")));
            }
            rest = next;
        }
        let mut in_order: Vec<(&String, &mut Entry)> = self.entries.iter_mut().collect();
        in_order.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.start));
        let mut end = at;
        for (name, entry) in in_order {
            entry.end = end;
            end = entry.start;
            let stop = entry.start.checked_add(LOCAL as u64).and_then(|data| data.checked_add(entry.packed));
            if stop.is_none_or(|stop| stop > entry.end) {
                let found = format!("{name} overlapping the next entry");
                return Err(Error::new(&self.path, Kind::Format, "entries that do not overlap", found));
            }
        }
        Ok(())
    }

    fn bytes(&mut self, at: u64, len: u64) -> Result<Vec<u8>> {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.len);
        let len = usize::try_from(len).ok().filter(|_| inside).ok_or_else(|| {
            Error::new(
                &self.path,
                Kind::Truncated,
                format!("{len} bytes from byte {at} on"),
                "a shorter file",
            )
            .hint("copy or download it again")
        })?;
        let mut bytes = vec![0; len];
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|e| Error::io(&self.path, "read it", &e))?;
        Ok(bytes)
    }

    fn broken(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::new(&self.path, Kind::Format, expected, found)
    }
}

/// An entry that could not be read to its end.
#[must_use]
pub fn damaged(path: &Path, name: &str, error: &io::Error) -> Error {
    if error.raw_os_error().is_some() {
        return Error::io(path, "read it", error);
    }
    Error::new(path, Kind::Format, format!("{name} whole"), error.to_string())
        .hint("copy or download the file again: it is damaged")
}

/// One line of the directory, and what follows it.
fn line(bytes: &[u8]) -> Option<(String, Entry, &[u8])> {
    let fixed = bytes.get(..LINE).filter(|line| line.starts_with(b"PK\x01\x02"))?;
    let (name, rest) = bytes[LINE..].split_at_checked(word(fixed, 28))?;
    let (extra, rest) = rest.split_at_checked(word(fixed, 30))?;
    let (_comment, rest) = rest.split_at_checked(word(fixed, 32))?;
    let mut wide = Wide(large_sizes(extra));
    let entry = Entry {
        encrypted: word(fixed, 8) & 1 == 1,
        method: word(fixed, 10) as u16,
        crc: long(fixed, 16) as u32,
        // In this order stand those fields in the extra that are too large for the line.
        size: wide.or(long(fixed, 24))?,
        packed: wide.or(long(fixed, 20))?,
        start: wide.or(long(fixed, 42))?,
        end: 0,
    };
    Some((String::from_utf8_lossy(name).into_owned(), entry, rest))
}

/// The extra field of tag 1.
fn large_sizes(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let Some((field, rest)) = rest.split_at_checked(word(head, 2)) else { break };
        if word(head, 0) == 1 {
            return field;
        }
        extra = rest;
    }
    &[]
}

struct Wide<'a>(&'a [u8]);

impl Wide<'_> {
    fn or(&mut self, short: u64) -> Option<u64> {
        if short != u64::from(u32::MAX) {
            return Some(short);
        }
        let (value, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(quad(value, 0))
    }
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    (word(bytes, at) | word(bytes, at + 2) << 16) as u64
}

fn quad(bytes: &[u8], at: usize) -> u64 {
    long(bytes, at) | long(bytes, at + 4) << 32
}

/// A reader of an entry's content.
pub struct Content<'a, F = File> {
    source: Source<'a, F>,
    crc: Crc,
    read: u64,
    entry: Entry,
}

enum Source<'a, F> {
    Stored(io::Take<&'a mut F>),
    Deflated(Box<DeflateDecoder<BufReader<io::Take<&'a mut F>>>>),
}

impl<F: Read> Read for Content<'_, F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.source {
            Source::Stored(source) => source.read(out)?,
            Source::Deflated(source) => source.read(out)?,
        };
        self.crc.update(&out[..n]);
        self.read += n as u64;
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let Entry { size, crc, .. } = self.entry;
        match n {
            _ if self.read > size => wrong("more than the directory says"),
            0 if !out.is_empty() && self.read < size => wrong("less than the directory says"),
            0 if !out.is_empty() && crc != 0 && crc != self.crc.sum() => wrong("another checksum"),
            _ => Ok(n),
        }
    }
}
