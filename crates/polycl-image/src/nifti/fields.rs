use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::Geometry;
use crate::raw::Order;

/// Bytes of a NIfTI-1 header and of a NIfTI-2 header; the first field holds this number and so
/// tells version and byte order.
pub(super) const SIZE: usize = 348;
pub(super) const SIZE_2: usize = 540;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    /// Bytes of the header.
    pub fn size(self) -> usize {
        match self {
            Self::One => SIZE,
            Self::Two => SIZE_2,
        }
    }

    /// Offset of the voxels in a `.nii` file that has no extensions.
    pub fn first_voxel(self) -> u64 {
        self.size() as u64 + 4
    }

    /// The magic of a file whose voxels follow the header, and of one that keeps them apart.
    pub fn magics(self) -> [&'static [u8]; 2] {
        match self {
            Self::One => [b"n+1\0", b"ni1\0"],
            Self::Two => [b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"],
        }
    }
}

/// The version and byte order of the header that begins with these bytes.
pub(super) fn version(bytes: &[u8; SIZE], path: &Path) -> Result<(Version, Order)> {
    let first = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let sizes = [(Order::Little, i32::from_le_bytes(first)), (Order::Big, i32::from_be_bytes(first))];
    for (order, size) in sizes {
        for version in [Version::One, Version::Two] {
            if size == version.size() as i32 {
                return Ok((version, order));
            }
        }
    }
    let wrong = |found: &str| Error::new(path, Kind::Format, "a NIfTI file", found);
    if &bytes[128..132] == b"DICM" {
        return Err(wrong("a DICOM file").hint("convert the series to NIfTI first, e.g. with dcm2niix"));
    }
    Err(wrong("other data").hint("check that the file is complete and an image"))
}

/// The fields of a header that we need, as they stand there. Free-text fields are never looked at: they may
/// name the patient.
pub(super) struct Fields {
    pub version: Version,
    pub order: Order,
    pub magic: Vec<u8>,
    pub datatype: i16,
    pub dim: [i64; 8],
    pub vox_offset: f64,
    pub slope: f64,
    pub intercept: f64,
    pub geometry: Geometry,
}

impl Fields {
    /// Takes the fields from the bytes of a whole header.
    pub fn parse(bytes: &[u8], version: Version, order: Order) -> Self {
        let raw = Raw { bytes, order };
        match version {
            Version::One => raw.version_1(),
            Version::Two => raw.version_2(),
        }
    }
}

/// The bytes of a header, asked for by offset.
struct Raw<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl Raw<'_> {
    /// As nifti1.h lays it out.
    fn version_1(&self) -> Fields {
        let geometry = Geometry {
            pixdim: std::array::from_fn(|i| self.f32(76 + 4 * i)),
            xyzt_units: self.bytes[123],
            qform_code: self.i16(252),
            sform_code: self.i16(254),
            quaternion: std::array::from_fn(|i| self.f32(256 + 4 * i)),
            offset: std::array::from_fn(|i| self.f32(268 + 4 * i)),
            rows: std::array::from_fn(|r| std::array::from_fn(|c| self.f32(280 + 16 * r + 4 * c))),
        };
        Fields {
            version: Version::One,
            order: self.order,
            magic: self.bytes[344..348].to_vec(),
            datatype: self.i16(70),
            dim: std::array::from_fn(|i| i64::from(self.i16(40 + 2 * i))),
            vox_offset: self.f32(108),
            slope: self.f32(112),
            intercept: self.f32(116),
            geometry: unsigned(geometry),
        }
    }

    /// As nifti2.h lays it out. Codes are of 32 bits there; none of them is above 16 bits.
    fn version_2(&self) -> Fields {
        let code = |at| i16::try_from(self.i32(at)).unwrap_or(0);
        let geometry = Geometry {
            pixdim: std::array::from_fn(|i| self.f64(104 + 8 * i)),
            xyzt_units: u8::try_from(self.i32(500)).unwrap_or(0),
            qform_code: code(344),
            sform_code: code(348),
            quaternion: std::array::from_fn(|i| self.f64(352 + 8 * i)),
            offset: std::array::from_fn(|i| self.f64(376 + 8 * i)),
            rows: std::array::from_fn(|r| std::array::from_fn(|c| self.f64(400 + 32 * r + 8 * c))),
        };
        Fields {
            version: Version::Two,
            order: self.order,
            magic: self.bytes[4..12].to_vec(),
            datatype: self.i16(12),
            dim: std::array::from_fn(|i| self.i64(16 + 8 * i)),
            vox_offset: self.i64(168) as f64,
            slope: self.f64(176),
            intercept: self.f64(184),
            geometry: unsigned(geometry),
        }
    }

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

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.at(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.at(at))
    }

    fn f32(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.at(at)))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.at(at))
    }
}

/// Lengths are taken without their sign, as nibabel does: some writers leave a flip there.
fn unsigned(mut geometry: Geometry) -> Geometry {
    geometry.pixdim[1..4].iter_mut().for_each(|length| *length = length.abs());
    geometry
}
