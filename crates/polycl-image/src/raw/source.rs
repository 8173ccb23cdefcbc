use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use polycl_base::{Error, Kind, Result, hex};
use sha2::{Digest, Sha256};

/// Bytes decoded at a time: small enough for the second-level cache, a multiple of every voxel size.
pub(crate) const CHUNK: usize = 1 << 18;

/// The bytes of a scan: a file, or several one after the other where a format keeps header and
/// voxels apart. Counts them and, where asked to, hashes them as they are read.
pub(crate) struct Source<'a> {
    bytes: Bytes<'a>,
    len: u64,
    hash: Hash,
}

enum Bytes<'a> {
    File(File),
    Memory(Cursor<&'a [u8]>),
}

enum Hash {
    No,
    /// The digest of what was read so far.
    Reading(Sha256),
    /// The digest of all there is.
    Done(String),
}

impl<'a> Source<'a> {
    pub fn file(path: &Path) -> Result<Self> {
        let (file, len) = open(path)?;
        Ok(Self { bytes: Bytes::File(file), len, hash: Hash::No })
    }

    /// As [`Self::file`]; [`Self::sha256`] then tells the hash.
    pub fn hashed(path: &Path) -> Result<Self> {
        Ok(Self { hash: Hash::Reading(Sha256::new()), ..Self::file(path)? })
    }

    pub fn memory(bytes: &'a [u8]) -> Self {
        Self { bytes: Bytes::Memory(Cursor::new(bytes)), len: bytes.len() as u64, hash: Hash::No }
    }

    /// Bytes of the whole file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// A reader with a buffer worth a system call.
    pub fn buffered(&mut self) -> BufReader<&mut Self> {
        BufReader::with_capacity(CHUNK, self)
    }

    /// Goes on in another file, where the header at `path` keeps its voxels.
    pub fn go_on(&mut self, path: &Path, data: &Path) -> Result<()> {
        if let Bytes::Memory(_) = self.bytes {
            return Err(Error::new(
                path,
                Kind::Request,
                "voxels in the file itself",
                "a name of another file",
            ));
        }
        self.drain(path)?;
        let hint = "copy the header and this file, which holds its voxels, and do not rename one alone";
        let (file, len) = open(data).map_err(|e| e.hint(hint))?;
        (self.bytes, self.len) = (Bytes::File(file), len);
        Ok(())
    }

    /// Hashes the whole file now, if it is to be hashed, and goes back to its start: for formats
    /// that are not read from front to end.
    pub fn hash_first(&mut self, path: &Path) -> Result<()> {
        self.drain(path)?;
        if let Hash::Reading(sha256) = &self.hash {
            self.hash = Hash::Done(hex(&sha256.clone().finalize()));
        }
        self.seek(SeekFrom::Start(0)).map(|_| ()).map_err(|e| Error::io(path, "read it", &e))
    }

    /// The hash (lower-case hex) of all bytes, those included that no reader asked for.
    pub fn sha256(mut self, path: &Path) -> Result<String> {
        self.drain(path)?;
        Ok(match self.hash {
            Hash::No => String::new(),
            Hash::Reading(sha256) => hex(&sha256.finalize()),
            Hash::Done(hex) => hex,
        })
    }

    /// Reads what is left, if it is to be hashed.
    fn drain(&mut self, path: &Path) -> Result<()> {
        if let Hash::Reading(_) = self.hash {
            io::copy(self, &mut io::sink()).map_err(|e| Error::io(path, "read it", &e))?;
        }
        Ok(())
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.bytes {
            Bytes::File(file) => file.read(out)?,
            Bytes::Memory(bytes) => bytes.read(out)?,
        };
        if let Hash::Reading(sha256) = &mut self.hash {
            sha256.update(&out[..n]);
        }
        Ok(n)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.bytes {
            Bytes::File(file) => file.seek(to),
            Bytes::Memory(bytes) => bytes.seek(to),
        }
    }
}

fn open(path: &Path) -> Result<(File, u64)> {
    let failed = |e: &io::Error| Error::io(path, "read it", e);
    let file = File::open(path).map_err(|e| failed(&e))?;
    let len = file.metadata().map_err(|e| failed(&e))?.len();
    Ok((file, len))
}
