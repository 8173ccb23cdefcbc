use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::{Datatype, Encoding, Order};

/// How far a mask's value may be from a whole number; a slope leaves such crumbs.
const WHOLE: f64 = 1e-3;

/// A kind of voxel that we hold in memory.
pub(crate) trait Voxel: Copy {
    const EXPECTED: &str;
    const HINT: &str;

    /// The voxel of a scaled value, and whether the value can be one.
    fn from_value(value: f64) -> (Self, bool);
}

impl Voxel for f32 {
    const EXPECTED: &str = "finite voxel values";
    const HINT: &str = "replace NaN and infinite voxels, e.g. by -1024 (air), and save the scan again";

    fn from_value(value: f64) -> (Self, bool) {
        let voxel = value as f32;
        (voxel, voxel.is_finite())
    }
}

/// For the short arrays that say where voxels lie.
impl Voxel for f64 {
    const EXPECTED: &str = "finite numbers";
    const HINT: &str = "the file does not say where voxels lie: export the scan again";

    fn from_value(value: f64) -> (Self, bool) {
        (value, value.is_finite())
    }
}

impl Voxel for u16 {
    const EXPECTED: &str = "labels that are whole numbers from 0 to 65535";
    const HINT: &str = "is this a mask? Labels resampled with interpolation must be drawn or resampled again";

    fn from_value(value: f64) -> (Self, bool) {
        // The cast saturates and takes NaN to 0, so the comparison catches every misfit.
        let label = (value + 0.5) as u16;
        (label, (value - f64::from(label)).abs() <= WHOLE)
    }
}

/// Appends the voxels in `bytes`; the number of values that cannot be voxels.
pub(super) fn convert<V: Voxel>(encoding: &Encoding, bytes: &[u8], voxels: &mut Vec<V>) -> usize {
    macro_rules! stored_as {
        ($number:ty) => {
            match encoding.order {
                Order::Little => scaled(encoding, bytes, voxels, |raw| <$number>::from_le_bytes(raw) as f64),
                Order::Big => scaled(encoding, bytes, voxels, |raw| <$number>::from_be_bytes(raw) as f64),
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
    number: impl Fn([u8; N]) -> f64,
) -> usize {
    let mut unusable = 0;
    let (raw, _) = bytes.as_chunks::<N>();
    voxels.extend(raw.iter().map(|&raw| {
        let (voxel, usable) = V::from_value(number(raw) * encoding.slope + encoding.intercept);
        unusable += usize::from(!usable);
        voxel
    }));
    unusable
}

/// Refuses a volume with values that cannot be voxels.
pub(super) fn usable<V: Voxel>(
    unusable: usize,
    total: usize,
    encoding: &Encoding,
    path: &Path,
) -> Result<()> {
    if unusable == 0 {
        return Ok(());
    }
    let found = format!("{unusable} of {total} voxels that are not");
    let Encoding { slope, intercept, .. } = encoding;
    let hint = match (*slope, *intercept) {
        (1.0, 0.0) => V::HINT.to_owned(),
        _ => format!("the header scales values by {slope} and adds {intercept}; {}", V::HINT),
    };
    Err(Error::new(path, Kind::Voxels, V::EXPECTED, found).hint(hint))
}
