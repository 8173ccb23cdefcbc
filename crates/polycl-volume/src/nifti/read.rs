use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::header::{Header, SIZE};
use super::stream::Stream;
use super::voxel::{Voxel, convert};
use crate::volume::hex;
use crate::{Error, Image, Kind, Mask, Result, Space, Volume};

/// Bytes decoded at a time: small enough for the second-level cache, a multiple of every voxel size.
const CHUNK: usize = 1 << 18;

/// Reads a scan: HU as in the file (slope and intercept applied in f64), not clipped.
///
/// # Errors
/// `Voxels` where a value is NaN or infinite as f32, `Truncated`, `Format`, `Geometry`, `Io`.
pub fn read_image(path: &Path) -> Result<Image> {
    let (file, held) = open(path)?;
    volume(file, held, path)
}

/// Reads a label map.
///
/// # Errors
/// As [`read_image`]; `Voxels` where a value is not within 0.001 of a whole number in 0..=65535.
pub fn read_mask(path: &Path) -> Result<Mask> {
    let (file, held) = open(path)?;
    volume(file, held, path)
}

/// As [`read_image`], with the SHA-256 (lower-case hex) of the file's bytes, in one pass.
pub fn read_image_hashed(path: &Path) -> Result<(Image, String)> {
    hashed(path)
}

/// As [`read_mask`], with the SHA-256 (lower-case hex) of the file's bytes, in one pass.
pub fn read_mask_hashed(path: &Path) -> Result<(Mask, String)> {
    hashed(path)
}

/// Reads the geometry alone: no more of the file than its header.
pub fn read_space(path: &Path) -> Result<Space> {
    let (file, _) = open(path)?;
    let mut stream = Stream::open(BufReader::new(file)).map_err(|e| unreadable(path, &e))?;
    Ok(header(&mut stream, path)?.space)
}

/// Reads a scan from the bytes of a `.nii` or `.nii.gz` file; errors name `path`.
pub fn image_from_bytes(bytes: &[u8], path: &Path) -> Result<Image> {
    volume(bytes, bytes.len() as u64, path)
}

fn open(path: &Path) -> Result<(File, u64)> {
    let file = File::open(path).map_err(|e| Error::io(path, "read it", &e))?;
    let held = file.metadata().map_err(|e| Error::io(path, "read it", &e))?.len();
    Ok((file, held))
}

fn hashed<V: Voxel>(path: &Path) -> Result<(Volume<V>, String)> {
    let (file, held) = open(path)?;
    let mut source = Hashing { file, sha256: Sha256::new() };
    let volume = volume(&mut source, held, path)?;
    io::copy(&mut source, &mut io::sink()).map_err(|e| Error::io(path, "read it", &e))?;
    let hex = hex(&source.sha256.finalize());
    Ok((volume, hex))
}

/// Hashes what is read through it.
struct Hashing {
    file: File,
    sha256: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(out)?;
        self.sha256.update(&out[..n]);
        Ok(n)
    }
}

/// Reads a volume from a file's bytes, of which there are `held`.
fn volume<V: Voxel>(source: impl Read, held: u64, path: &Path) -> Result<Volume<V>> {
    let mut stream =
        Stream::open(BufReader::with_capacity(CHUNK, source)).map_err(|e| unreadable(path, &e))?;
    let header = header(&mut stream, path)?;
    if let Stream::Plain(_) = stream {
        complete(&header, held.saturating_sub(header.first_voxel), path)?;
    }
    skip(&mut stream, header.first_voxel - SIZE as u64, path)?;
    let voxels = voxels(&header, &mut stream, path)?;
    stream.finish().map_err(|e| unreadable(path, &e))?;
    Ok(Volume { space: header.space, voxels })
}

fn header(stream: &mut impl Read, path: &Path) -> Result<Header> {
    let mut bytes = [0; SIZE];
    let got = fill(stream, &mut bytes, path)?;
    if got < SIZE {
        return Err(truncated(path, "a NIfTI header of 348 bytes".into(), got as u64));
    }
    Header::parse(&bytes, path)
}

/// Passes over the header's extensions.
fn skip(stream: &mut impl Read, bytes: u64, path: &Path) -> Result<()> {
    let skipped = io::copy(&mut stream.take(bytes), &mut io::sink()).map_err(|e| unreadable(path, &e))?;
    if skipped < bytes {
        return Err(truncated(path, format!("{bytes} bytes between header and voxels"), skipped));
    }
    Ok(())
}

/// Decodes and converts chunk by chunk. Memory grows with what has been decoded, so a header that
/// promises more than the file holds costs next to nothing: only after an eighth of what it
/// promises is the room for the rest taken, all at once, since growing by doubling would hold
/// the voxels twice.
fn voxels<V: Voxel>(header: &Header, stream: &mut impl Read, path: &Path) -> Result<Vec<V>> {
    let size = header.datatype.bytes();
    let total = header.voxel_bytes as usize / size;
    let mut buffer = vec![0; CHUNK.min(header.voxel_bytes as usize)];
    let mut voxels = Vec::new();
    let mut unusable = 0;
    while voxels.len() < total {
        let wanted = CHUNK.min((total - voxels.len()) * size);
        let got = fill(stream, &mut buffer[..wanted], path)?;
        if got < wanted {
            complete(header, (voxels.len() * size + got) as u64, path)?;
        }
        let (seen, rest) = (voxels.len(), total - voxels.len());
        if seen >= total / 8 {
            reserve(&mut voxels, rest, path)?;
        } else if voxels.capacity() - seen < wanted / size {
            reserve(&mut voxels, rest.min(seen.max(CHUNK)), path)?;
        }
        unusable += convert(header, &buffer[..wanted], &mut voxels);
    }
    if unusable > 0 {
        let found = format!("{unusable} of {total} voxels that are not");
        return Err(Error::new(path, Kind::Voxels, V::EXPECTED, found).hint(V::HINT));
    }
    Ok(voxels)
}

fn reserve<V>(voxels: &mut Vec<V>, room: usize, path: &Path) -> Result<()> {
    voxels.try_reserve_exact(room).map_err(|_| {
        let bytes = (voxels.len() + room) * size_of::<V>();
        Error::new(path, Kind::Request, format!("{bytes} bytes of free memory"), "less")
            .hint("crop the scan, or use a machine with more memory")
    })
}

/// Reads until `out` is full or the stream ends; the number of bytes read. A compressed stream
/// that breaks off counts as ended.
fn fill(stream: &mut impl Read, out: &mut [u8], path: &Path) -> Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match stream.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(unreadable(path, &e)),
        }
    }
    Ok(filled)
}

/// Refuses a file that holds fewer bytes of voxels than its header says.
fn complete(header: &Header, found: u64, path: &Path) -> Result<()> {
    if found < header.voxel_bytes {
        return Err(truncated(path, format!("{} bytes of voxels", header.voxel_bytes), found));
    }
    Ok(())
}

fn truncated(path: &Path, expected: String, found: u64) -> Error {
    Error::new(path, Kind::Truncated, expected, format!("{found}"))
        .hint("the file is incomplete: copy or download it again")
}

/// An error while reading: of the system, or of the decompressor.
fn unreadable(path: &Path, e: &io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let damaged = "the file is damaged: copy or download it again";
    match e.kind() {
        UnexpectedEof => {
            Error::new(path, Kind::Truncated, "a complete gzip file", "one that breaks off").hint(damaged)
        }
        InvalidData | InvalidInput => {
            Error::new(path, Kind::Format, "intact gzip data", e.to_string()).hint(damaged)
        }
        _ => Error::io(path, "read it", e),
    }
}
