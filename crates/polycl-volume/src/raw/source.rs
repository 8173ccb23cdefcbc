use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::volume::hex;
use crate::{Error, Result};

/// Bytes decoded at a time: small enough for the second-level cache, a multiple of every voxel size.
pub(crate) const CHUNK: usize = 1 << 18;

/// The bytes of a scan: a file, or several one after the other where a format keeps header and
/// voxels apart. Counts them and, where asked to, hashes them as they are read.
pub(crate) struct Source<'a> {
    bytes: Bytes<'a>,
    len: u64,
    sha256: Option<Sha256>,
}

enum Bytes<'a> {
    File(File),
    Memory(&'a [u8]),
}

impl<'a> Source<'a> {
    pub fn file(path: &Path) -> Result<Self> {
        let (file, len) = open(path)?;
        Ok(Self { bytes: Bytes::File(file), len, sha256: None })
    }

    /// As [`Self::file`]; [`Self::sha256`] then tells the hash.
    pub fn hashed(path: &Path) -> Result<Self> {
        Ok(Self { sha256: Some(Sha256::new()), ..Self::file(path)? })
    }

    pub fn memory(bytes: &'a [u8]) -> Self {
        Self { bytes: Bytes::Memory(bytes), len: bytes.len() as u64, sha256: None }
    }

    /// Bytes of the whole file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// A reader with a buffer worth a system call.
    pub fn buffered(&mut self) -> BufReader<&mut Self> {
        BufReader::with_capacity(CHUNK, self)
    }

    /// The hash (lower-case hex) of all bytes, those included that no reader asked for.
    pub fn sha256(mut self, path: &Path) -> Result<String> {
        io::copy(&mut self, &mut io::sink()).map_err(|e| Error::io(path, "read it", &e))?;
        Ok(hex(&self.sha256.unwrap_or_default().finalize()))
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.bytes {
            Bytes::File(file) => file.read(out)?,
            Bytes::Memory(bytes) => bytes.read(out)?,
        };
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(&out[..n]);
        }
        Ok(n)
    }
}

fn open(path: &Path) -> Result<(File, u64)> {
    let failed = |e: &io::Error| Error::io(path, "read it", e);
    let file = File::open(path).map_err(|e| failed(&e))?;
    let len = file.metadata().map_err(|e| failed(&e))?.len();
    Ok((file, len))
}
