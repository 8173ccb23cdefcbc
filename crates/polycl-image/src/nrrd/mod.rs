//! NRRD files of versions 1 to 5: `.nrrd`, and `.nhdr` with its data file beside it.
//!
//! Format: <https://teem.sourceforge.net/nrrd/format.html>. Where the format leaves a choice we
//! follow ITK. Comments and key/value pairs are passed over, but for
//! the names of 3D Slicer's segments: they may name the patient.

mod fields;
mod geometry;

use std::io::BufRead;
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use crate::raw::{self, Encoding, Head, Lines, Source, Stream, Voxel, skip, unreadable};
use crate::{Space, Volume};
pub(crate) use fields::Segment;
use fields::{Fields, Packing};

/// The content of a header, checked.
struct Header {
    encoding: Encoding,
    packing: Packing,
    space: Space,
    notes: Vec<String>,
    data_file: Option<String>,
    line_skip: u64,
    /// -1 for "the voxels end the file".
    byte_skip: i64,
}

pub(crate) fn head(source: &mut Source, path: &Path) -> Result<Head> {
    let Header { space, encoding, notes, .. } = header(&mut Lines::new(source.buffered()), path)?;
    Ok(Head { space, encoding, notes })
}

/// The segments of 3D Slicer that a header tells of, all in one layer.
pub(crate) fn segments(source: &mut Source, path: &Path) -> Result<Vec<Segment>> {
    let fields = Fields::read(&mut Lines::new(source.buffered()), path)?;
    fields.one_layer(path)?;
    Ok(fields.segments.into_values().collect())
}

pub(crate) fn volume<V: Voxel>(source: &mut Source, path: &Path) -> Result<Volume<V>> {
    let mut lines = Lines::new(source.buffered());
    let header = header(&mut lines, path)?;
    let (reader, left, file) = lines.data(header.data_file.as_deref(), path)?;
    let voxels = data(&header, reader, left, &file)?;
    Ok(Volume { space: header.space, voxels })
}

fn header(lines: &mut Lines<impl BufRead>, path: &Path) -> Result<Header> {
    let fields = Fields::read(lines, path)?;
    let (space, notes) = geometry::space(&fields, path)?;
    let encoding = fields.encoding(path)?;
    encoding.bytes(space.shape, path)?;
    Ok(Header {
        encoding,
        packing: fields.packing(path)?,
        space,
        notes,
        data_file: fields.data_file(path)?,
        line_skip: fields.number("line skip", path)?.unwrap_or(0),
        byte_skip: fields.number("byte skip", path)?.unwrap_or(0),
    })
}

/// Reads the voxels, of which with all before them `left` bytes are in the file.
fn data<V: Voxel>(header: &Header, mut reader: impl BufRead, mut left: u64, path: &Path) -> Result<Vec<V>> {
    let Header { encoding, space, .. } = header;
    for _ in 0..header.line_skip {
        let skipped = reader.skip_until(b'\n').map_err(|e| unreadable(path, &e))? as u64;
        if skipped == 0 {
            let expected = format!("{} lines before the voxels", header.line_skip);
            return Err(Error::new(path, Kind::Truncated, expected, "fewer lines")
                .hint("check that this is the right file"));
        }
        left = left.saturating_sub(skipped);
    }
    if header.packing == Packing::Text {
        return raw::text(encoding, space.shape, &mut reader, left, path);
    }
    let bytes = encoding.bytes(space.shape, path)?;
    let mut stream = match header.packing {
        Packing::Gzip => Stream::gzip(reader),
        _ => Stream::Plain(reader),
    };
    let before = match u64::try_from(header.byte_skip) {
        Ok(before) => before,
        Err(_) if header.byte_skip == -1 && stream.is_plain() => {
            raw::complete(bytes, left, path)?;
            left - bytes
        }
        Err(_) => {
            let found = header.byte_skip.to_string();
            return Err(Error::new(path, Kind::Format, "a byte skip of 0 or more", found)
                .hint("use a byte skip of -1 for raw voxels alone"));
        }
    };
    skip(&mut stream, before, path)?;
    left = left.saturating_sub(before);
    raw::voxels(encoding, space.shape, &mut stream, left, path)
}
