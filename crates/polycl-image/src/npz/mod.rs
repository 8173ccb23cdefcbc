//! Stacks of slices in NumPy's archives, as MedSAM2 keeps them: `imgs` [slices, rows, columns], and
//! where they are known `gts` of the same shape, and `spacing`, `origin` and `direction` as
//! SimpleITK gives them (x, y, z; LPS+ mm). Pickled objects are refused.

mod npy;

use std::path::Path;

use glam::{DMat3, DVec3};
use polycl_base::archive::Archive;
use polycl_base::{Error, Kind, Result};

use crate::raw::{self, Head, Source, Voxel, list};
use crate::{Space, Volume};
use npy::Array;

/// The members that hold a scan and its mask.
pub(crate) const IMAGE: &str = "imgs.npy";
pub(crate) const MASK: &str = "gts.npy";

type Zip<'s, 'a> = Archive<&'s mut Source<'a>>;

pub(crate) fn head(source: &mut Source, path: &Path) -> Result<Head> {
    header_alone(source, path).map_err(hinted)
}

/// Reads the volume in one member.
pub(crate) fn volume<V: Voxel>(source: &mut Source, member: &str, path: &Path) -> Result<Volume<V>> {
    read(source, member, path).map_err(hinted)
}

/// Adds a hint to an error of the archive itself, which has none.
fn hinted(error: Error) -> Error {
    if error.hint.is_some() { error } else { error.hint("write it again with numpy.savez_compressed") }
}

fn header_alone(source: &mut Source, path: &Path) -> Result<Head> {
    let mut zip = open(source, path)?;
    let (array, shape) = header(&mut zip, IMAGE, path)?;
    let (space, notes) = geometry(&mut zip, shape, path)?;
    Ok(Head { space, encoding: array.encoding, notes })
}

fn read<V: Voxel>(source: &mut Source, member: &str, path: &Path) -> Result<Volume<V>> {
    let mut zip = open(source, path)?;
    if zip.names().all(|name| name != member) {
        let hint = "write it with numpy.savez_compressed(file, imgs=..., gts=..., spacing=...)";
        return Err(
            Error::new(path, Kind::Format, format!("{member} in the archive"), "no such array").hint(hint)
        );
    }
    let (_, shape) = header(&mut zip, member, path)?;
    let (space, _) = geometry(&mut zip, shape, path)?;
    let mut content = zip.content(member)?;
    let array = Array::read(&mut content, member, path)?;
    let voxels = if array.fortran {
        let [x, y, z] = shape;
        transposed(&raw::to_end(&array.encoding, [z, y, x], &mut content, path)?, shape, path)?
    } else {
        raw::to_end(&array.encoding, shape, &mut content, path)?
    };
    Ok(Volume { space, voxels })
}

fn open<'s, 'a>(source: &'s mut Source<'a>, path: &Path) -> Result<Zip<'s, 'a>> {
    source.hash_first(path)?;
    let len = source.len();
    Archive::new(source, len, path)
}

/// The header of a stack, and its shape from the fastest axis on.
fn header(zip: &mut Zip, member: &str, path: &Path) -> Result<(Array, [usize; 3])> {
    let array = Array::read(&mut zip.content(member)?, member, path)?;
    let [z, y, x] = *array.shape.as_slice() else {
        let found = format!("{}D, {}", array.shape.len(), list(&array.shape));
        return Err(Error::new(path, Kind::Geometry, format!("{member} of [slices, rows, columns]"), found)
            .hint("stack the slices along the first axis, one value per pixel"));
    };
    array.encoding.bytes([x, y, z], path)?;
    Ok((array, [x, y, z]))
}

/// The space of the stack, and what we had to assume for it.
fn geometry(zip: &mut Zip, shape: [usize; 3], path: &Path) -> Result<(Space, Vec<String>)> {
    let mut notes = Vec::new();
    let spacing = numbers(zip, "spacing.npy", path)?.unwrap_or_else(|| {
        notes.push("the archive holds no spacing: voxels are taken to be 1 mm apart".into());
        [1.0; 3]
    });
    if !spacing.iter().all(|&length| length > 0.0) {
        return Err(Error::new(path, Kind::Geometry, "a positive voxel spacing", list(&spacing))
            .hint("give spacing in millimetres along x, y and z"));
    }
    let origin = numbers(zip, "origin.npy", path)?.unwrap_or_else(|| {
        notes.push("the archive holds no origin: the first voxel is taken to lie at 0, 0, 0".into());
        [0.0; 3]
    });
    let rows = numbers(zip, "direction.npy", path)?.unwrap_or_else(|| {
        notes.push("the archive holds no direction: columns are taken to run to the patient's left, rows to posterior, slices to superior".into());
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    });
    let axes = DMat3::from_cols_array(&rows).transpose() * DMat3::from_diagonal(DVec3::from_array(spacing));
    let space = raw::space(shape, raw::from_lps(axes, DVec3::from_array(origin)), path)?;
    Ok((space, notes))
}

/// The numbers of a short array, if it is there.
fn numbers<const N: usize>(zip: &mut Zip, member: &str, path: &Path) -> Result<Option<[f64; N]>> {
    if zip.names().all(|name| name != member) {
        return Ok(None);
    }
    let mut content = zip.content(member)?;
    let array = Array::read(&mut content, member, path)?;
    let count = array.shape.iter().try_fold(1, |all: usize, &side| all.checked_mul(side));
    if count != Some(N) {
        return Err(Error::new(path, Kind::Geometry, format!("{member} of {N} numbers"), list(&array.shape))
            .hint("write it as SimpleITK gives it, e.g. numpy.array(image.GetSpacing())"));
    }
    let read: Vec<f64> = raw::to_end(&array.encoding, [N, 1, 1], &mut content, path)?;
    Ok(read.try_into().ok())
}

/// From an array whose first axis runs fastest to one whose last does.
fn transposed<V: Voxel>(voxels: &[V], [x, y, z]: [usize; 3], path: &Path) -> Result<Vec<V>> {
    let mut out = Vec::new();
    raw::reserve(&mut out, voxels.len(), path)?;
    for k in 0..z {
        for j in 0..y {
            out.extend((0..x).map(|i| voxels[k + z * (j + y * i)]));
        }
    }
    Ok(out)
}
