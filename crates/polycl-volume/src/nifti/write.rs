use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::code::code;
use super::header::{FIRST_VOXEL, SIZE};
use super::{Geometry, is_gzip, is_nifti};
use crate::raw::Datatype;
use crate::{Error, Image, Kind, Mask, Result, Space, Volume, output};

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

fn write<T: Copy, const N: usize>(
    path: &Path,
    volume: &Volume<T>,
    datatype: Datatype,
    bytes: impl Fn(T) -> [u8; N],
) -> Result<()> {
    if !is_nifti(path) {
        return Err(Error::new(path, Kind::Request, "a file name that ends in .nii or .nii.gz", "another")
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

/// The little-endian header and the four zeros that say "no extensions".
fn header<T>(path: &Path, volume: &Volume<T>, datatype: Datatype) -> Result<[u8; FIRST_VOXEL as usize]> {
    let dims = dims(path, volume)?;
    let geometry = geometry(&volume.space);
    let mut header = Fields([0; FIRST_VOXEL as usize]);
    header.put(0, (SIZE as i32).to_le_bytes());
    header.put_all(40, dims.map(i16::to_le_bytes));
    header.put(70, code(datatype).to_le_bytes());
    header.put(72, (8 * datatype.bytes() as i16).to_le_bytes());
    header.put_all(76, geometry.pixdim.map(f32::to_le_bytes));
    header.put(108, (FIRST_VOXEL as f32).to_le_bytes());
    header.put(112, 1f32.to_le_bytes());
    header.put(123, [geometry.xyzt_units]);
    header.put(252, geometry.qform_code.to_le_bytes());
    header.put(254, geometry.sform_code.to_le_bytes());
    header.put_all(256, geometry.quaternion.map(f32::to_le_bytes));
    header.put_all(268, geometry.offset.map(f32::to_le_bytes));
    for (r, row) in geometry.rows.iter().enumerate() {
        header.put_all(280 + 16 * r, row.map(f32::to_le_bytes));
    }
    header.put(344, *b"n+1\0");
    Ok(header.0)
}

struct Fields([u8; FIRST_VOXEL as usize]);

impl Fields {
    fn put<const N: usize>(&mut self, at: usize, field: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&field);
    }

    fn put_all<const N: usize, const COUNT: usize>(&mut self, at: usize, fields: [[u8; N]; COUNT]) {
        self.0[at..at + N * COUNT].copy_from_slice(fields.as_flattened());
    }
}

/// The source's own fields, unless the space was changed since it was read.
fn geometry(space: &Space) -> Geometry {
    let unchanged = |native: &Geometry| native.world_from_voxel(space.shape) == space.world_from_voxel;
    space.native.filter(unchanged).unwrap_or_else(|| Geometry::from_affine(&space.world_from_voxel))
}

fn dims<T>(path: &Path, volume: &Volume<T>) -> Result<[i16; 8]> {
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
        match i16::try_from(n) {
            Ok(n) if n > 0 => *dim = n,
            _ => return wrong("1 to 32767 voxels along each axis (NIfTI-1)", format!("{shape:?}")),
        }
    }
    Ok(dims)
}
