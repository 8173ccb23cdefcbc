use std::io::Read;
use std::path::Path;

use polycl_base::Result;

use super::fields::{Fields, SIZE, SIZE_2, version};
use super::geometry::Form;
use super::header::Header;
use crate::raw::{self, Source, Stream, Voxel, fill, skip, truncated, unreadable};
use crate::{Image, Mask, Space, Volume};

/// Reads a scan: HU as in the file (slope and intercept applied in f64), not clipped.
///
/// # Errors
/// `Voxels` where a value is NaN or infinite as f32, `Truncated`, `Format`, `Geometry`, `Io`.
pub fn read_image(path: &Path) -> Result<Image> {
    volume(&mut Source::file(path)?, path)
}

/// Reads a label map.
///
/// # Errors
/// As [`read_image`]; `Voxels` where a value is not within 0.001 of a whole number in 0..=65535.
pub fn read_mask(path: &Path) -> Result<Mask> {
    volume(&mut Source::file(path)?, path)
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
    Ok(space(&mut Source::file(path)?, path)?.0)
}

/// Reads a scan from the bytes of a `.nii` or `.nii.gz` file; errors name `path`.
pub fn image_from_bytes(bytes: &[u8], path: &Path) -> Result<Image> {
    volume(&mut Source::memory(bytes), path)
}

fn hashed<V: Voxel>(path: &Path) -> Result<(Volume<V>, String)> {
    let mut source = Source::hashed(path)?;
    let volume = volume(&mut source, path)?;
    Ok((volume, source.sha256(path)?))
}

pub(crate) fn space(source: &mut Source, path: &Path) -> Result<(Space, Vec<String>)> {
    let mut stream = Stream::by_content(source.buffered()).map_err(|e| unreadable(path, &e))?;
    let Header { space, encoding, .. } = header(&mut stream, path)?;
    let mut notes = Vec::new();
    notes.extend(space.native.iter().flat_map(|native| native.contradictions(space.shape)));
    if space.native.is_some_and(|native| native.form() == Form::None) {
        notes.push("the header does not say where voxels lie: the scan is taken to be centred, its axes to run left, anterior, superior".into());
    }
    raw::odd_datatype(encoding.datatype, &mut notes);
    Ok((space, notes))
}

pub(crate) fn volume<V: Voxel>(source: &mut Source, path: &Path) -> Result<Volume<V>> {
    let len = source.len();
    let mut stream = Stream::by_content(source.buffered()).map_err(|e| unreadable(path, &e))?;
    let Header { encoding, space, first_voxel, header_bytes } = header(&mut stream, path)?;
    let left = len.saturating_sub(first_voxel);
    if stream.is_plain() {
        raw::complete(encoding.bytes(space.shape, path)?, left, path)?;
    }
    skip(&mut stream, first_voxel - header_bytes, path)?;
    let voxels = raw::voxels(&encoding, space.shape, &mut stream, left, path)?;
    Ok(Volume { space, voxels })
}

fn header(stream: &mut impl Read, path: &Path) -> Result<Header> {
    let mut bytes = [0; SIZE_2];
    part(stream, &mut bytes[..SIZE], SIZE, path)?;
    let (version, order) = version(bytes.first_chunk().expect("the longer header"), path)?;
    let size = version.size();
    part(stream, &mut bytes[SIZE..size], size, path)?;
    Header::check(&Fields::parse(&bytes[..size], version, order), path)
}

/// Reads a part of the header, which ends with it at `size` bytes.
fn part(stream: &mut impl Read, out: &mut [u8], size: usize, path: &Path) -> Result<()> {
    let got = fill(stream, out, path)?;
    if got < out.len() {
        let found = (size - out.len() + got) as u64;
        return Err(truncated(path, format!("a NIfTI header of {size} bytes"), found));
    }
    Ok(())
}
