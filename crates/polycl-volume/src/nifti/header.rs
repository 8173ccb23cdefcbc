use std::path::Path;

use super::Geometry;
use super::code::datatype_of;
use crate::raw::{Datatype, Encoding, Order, list, spans_space};
use crate::{Error, Kind, Result, Space};

/// Bytes of a NIfTI-1 header; the first field holds this number and so tells the byte order.
pub(super) const SIZE: usize = 348;
/// Where voxels start in a `.nii` file that has no extensions.
pub(super) const FIRST_VOXEL: u64 = 352;
const SIZE_NIFTI2: i32 = 540;

/// What we need of a NIfTI-1 header, checked. Free-text fields are never looked at: they may
/// name the patient.
#[derive(Debug)]
pub(super) struct Header {
    pub encoding: Encoding,
    /// Bytes before the first voxel.
    pub first_voxel: u64,
    pub space: Space,
}

impl Header {
    pub fn parse(bytes: &[u8; SIZE], path: &Path) -> Result<Self> {
        let fields = Fields { bytes, order: byte_order(bytes, path)? };
        single_file(&bytes[344..348], path)?;
        let datatype = datatype(&fields, path)?;
        let space = space(&fields, path)?;
        let (slope, intercept) = scaling(&fields, path)?;
        let encoding = Encoding { datatype, order: fields.order, slope, intercept };
        encoding.bytes(space.shape, path)?;
        let first_voxel = first_voxel(&fields, path)?;
        Ok(Self { encoding, first_voxel, space })
    }
}

/// The raw fields, by their offset in the header.
struct Fields<'a> {
    bytes: &'a [u8; SIZE],
    order: Order,
}

impl Fields<'_> {
    fn at<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field: [u8; N] = std::array::from_fn(|i| self.bytes[at + i]);
        if self.order == Order::Big {
            field.reverse();
        }
        field
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.at(at))
    }

    fn f32(&self, at: usize) -> f32 {
        f32::from_le_bytes(self.at(at))
    }

    fn f32s<const N: usize>(&self, at: usize) -> [f32; N] {
        std::array::from_fn(|i| self.f32(at + 4 * i))
    }

    /// Lengths are taken without their sign, as nibabel does: some writers leave a flip there.
    fn geometry(&self) -> Geometry {
        let mut pixdim: [f32; 8] = self.f32s(76);
        pixdim[1..4].iter_mut().for_each(|length| *length = length.abs());
        Geometry {
            pixdim,
            xyzt_units: self.bytes[123],
            qform_code: self.i16(252),
            sform_code: self.i16(254),
            quaternion: self.f32s(256),
            offset: self.f32s(268),
            rows: std::array::from_fn(|r| self.f32s(280 + 16 * r)),
        }
    }
}

fn byte_order(bytes: &[u8; SIZE], path: &Path) -> Result<Order> {
    let first = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let (little, big) = (i32::from_le_bytes(first), i32::from_be_bytes(first));
    if little == SIZE as i32 {
        return Ok(Order::Little);
    }
    if big == SIZE as i32 {
        return Ok(Order::Big);
    }
    let wrong = |found: &str| Error::new(path, Kind::Format, "a NIfTI-1 file", found);
    if little == SIZE_NIFTI2 || big == SIZE_NIFTI2 {
        return Err(wrong("NIfTI-2").hint(
            "save it as NIfTI-1, e.g. nibabel: Nifti1Image.from_image(nibabel.load(file)).to_filename(...)",
        ));
    }
    if &bytes[128..132] == b"DICM" {
        return Err(wrong("a DICOM file").hint("convert the series to NIfTI first, e.g. with dcm2niix"));
    }
    Err(wrong("other data").hint("is the file complete, and is it an image?"))
}

