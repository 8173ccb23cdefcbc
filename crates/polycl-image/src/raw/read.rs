use std::io::{self, BufRead, Read};
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::error::{truncated, unreadable};
use super::limits::TRAILING;
use super::voxel::{Misfits, Voxel, convert, usable};
use super::{CHUNK, Encoding, Stream};

/// Reads the voxels of a shape, which come next in a stream, and then the stream's end, where a
/// compressed one has its checksum. `left` are the bytes from here to the end of a stream that is
/// not compressed.
pub(crate) fn voxels<V: Voxel>(
    encoding: &Encoding,
    shape: [usize; 3],
    stream: &mut Stream<impl BufRead>,
    left: u64,
    path: &Path,
) -> Result<Vec<V>> {
    if !stream.is_plain() {
        return to_end(encoding, shape, stream, path);
    }
    let bytes = encoding.bytes(shape, path)?;
    complete(bytes, left, path)?;
    ended(left - bytes, path)?;
    decode(encoding, shape, stream, path)
}

/// Reads the voxels that come next in a stream and what follows them to its end, where its
/// checksum is held against them.
pub(crate) fn to_end<V: Voxel>(
    encoding: &Encoding,
    shape: [usize; 3],
    stream: &mut impl Read,
    path: &Path,
) -> Result<Vec<V>> {
    let voxels = decode(encoding, shape, stream, path)?;
    let trailing = io::copy(&mut stream.take(TRAILING + 1), &mut io::sink());
    ended(trailing.map_err(|e| unreadable(path, &e))?, path)?;
    Ok(voxels)
}

/// Refuses a file with more behind its voxels than anything but further voxels explains.
fn ended(trailing: u64, path: &Path) -> Result<()> {
    if trailing <= TRAILING {
        return Ok(());
    }
    Err(Error::new(path, Kind::Format, format!("at most {TRAILING} bytes after the voxels"), "more bytes")
        .hint("export the scan again: the dimensions in its header do not fit the file"))
}

/// Decodes and converts chunk by chunk. Memory grows with what has been decoded, so a header that
/// promises more than the file holds costs next to nothing: only after an eighth of what it
/// promises is the room for the rest taken, all at once, since growing by doubling would hold
/// the voxels twice.
fn decode<V: Voxel>(
    encoding: &Encoding,
    shape: [usize; 3],
    stream: &mut impl Read,
    path: &Path,
) -> Result<Vec<V>> {
    let size = encoding.datatype.bytes();
    let bytes = encoding.bytes(shape, path)?;
    let total = bytes as usize / size;
    let mut buffer = vec![0; CHUNK.min(bytes as usize)];
    let mut voxels = Vec::new();
    let mut misfits = Misfits::NONE;
    while voxels.len() < total {
        let wanted = CHUNK.min((total - voxels.len()) * size);
        let got = fill(stream, &mut buffer[..wanted], path)?;
        if got < wanted {
            complete(bytes, (voxels.len() * size + got) as u64, path)?;
        }
        let (seen, rest) = (voxels.len(), total - voxels.len());
        if seen >= total / 8 {
            reserve(&mut voxels, rest, path)?;
        } else if voxels.capacity() - seen < wanted / size {
            reserve(&mut voxels, rest.min(seen.max(CHUNK)), path)?;
        }
        convert(encoding, &buffer[..wanted], &mut voxels, &mut misfits);
    }
    usable::<V>(&misfits, total, encoding, path)?;
    Ok(voxels)
}

/// Room for more voxels, if there is memory for them.
pub(crate) fn reserve<V>(voxels: &mut Vec<V>, room: usize, path: &Path) -> Result<()> {
    voxels.try_reserve_exact(room).map_err(|_| {
        let bytes = (voxels.len() + room) * size_of::<V>();
        Error::new(path, Kind::Request, format!("{bytes} bytes of free memory"), "too little memory")
            .hint("crop the scan, or use a machine with more memory")
    })
}

/// Reads until `out` is full or the stream ends; the number of bytes read. A compressed stream
/// that breaks off counts as ended.
pub(crate) fn fill(stream: &mut impl Read, out: &mut [u8], path: &Path) -> Result<usize> {
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

/// Passes over what lies between header and voxels.
pub(crate) fn skip(stream: &mut impl Read, bytes: u64, path: &Path) -> Result<()> {
    let skipped = io::copy(&mut stream.take(bytes), &mut io::sink()).map_err(|e| unreadable(path, &e))?;
    if skipped < bytes {
        return Err(truncated(path, format!("{bytes} bytes between header and voxels"), skipped));
    }
    Ok(())
}

/// Refuses a file that holds fewer bytes of voxels than its header says.
pub(crate) fn complete(wanted: u64, found: u64, path: &Path) -> Result<()> {
    if found < wanted {
        return Err(truncated(path, format!("{wanted} bytes of voxels"), found));
    }
    Ok(())
}
