use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the two places of a NIfTI header that say where voxels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Three rows of an affine.
    Sform,
    /// A quaternion, an offset and the lengths in `pixdim`.
    Qform,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sform => "sform",
            Self::Qform => "qform",
        })
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |form: &Self| form.to_string() == text;
        [Self::Sform, Self::Qform].into_iter().find(named).ok_or_else(|| "expected sform or qform".to_owned())
    }
}

/// The fields of a NIfTI header that say where voxels lie, as stored (NIfTI-1 has f32). Lengths
/// are in the file's own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// `pixdim[0]` is qfac, the handedness of the quaternion form; 1 to 3 are the spacing.
    pub pixdim: [f64; 8],
    pub xyzt_units: u8,
    pub qform_code: i16,
    pub sform_code: i16,
    /// `quatern_b`, `quatern_c`, `quatern_d`.
    pub quaternion: [f64; 3],
    pub offset: [f64; 3],
    /// `srow_x`, `srow_y`, `srow_z`.
    pub rows: [[f64; 4]; 3],
}
