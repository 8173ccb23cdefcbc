use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::Form;
use super::code::datatype_of;
use super::fields::Fields;
use crate::Space;
use crate::raw::{self, Datatype, Encoding, list, spans_space};

/// The content of a header that we need, checked.
#[derive(Debug)]
pub(super) struct Header {
    pub encoding: Encoding,
    /// Bytes of the header itself, and before the first voxel.
    pub header_bytes: u64,
    pub first_voxel: u64,
    pub space: Space,
}

impl Header {
    pub fn check(fields: &Fields, trust: Option<Form>, path: &Path) -> Result<Self> {
        single_file(fields, path)?;
        let datatype = datatype(fields, path)?;
        let space = space(fields, trust, path)?;
        let (slope, intercept) = scaling(fields, path)?;
        let encoding = Encoding { datatype, order: fields.order, slope, intercept };
        encoding.bytes(space.shape, path)?;
        let header_bytes = fields.version.size() as u64;
        Ok(Self { encoding, header_bytes, first_voxel: first_voxel(fields, path)?, space })
    }
}

fn single_file(fields: &Fields, path: &Path) -> Result<()> {
    let wrong =
        |found: &str| Error::new(path, Kind::Format, "a single-file NIfTI image (magic n+1 or n+2)", found);
    let [single, pair] = fields.version.magics();
    match fields.magic.as_slice() {
        magic if magic == single => Ok(()),
        magic if magic == pair => Err(wrong("a detached .hdr/.img pair (magic ni1 or ni2)")
            .hint("join the pair into one .nii.gz, e.g. nibabel.load(hdr).to_filename(\"scan.nii.gz\")")),
        _ => Err(wrong("another magic")
            .hint("convert the scan from its source: Analyze 7.5 files do not say where voxels lie")),
    }
}

fn datatype(fields: &Fields, path: &Path) -> Result<Datatype> {
    let code = fields.datatype;
    datatype_of(code).map_err(|name| {
        Error::new(path, Kind::Format, "real numbers of 8 to 64 bits", format!("{name} (datatype {code})"))
            .hint("convert it to int16 or float32 with one value per voxel")
    })
}

/// The slope 0 (or one that is no number) means that voxels are stored as they are.
fn scaling(fields: &Fields, path: &Path) -> Result<(f64, f64)> {
    let (slope, intercept) = (fields.slope, fields.intercept);
    if slope == 0.0 || !slope.is_finite() {
        return Ok((1.0, 0.0));
    }
    if !intercept.is_finite() {
        return Err(Error::new(path, Kind::Format, "a finite scl_inter", intercept.to_string())
            .hint("export the scan again: the intensity scaling of its header is damaged"));
    }
    Ok((slope, intercept))
}

/// Some writers leave 0 for "right behind the header"; any other start must lie behind it. Beyond
/// 2 GiB it is damaged: of a compressed file all bytes before it would have to be decoded.
fn first_voxel(fields: &Fields, path: &Path) -> Result<u64> {
    let (offset, first) = (fields.vox_offset, fields.version.first_voxel());
    if offset == 0.0 {
        return Ok(first);
    }
    if offset.fract() != 0.0 || offset < first as f64 || offset > f64::from(i32::MAX) {
        let expected = format!("a vox_offset of {first} or more bytes");
        return Err(Error::new(path, Kind::Format, expected, offset.to_string())
            .hint("export the scan again: its header is damaged"));
    }
    Ok(offset as u64)
}

fn space(fields: &Fields, trust: Option<Form>, path: &Path) -> Result<Space> {
    let shape = shape(fields, path)?;
    let native = fields.geometry;
    let spacing = native.spacing();
    if !spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Err(Error::new(path, Kind::Geometry, "a positive voxel spacing", list(&spacing))
            .hint("export the scan again: pixdim of the header is damaged"));
    }
    let world_from_voxel = native.affine(trust, shape);
    if !spans_space(&world_from_voxel) {
        let found = match native.taken(trust) {
            Some(Form::Sform) => "a singular sform",
            Some(Form::Qform) => "a singular qform",
            None => "a singular geometry",
        };
        return Err(Error::new(path, Kind::Geometry, "an affine that can be inverted", found)
            .hint("export the scan again: its header does not say where voxels lie"));
    }
    Ok(Space { shape, world_from_voxel, native: Some(native) })
}

/// The three dimensions of a volume; further ones must have length 1.
fn shape(fields: &Fields, path: &Path) -> Result<[usize; 3]> {
    let dim = fields.dim;
    if !(1..=7).contains(&dim[0]) {
        return Err(Error::new(path, Kind::Format, "1 to 7 dimensions", dim[0].to_string())
            .hint("export the scan again: its header is damaged"));
    }
    let dims = &dim[1..=dim[0] as usize];
    let wrong =
        || Error::new(path, Kind::Geometry, "a 3D volume", format!("{}D, {}", dims.len(), list(dims)));
    if dims.len() < 3 {
        return Err(wrong().hint("stack the slices of a scan into one 3D file"));
    }
    if dims.iter().any(|&n| n < 1) {
        return Err(wrong().hint("export the scan again: every dimension must be at least 1"));
    }
    if dims[3..].iter().any(|&n| n > 1) {
        return Err(wrong().hint(raw::several(dims)));
    }
    Ok([0, 1, 2].map(|axis| dims[axis] as usize))
}
