use glam::{DAffine3, DMat3, DQuat, DVec3};

use super::Geometry;
use crate::Space;
use crate::raw::spans_space;

/// How far the columns of an affine may be from orthogonal (as cosines) to be written as a
/// quaternion; beyond it the two forms in the header would contradict each other.
const ORTHOGONAL: f64 = 1e-6;

/// `NIFTI_XFORM_SCANNER_ANAT`: world coordinates are those of the scanner.
const SCANNER: i16 = 1;
const MILLIMETRES: u8 = 2;

/// The part of a header that says where voxels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    S,
    Q,
    None,
}

/// Two fields of one header may differ by this before that is told: parts of a voxel's side in place, and of its length.
const PLACE: f64 = 0.5;
const LENGTH: f64 = 0.01;

fn differ(one: [f64; 3], other: [f64; 3]) -> bool {
    one.into_iter().zip(other).any(|(one, other)| (one / other - 1.0).abs() > LENGTH)
}

impl Geometry {
    /// Describes an affine (RAS+ mm) that comes from no NIfTI file: as sform, and as qform too
    /// where a rotation and a spacing can express it.
    pub fn from_affine(world_from_voxel: &DAffine3) -> Self {
        let m = world_from_voxel.matrix3;
        let t = world_from_voxel.translation;
        let spacing = [m.x_axis.length(), m.y_axis.length(), m.z_axis.length()];
        let qfac = if m.determinant() < 0.0 { -1.0 } else { 1.0 };
        let axes = DMat3::from_cols(m.x_axis / spacing[0], m.y_axis / spacing[1], m.z_axis / spacing[2]);
        let rotation = rotation(axes, qfac);
        let q = rotation.unwrap_or(DQuat::IDENTITY);
        let q = if q.w < 0.0 { -q } else { q };
        Self {
            pixdim: [qfac, spacing[0], spacing[1], spacing[2], 0.0, 0.0, 0.0, 0.0],
            xyzt_units: MILLIMETRES,
            qform_code: if rotation.is_some() { SCANNER } else { 0 },
            sform_code: SCANNER,
            quaternion: [q.x, q.y, q.z],
            offset: t.to_array(),
            rows: std::array::from_fn(|r| [m.x_axis[r], m.y_axis[r], m.z_axis[r], t[r]]),
        }
    }

    /// The affine to RAS+ mm, chosen as nibabel does: sform where its code is positive, else
    /// qform where its code is, else the spacing alone with the volume centred on the origin and
    /// the first axis running to the patient's left. Otherwise than there, a singular sform counts as none.
    pub fn world_from_voxel(&self, shape: [usize; 3]) -> DAffine3 {
        match self.form() {
            Form::S => self.in_mm(self.sform()),
            Form::Q => self.in_mm(self.qform()),
            Form::None => self.in_mm(self.centred(shape)),
        }
    }

    /// Which of the two forms says where voxels lie.
    pub(super) fn form(&self) -> Form {
        let sform = self.in_mm(self.sform());
        match () {
            // Numbers that are none are damage, for the reader to refuse.
            () if self.sform_code > 0 && (spans_space(&sform) || !sform.is_finite()) => Form::S,
            () if self.qform_code > 0 => Form::Q,
            () => Form::None,
        }
    }

    fn in_mm(&self, native: DAffine3) -> DAffine3 {
        let mm = self.millimetres();
        DAffine3 { matrix3: native.matrix3 * mm, translation: native.translation * mm }
    }

    /// Sentences about fields that contradict each other, and which of them is taken.
    pub(super) fn contradictions(&self, shape: [usize; 3]) -> Vec<String> {
        let mut found = Vec::new();
        if self.sform_code > 0 && self.form() != Form::S {
            found.push("the sform is singular and counts as none".to_owned());
        }
        if self.form() != Form::S {
            return found;
        }
        let sform = Space::new(shape, self.in_mm(self.sform()));
        let said = self.spacing().map(|length| length * self.millimetres());
        if self.qform_code > 0 {
            let qform = Space::new(shape, self.in_mm(self.qform()));
            let apart = sform.corner_distance(&qform);
            let side = sform.spacing().into_iter().fold(f64::INFINITY, f64::min);
            if apart > PLACE * side || differ(sform.spacing(), qform.spacing()) {
                found.push(format!(
                    "sform and qform put voxels up to {apart:.2} mm apart: the sform is taken"
                ));
            }
        } else if differ(sform.spacing(), said) {
            let [sform, said] = [sform.spacing(), said].map(|mm| mm.map(|mm| format!("{mm:.3}")).join(" x "));
            found
                .push(format!("voxels are {sform} mm by the sform and {said} by pixdim: the sform is taken"));
        }
        found
    }

    /// Whether NIfTI-1 can hold it without loss.
    pub(super) fn is_f32(&self) -> bool {
        let exact = |x: &f64| f64::from(*x as f32) == *x;
        [&self.pixdim[..4], &self.quaternion, &self.offset, self.rows.as_flattened()]
            .into_iter()
            .all(|numbers| numbers.iter().all(exact))
    }

    /// The voxel spacing as stored, in the file's unit.
    pub fn spacing(&self) -> [f64; 3] {
        [self.pixdim[1], self.pixdim[2], self.pixdim[3]]
    }

    /// Millimetres in the file's unit of length (the low three bits of `xyzt_units`); where the
    /// file does not say, it means millimetres.
    fn millimetres(&self) -> f64 {
        match self.xyzt_units & 7 {
            1 => 1e3,
            3 => 1e-3,
            _ => 1.0,
        }
    }

    fn sform(&self) -> DAffine3 {
        let column = |c: usize| DVec3::from_array(self.rows.map(|row| row[c]));
        DAffine3 { matrix3: DMat3::from_cols(column(0), column(1), column(2)), translation: column(3) }
    }

    /// Method 2 of nifti1.h. A vector part longer than 1 is normalised, as the NIfTI C library
    /// does, and qfac 0 counts as 1.
    fn qform(&self) -> DAffine3 {
        let [b, c, d] = self.quaternion;
        let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
        let rotation = DMat3::from_quat(DQuat::from_xyzw(b, c, d, a).normalize());
        let mut spacing = DVec3::from_array(self.spacing());
        if self.pixdim[0] < 0.0 {
            spacing.z = -spacing.z;
        }
        DAffine3 {
            matrix3: rotation * DMat3::from_diagonal(spacing),
            translation: DVec3::from_array(self.offset),
        }
    }

    fn centred(&self, shape: [usize; 3]) -> DAffine3 {
        let spacing = DVec3::from_array(self.spacing()) * DVec3::new(-1.0, 1.0, 1.0);
        let centre = DVec3::from_array(shape.map(|n| (n as f64 - 1.0) / 2.0));
        DAffine3 { matrix3: DMat3::from_diagonal(spacing), translation: -centre * spacing }
    }
}

/// The rotation that takes the voxel axes (unit columns, the third times qfac) to the world, if
/// they are orthogonal.
fn rotation(axes: DMat3, qfac: f64) -> Option<DQuat> {
    let [x, y, z] = [axes.x_axis, axes.y_axis, axes.z_axis];
    let skew = x.dot(y).abs().max(y.dot(z).abs()).max(z.dot(x).abs());
    (skew <= ORTHOGONAL).then(|| DQuat::from_mat3(&DMat3::from_cols(x, y, z * qfac)))
}