fn single_file(magic: &[u8], path: &Path) -> Result<()> {
    let wrong =
        |found: &str| Error::new(path, Kind::Format, "a single-file NIfTI-1 image (magic n+1)", found);
    match magic {
        b"n+1\0" => Ok(()),
        b"ni1\0" => Err(wrong("a detached .hdr/.img pair (magic ni1)")
            .hint("join the pair into one .nii.gz, e.g. nibabel.load(hdr).to_filename(\"scan.nii.gz\")")),
        _ => Err(wrong("another magic")
            .hint("Analyze 7.5 files do not say where voxels lie: convert from the source")),
    }
}

fn datatype(fields: &Fields, path: &Path) -> Result<Datatype> {
    let code = fields.i16(70);
    datatype_of(code).map_err(|name| {
        Error::new(path, Kind::Format, "real numbers of 8 to 64 bits", format!("{name} (datatype {code})"))
            .hint("convert it to int16 or float32 with one value per voxel")
    })
}

/// The slope 0 (or one that is no number) means that voxels are stored as they are.
fn scaling(fields: &Fields, path: &Path) -> Result<(f64, f64)> {
    let (slope, intercept) = (fields.f32(112), fields.f32(116));
    if slope == 0.0 || !slope.is_finite() {
        return Ok((1.0, 0.0));
    }
    if !intercept.is_finite() {
        return Err(Error::new(path, Kind::Format, "a finite scl_inter", intercept.to_string())
            .hint("the header's intensity scaling is damaged: export the scan again"));
    }
    Ok((f64::from(slope), f64::from(intercept)))
}

/// Some writers leave 0 for "right behind the header"; any other start must lie behind it.
fn first_voxel(fields: &Fields, path: &Path) -> Result<u64> {
    let offset = f64::from(fields.f32(108));
    if offset == 0.0 {
        return Ok(FIRST_VOXEL);
    }
    if offset.fract() != 0.0 || offset < FIRST_VOXEL as f64 || offset > f64::from(i32::MAX) {
        return Err(Error::new(path, Kind::Format, "a vox_offset of 352 or more bytes", offset.to_string())
            .hint("the header is damaged: export the scan again"));
    }
    Ok(offset as u64)
}

fn space(fields: &Fields, path: &Path) -> Result<Space> {
    let shape = shape(fields, path)?;
    let native = fields.geometry();
    let spacing = native.spacing();
    if !spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Err(Error::new(path, Kind::Geometry, "a positive voxel spacing", list(&spacing))
            .hint("pixdim of the header is damaged: export the scan again"));
    }
    let world_from_voxel = native.world_from_voxel(shape);
    let space = Space { shape, world_from_voxel, native: Some(native) };
    if !spans_space(&world_from_voxel) {
        let form = if native.sform_code > 0 { "sform" } else { "qform" };
        return Err(Error::new(
            path,
            Kind::Geometry,
            "an affine that can be inverted",
            format!("a singular {form}"),
        )
        .hint("the header does not say where voxels lie: export the scan again"));
    }
    Ok(space)
}

/// The three dimensions of a volume; further ones must have length 1.
fn shape(fields: &Fields, path: &Path) -> Result<[usize; 3]> {
    let dim: [i16; 8] = std::array::from_fn(|i| fields.i16(40 + 2 * i));
    if !(1..=7).contains(&dim[0]) {
        return Err(Error::new(path, Kind::Format, "1 to 7 dimensions", dim[0].to_string())
            .hint("the header is damaged: export the scan again"));
    }
    let dims = &dim[1..=dim[0] as usize];
    let wrong =
        || Error::new(path, Kind::Geometry, "a 3D volume", format!("{}D, {}", dims.len(), list(dims)));
    if dims.len() < 3 {
        return Err(wrong().hint("stack the slices of a scan into one 3D file"));
    }
    if dims.iter().any(|&n| n < 1) {
        return Err(wrong().hint("every dimension must be at least 1: export the scan again"));
    }
    if dims[3..].iter().any(|&n| n > 1) {
        return Err(wrong().hint("split the series and give each volume as a file of its own"));
    }
    Ok([0, 1, 2].map(|axis| dims[axis] as usize))
}
