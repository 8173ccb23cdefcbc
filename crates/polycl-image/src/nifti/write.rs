use std::io::{self, BufRead, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use polycl_base::{Error, Kind, Result, output};

use super::code::code;
use super::fields::{SIZE, SIZE_2};
use super::{Geometry, is_gzip, is_nifti};
use crate::raw::{Datatype, GZIP, Source};
use crate::{Image, Mask, Space, Volume};

/// Writes labels as u8, or as u16 where one is above 255, with exactly the geometry of the image
/// they belong to: the header fields of the file that `mask.space` came from. Compressed where
/// the name ends in `.gz`. The mask of an image of shape (x, y, z, 1) has the shape (x, y, z).
pub fn write_mask(path: &Path, mask: &Mask) -> Result<()> {
    if mask.voxels.iter().all(|&label| label <= 255) {
        write(path, mask, Datatype::U8, |label| [label as u8])
    } else {
        write(path, mask, Datatype::U16, u16::to_le_bytes)
    }
}

/// Writes HU as f32, with the geometry written as by [`write_mask`].
pub fn write_image(path: &Path, image: &Image) -> Result<()> {
    write(path, image, Datatype::F32, f32::to_le_bytes)
}

/// Writes HU rounded to whole numbers as i16, as scanners do, in half the bytes of
/// [`write_image`]. HU beyond i16 become its ends.
pub fn write_ct(path: &Path, image: &Image) -> Result<()> {
    write(path, image, Datatype::I16, |hu| (hu.round() as i16).to_le_bytes())
}

/// Copies a file as it is, but compressed where it is not: the ending of its name need not tell. The SHA-256 (lower-case hex)
/// of the file that was copied.
pub fn copy_compressed(from: &Path, to: &Path) -> Result<String> {
    let mut source = Source::hashed(from)?;
    let mut bytes = source.buffered();
    let start = bytes.fill_buf().map_err(|e| Error::io(from, "read it", &e))?;
    let compressed = start.starts_with(&GZIP);
    output::atomically(to, |file| {
        if compressed {
            return io::copy(&mut bytes, file).map(drop);
        }
        let mut gzip = GzEncoder::new(file, Compression::default());
        io::copy(&mut bytes, &mut gzip)?;
        gzip.finish().map(drop)
    })?;
    drop(bytes);
    source.sha256(from)
}

fn write<T: Copy, const N: usize>(
    path: &Path,
    volume: &Volume<T>,
    datatype: Datatype,
    bytes: impl Fn(T) -> [u8; N],
) -> Result<()> {
    if !is_nifti(path) {
        return Err(Error::new(
            path,
            Kind::Request,
            "a file name that ends in .nii or .nii.gz",
            "another ending",
        )
        .hint("name the file CASE.nii.gz"));
    }
    let header = header(path, volume, datatype)?;
    output::atomically(path, |file| {
        if is_gzip(path) {
            let mut gzip = GzEncoder::new(file, Compression::default());
            content(&mut gzip, &header, volume, bytes)?;
            gzip.finish().map(|_| ())
        } else {
            content(file, &header, volume, bytes)
        }
    })
}

fn content<T: Copy, const N: usize>(
    out: &mut impl Write,
    header: &[u8],
    volume: &Volume<T>,
    bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    out.write_all(header)?;
    let mut chunk = Vec::new();
    for voxels in volume.voxels.chunks(1 << 16) {
        chunk.clear();
        chunk.extend(voxels.iter().flat_map(|&voxel| bytes(voxel)));
        out.write_all(&chunk)?;
    }
    Ok(())
}

/// The little-endian header and the four zeros that say "no extensions": of NIfTI-1, which all
/// programs read, unless it cannot hold the shape or what a NIfTI-2 file said of its geometry.
fn header<T>(path: &Path, volume: &Volume<T>, datatype: Datatype) -> Result<Vec<u8>> {
    let dims = dims(path, volume)?;
    let (geometry, own) = geometry(&volume.space);
    let short = dims.iter().all(|&n| i16::try_from(n).is_ok());
    let header = if short && (geometry.is_f32() || !own) { version_1 } else { version_2 };
    Ok(header(dims, &geometry, datatype))
}

fn version_1(dims: [i64; 8], geometry: &Geometry, datatype: Datatype) -> Vec<u8> {
    let f32s = |x: f64| (x as f32).to_le_bytes();
    let mut header = Fields(vec![0; SIZE + 4]);
    header.put(0, (SIZE as i32).to_le_bytes());
    header.put_all(40, &dims.map(|n| (n as i16).to_le_bytes()));
    header.put(70, code(datatype).to_le_bytes());
    header.put(72, (8 * datatype.bytes() as i16).to_le_bytes());
    header.put_all(76, &geometry.pixdim.map(f32s));
    header.put(108, ((SIZE + 4) as f32).to_le_bytes());
    header.put(112, 1f32.to_le_bytes());
    header.put(123, [geometry.xyzt_units]);
    header.put(252, geometry.qform_code.to_le_bytes());
    header.put(254, geometry.sform_code.to_le_bytes());
    header.put_all(256, &geometry.quaternion.map(f32s));
    header.put_all(268, &geometry.offset.map(f32s));
    header.put_all(280, geometry.rows.map(|row| row.map(f32s)).as_flattened());
    header.put(344, *b"n+1\0");
    header.0
}

fn version_2(dims: [i64; 8], geometry: &Geometry, datatype: Datatype) -> Vec<u8> {
    let mut header = Fields(vec![0; SIZE_2 + 4]);
    header.put(0, (SIZE_2 as i32).to_le_bytes());
    header.put(4, *b"n+2\0\r\n\x1a\n");
    header.put(12, code(datatype).to_le_bytes());
    header.put(14, (8 * datatype.bytes() as i16).to_le_bytes());
    header.put_all(16, &dims.map(i64::to_le_bytes));
    header.put_all(104, &geometry.pixdim.map(f64::to_le_bytes));
    header.put(168, (SIZE_2 as i64 + 4).to_le_bytes());
    header.put(176, 1f64.to_le_bytes());
    header.put(344, i32::from(geometry.qform_code).to_le_bytes());
    header.put(348, i32::from(geometry.sform_code).to_le_bytes());
    header.put_all(352, &geometry.quaternion.map(f64::to_le_bytes));
    header.put_all(376, &geometry.offset.map(f64::to_le_bytes));
    header.put_all(400, geometry.rows.map(|row| row.map(f64::to_le_bytes)).as_flattened());
    header.put(500, i32::from(geometry.xyzt_units).to_le_bytes());
    header.0
}

struct Fields(Vec<u8>);

impl Fields {
    fn put<const N: usize>(&mut self, at: usize, field: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&field);
    }

    fn put_all<const N: usize>(&mut self, at: usize, fields: &[[u8; N]]) {
        self.0[at..at + N * fields.len()].copy_from_slice(fields.as_flattened());
    }
}

