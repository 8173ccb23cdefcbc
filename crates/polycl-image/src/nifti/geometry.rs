use glam::{DAffine3, DMat3, DQuat, DVec3};

use super::{Form, Geometry};
use crate::Space;
use crate::raw::spans_space;

/// Largest cosine between columns of an affine that is written as a
/// quaternion; beyond it the two forms in the header would contradict each other.
const ORTHOGONAL: f64 = 1e-6;

/// `NIFTI_XFORM_SCANNER_ANAT`: world coordinates are those of the scanner.
const SCANNER: i16 = 1;
const MILLIMETRES: u8 = 2;

/// Two fields of one header that differ by so much are told: parts of a voxel's side in place, and of its length. A
/// little less than a half and than a hundredth, for single precision.
const PLACE: f64 = 0.499;
const LENGTH: f64 = 0.0099;

fn differ(one: [f64; 3], other: [f64; 3]) -> bool {
    one.into_iter().zip(other).any(|(one, other)| one.max(other) >= one.min(other) * (1.0 + LENGTH))
}

/// Lengths as a message shows them.
fn mm(lengths: [f64; 3]) -> String {
    lengths.map(|mm| format!("{mm:.3}")).join(" x ")
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
        self.affine(None, shape)
    }

    /// As [`Self::world_from_voxel`], but by the form that is trusted, if the header has it.
    pub(super) fn affine(&self, trust: Option<Form>, shape: [usize; 3]) -> DAffine3 {
        match self.taken(trust) {
            Some(Form::Sform) => self.in_mm(self.sform()),
            Some(Form::Qform) => self.in_mm(self.qform()),
            None => self.in_mm(self.centred(shape)),
        }
    }

    /// The form that says where voxels lie; `None` where the header has neither.
    pub(super) fn taken(&self, trust: Option<Form>) -> Option<Form> {
        let sform = self.in_mm(self.sform());
        let has_qform = self.qform_code > 0;
        // Where nothing else says it, numbers that are none are damage, for the reader to refuse.
        let is_damaged = !sform.is_finite() && !has_qform;
        let has_sform = self.sform_code > 0 && (spans_space(&sform) || is_damaged);
        match () {
            () if has_qform && (trust == Some(Form::Qform) || !has_sform) => Some(Form::Qform),
            () if has_sform => Some(Form::Sform),
            () => None,
        }
    }

    /// As it is written: without a sform that counts as none.
    pub(super) fn for_writing(mut self) -> Self {
        if self.sform_code > 0 && self.taken(None) != Some(Form::Sform) {
            (self.sform_code, self.rows) = (0, [[0.0; 4]; 3]);
        }
        self
    }

    fn in_mm(&self, native: DAffine3) -> DAffine3 {
        let mm = self.millimetres();
        DAffine3 { matrix3: native.matrix3 * mm, translation: native.translation * mm }
    }

    /// Sentences about fields that contradict each other, and which of them is taken.
    pub(super) fn contradictions(&self, trust: Option<Form>, shape: [usize; 3]) -> Vec<String> {
        let has_sform = self.taken(None) == Some(Form::Sform);
        if !has_sform {
            let singular = self.sform_code > 0;
            return Vec::from_iter(
                singular.then(|| "the sform is singular and counts as missing".to_owned()),
            );
        }
        let sform = Space::new(shape, self.in_mm(self.sform()));
        let said = if self.qform_code > 0 {
            self.apart(&sform, trust)
        } else {
            let pixdim = self.spacing().map(|length| length * self.millimetres());
            differ(sform.spacing(), pixdim).then(|| {
                let [sform, pixdim] = [sform.spacing(), pixdim].map(mm);
                format!("voxels are {sform} mm by the sform and {pixdim} by pixdim: the sform is taken")
            })
        };
        Vec::from_iter(said)
    }

    /// A sentence about a qform that contradicts the sform.
    fn apart(&self, sform: &Space, trust: Option<Form>) -> Option<String> {
        let qform = Space::new(sform.shape, self.in_mm(self.qform()));
        let apart = sform.corner_distance(&qform);
        let side = sform.spacing().into_iter().fold(f64::INFINITY, f64::min);
        let [ours, theirs] = [sform.spacing(), qform.spacing()];
        let lengths = differ(ours, theirs);
        if apart < PLACE * side && !lengths {
            return None;
        }
        let lengths = if lengths {
            format!(", their voxels are {} and {} mm", mm(ours), mm(theirs))
        } else {
            String::new()
        };
        let taken = self.taken(trust)?;
        Some(format!("sform and qform put voxels up to {apart:.2} mm apart{lengths}: the {taken} is taken"))
    }

    /// True if NIfTI-1 can hold it without loss.
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
