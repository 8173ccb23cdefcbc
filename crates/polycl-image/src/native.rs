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
