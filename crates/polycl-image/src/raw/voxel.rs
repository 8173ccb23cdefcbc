use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::{Datatype, Encoding, Order};

/// A kind of voxel that we hold in memory.
pub(crate) trait Voxel: Copy {
    const EXPECTED: &str;
    const HINT: &str;
    /// Hint where the header scales values.
    const SCALED_HINT: &str = Self::HINT;
    /// Hint where the values that cannot be voxels are one whole number below 0, if that means something.
    const NEGATIVE_HINT: Option<&str> = None;

    /// The voxel of a scaled value, and whether the value can be one: of a label within `rounding` of a whole number.
    fn from_value(value: f64, rounding: f64) -> (Self, bool);
}

impl Voxel for f32 {
    const EXPECTED: &str = "finite voxel values";
    const HINT: &str = "replace NaN and infinite voxels, e.g. by -1024 (air), and save the scan again";

    fn from_value(value: f64, _: f64) -> (Self, bool) {
        let voxel = value as f32;
        (voxel, voxel.is_finite())
    }
}

/// For the short arrays that say where voxels lie.
impl Voxel for f64 {
    const EXPECTED: &str = "finite numbers";
    const HINT: &str = "export the scan again: the file does not say where voxels lie";

    fn from_value(value: f64, _: f64) -> (Self, bool) {
        (value, value.is_finite())
    }
}

impl Voxel for u16 {
    const EXPECTED: &str = "labels that are whole numbers from 0 to 65535";
    const HINT: &str = "check that this is a mask; draw labels again that were resampled with interpolation, or resample them without it";
    const SCALED_HINT: &str =
        "check that this is a mask, and save labels as whole numbers that are not scaled, such as uint8";
    const NEGATIVE_HINT: Option<&str> = Some(
        "give those voxels a value of 0 or more; where nobody has annotated them, call it `ignore` in the dataset.json or labels.json beside the mask",
    );

    fn from_value(value: f64, rounding: f64) -> (Self, bool) {
        // The cast saturates and takes NaN to 0, so the comparison catches every misfit.
        let label = (value + 0.5) as u16;
        (label, (value - f64::from(label)).abs() <= rounding)
    }
}

/// Values that cannot be voxels: how many, and the least and the greatest of them.
pub(super) struct Misfits {
    count: usize,
    least: f64,
    greatest: f64,
}

impl Misfits {
    pub(super) const NONE: Self = Self { count: 0, least: f64::INFINITY, greatest: f64::NEG_INFINITY };

    pub(super) fn add(&mut self, value: f64) {
        let Self { count, least, greatest } = self;
        (*count, *least, *greatest) = (*count + 1, least.min(value), greatest.max(value));
    }

    /// The whole number below 0 that all of them are.
    fn negative(&self) -> Option<f64> {
        let one = self.least == self.greatest && self.least < 0.0 && self.least.fract() == 0.0;
        one.then_some(self.least)
    }
}

/// Appends the voxels in `bytes`, and adds the values that cannot be voxels to the misfits.
pub(super) fn convert<V: Voxel>(
    encoding: &Encoding,
    bytes: &[u8],
    voxels: &mut Vec<V>,
    misfits: &mut Misfits,
) {
    macro_rules! stored_as {
        ($number:ty) => {
            match encoding.order {
                Order::Little => {
                    scaled(encoding, bytes, voxels, misfits, |raw| <$number>::from_le_bytes(raw) as f64)
                }
                Order::Big => {
                    scaled(encoding, bytes, voxels, misfits, |raw| <$number>::from_be_bytes(raw) as f64)
                }
            }
        };
    }
    match encoding.datatype {
        Datatype::U8 => stored_as!(u8),
        Datatype::I8 => stored_as!(i8),
        Datatype::U16 => stored_as!(u16),
        Datatype::I16 => stored_as!(i16),
        Datatype::U32 => stored_as!(u32),
        Datatype::I32 => stored_as!(i32),
        Datatype::U64 => stored_as!(u64),
        Datatype::I64 => stored_as!(i64),
        Datatype::F32 => stored_as!(f32),
        Datatype::F64 => stored_as!(f64),
    }
}

fn scaled<V: Voxel, const N: usize>(
    encoding: &Encoding,
    bytes: &[u8],
    voxels: &mut Vec<V>,
    misfits: &mut Misfits,
    number: impl Fn([u8; N]) -> f64,
) {
    let (mut unusable, rounding) = (0, encoding.rounding());
    let value = |&raw: &[u8; N]| number(raw) * encoding.slope + encoding.intercept;
    let (raw, _) = bytes.as_chunks::<N>();
    voxels.extend(raw.iter().map(|raw| {
        let (voxel, usable) = V::from_value(value(raw), rounding);
        unusable += usize::from(!usable);
        voxel
    }));
    // Seldom, so that the loop above stays a fast one.
    if unusable > 0 {
        let unfit = |value: &f64| !V::from_value(*value, rounding).1;
        raw.iter().map(value).filter(unfit).for_each(|value| misfits.add(value));
    }
}

/// Refuses a volume with values that cannot be voxels.
pub(super) fn usable<V: Voxel>(
    misfits: &Misfits,
    total: usize,
    encoding: &Encoding,
    path: &Path,
) -> Result<()> {
    let count = misfits.count;
    if count == 0 {
        return Ok(());
    }
    let Encoding { slope, intercept, .. } = encoding;
    let (found, hint) = match (misfits.negative().zip(V::NEGATIVE_HINT), *slope, *intercept) {
        (Some((value, hint)), ..) => (format!("{count} of {total} voxels that are {value}"), hint.to_owned()),
        (None, 1.0, 0.0) => (format!("{count} of {total} voxels that are not"), V::HINT.to_owned()),
        _ => (
            format!("{count} of {total} voxels that are not"),
            format!("{}; the header scales values by {slope} and adds {intercept}", V::SCALED_HINT),
        ),
    };
    Err(Error::new(path, Kind::Voxels, V::EXPECTED, found).hint(hint))
}
