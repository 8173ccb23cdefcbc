use std::io::Read;
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::Form;
use super::fields::{Fields, SIZE, SIZE_2, version};
use super::header::Header;
use crate::raw::{self, Head, Source, Stream, Voxel, fill, skip, truncated, unreadable};
use crate::{Image, Mask, Space, Volume};

/// Reads a scan: HU as in the file (slope and intercept applied in f64), not clipped.
///
/// # Errors
/// `Voxels` where a value is NaN or infinite as f32, `Truncated`, `Format`, `Geometry`, `Io`.
pub fn read_image(path: &Path) -> Result<Image> {
    volume(&mut Source::file(path)?, None, path)
}

/// Reads a label map.
///
/// # Errors
/// As [`read_image`]; `Voxels` where a value is not within 0.001 of a whole number in 0..=65535.
pub fn read_mask(path: &Path) -> Result<Mask> {
    volume(&mut Source::file(path)?, None, path)
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
    Ok(head(&mut Source::file(path)?, None, path)?.space)
}

/// Reads a scan from the bytes of a `.nii` or `.nii.gz` file; errors name `path`.
pub fn image_from_bytes(bytes: &[u8], path: &Path) -> Result<Image> {
    volume(&mut Source::memory(bytes), None, path)
}

fn hashed<V: Voxel>(path: &Path) -> Result<(Volume<V>, String)> {
    let mut source = Source::hashed(path)?;
    let volume = volume(&mut source, None, path)?;
    Ok((volume, source.sha256(path)?))
}

/// The head of a file, by the form that is trusted.
pub(crate) fn head(source: &mut Source, trust: Option<Form>, path: &Path) -> Result<Head> {
    let mut stream = Stream::by_content(source.buffered()).map_err(|e| unreadable(path, &e))?;
    let Header { space, encoding, .. } = header(&mut stream, trust, path)?;
    let mut notes = Vec::new();
    notes.extend(space.native.iter().flat_map(|native| native.contradictions(trust, space.shape)));
    if space.native.is_some_and(|native| native.taken(trust).is_none()) {
        notes.push("the header does not say where voxels lie: the scan is taken to be centred, its axes to run left, anterior, superior".into());
    }
    Ok(Head { space, encoding, notes })
}

pub(crate) fn volume<V: Voxel>(source: &mut Source, trust: Option<Form>, path: &Path) -> Result<Volume<V>> {
    let len = source.len();
    let mut stream = Stream::by_content(source.buffered()).map_err(|e| unreadable(path, &e))?;
    let Header { encoding, space, first_voxel, header_bytes } = header(&mut stream, trust, path)?;
    let left = len.saturating_sub(first_voxel);
    if stream.is_plain() {
        raw::complete(encoding.bytes(space.shape, path)?, left, path)?;
    }
    skip(&mut stream, first_voxel - header_bytes, path)?;
    let voxels = raw::voxels(&encoding, space.shape, &mut stream, left, path)?;
    Ok(Volume { space, voxels })
}

fn header(stream: &mut impl Read, trust: Option<Form>, path: &Path) -> Result<Header> {
    let mut bytes = [0; SIZE_2];
    let got = fill(stream, &mut bytes[..SIZE], path)?;
    other_file(&bytes[..got], path)?;
    whole(got, SIZE, SIZE, path)?;
    let (version, order) = version(bytes.first_chunk().expect("the longer header"), path)?;
    let size = version.size();
    let got = fill(stream, &mut bytes[SIZE..size], path)?;
    whole(got, size - SIZE, size, path)?;
    Header::check(&Fields::parse(&bytes[..size], version, order), trust, path)
}

/// Files that are often found under the names of others: how they begin, what they are, and what to do.
const OTHERS: [(&[u8], &str, &str); 8] = [
    (b"<!doctype html", "a web page", WEB),
    (b"<html", "a web page", WEB),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch the file first: git lfs pull"),
    (b"/annex/objects/", "a pointer of git-annex", "fetch the file first: git annex get"),
    (b"pk\x03\x04", "a zip archive", "unpack it, and take the file within"),
    (b"\xfd7zxz\0", "an xz archive", "unpack it with xz -d"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and take the file within"),
    (b"\x1f\x8b", "gzip within gzip", "unpack the file once with gunzip: it was compressed twice"),
];

const WEB: &str = "download the file with a browser: the server sent a page, perhaps to sign in";

/// Refuses another kind of file by its name.
fn other_file(bytes: &[u8], path: &Path) -> Result<()> {
    let begins = |start: &[u8]| bytes.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
    OTHERS.iter().find(|(start, ..)| begins(start)).map_or(Ok(()), |(_, found, hint)| {
        Err(Error::new(path, Kind::Format, "a NIfTI file", *found).hint(*hint))
    })
}

/// Refuses a header of `size` bytes of whose last `part` not all were there.
fn whole(got: usize, part: usize, size: usize, path: &Path) -> Result<()> {
    if got < part {
        let found = (size - part + got) as u64;
        return Err(truncated(path, format!("a NIfTI header of {size} bytes"), found));
    }
    Ok(())
}