/// The source's own fields, unless the space was changed since it was read; and whether they are.
fn geometry(space: &Space) -> (Geometry, bool) {
    let unchanged = |native: &Geometry| native.world_from_voxel(space.shape) == space.world_from_voxel;
    match space.native.filter(unchanged) {
        Some(native) => (native.for_writing(), true),
        None => (Geometry::from_affine(&space.world_from_voxel), false),
    }
}

fn dims<T>(path: &Path, volume: &Volume<T>) -> Result<[i64; 8]> {
    let shape = volume.space.shape;
    let wrong = |expected: &str, found: String| Err(Error::new(path, Kind::Geometry, expected, found));
    if volume.voxels.len() != volume.space.voxels() {
        return wrong("as many voxels as the shape says", format!("{} for {shape:?}", volume.voxels.len()));
    }
    let affine = volume.space.world_from_voxel;
    if !affine.is_finite() || affine.matrix3.determinant() == 0.0 {
        return wrong("an affine that can be inverted", "a singular one".into());
    }
    let mut dims = [3, 1, 1, 1, 1, 1, 1, 1];
    for (dim, n) in dims[1..].iter_mut().zip(shape) {
        match i64::try_from(n) {
            Ok(n) if n > 0 => *dim = n,
            _ => return wrong("at least one voxel along each axis", format!("{shape:?}")),
        }
    }
    Ok(dims)
}
