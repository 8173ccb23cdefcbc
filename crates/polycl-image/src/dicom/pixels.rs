//! From stored bits to values.

use super::layout::Layout;
use super::slice::Frame;

/// The samples of one frame, `allocated` bits each.
pub(super) struct Cells<'a> {
    pub bytes: std::borrow::Cow<'a, [u8]>,
    pub big: bool,
    /// The lowest bit that belongs to the value.
    pub shift: u32,
}

/// Values of a frame: the stored bits alone, sign-extended where signed, then slope and intercept in f64.
pub(super) fn rescale(cells: &Cells, layout: &Layout, says: &Frame, out: &mut [f32]) {
    let left = 32 - layout.stored - cells.shift;
    let right = 32 - layout.stored;
    let (slope, intercept, signed) = (says.slope, says.intercept, layout.signed);
    if layout.allocated == 16 && slope == 1.0 && intercept.fract() == 0.0 && intercept.abs() < 1e6 {
        // Most scans: sums of whole numbers are the same in i32, and several times faster.
        let intercept = intercept as i32;
        let value = |raw: u16| {
            let top = u32::from(raw) << left;
            let stored = if signed { top as i32 >> right } else { (top >> right) as i32 };
            (stored + intercept) as f32
        };
        let cells16 = cells.bytes.as_chunks().0;
        return if cells.big {
            fill(out, cells16, |two| value(u16::from_be_bytes(two)))
        } else {
            fill(out, cells16, |two| value(u16::from_le_bytes(two)))
        };
    }
    let value = |raw: u32| {
        let top = raw << left;
        let stored = if signed { f64::from(top as i32 >> right) } else { f64::from(top >> right) };
        (stored * slope + intercept) as f32
    };
    match (layout.allocated, cells.big) {
        (8, _) => fill(out, cells.bytes.as_chunks::<1>().0, |[byte]| value(byte.into())),
        (16, false) => fill(out, cells.bytes.as_chunks().0, |two| value(u16::from_le_bytes(two).into())),
        (16, true) => fill(out, cells.bytes.as_chunks().0, |two| value(u16::from_be_bytes(two).into())),
        (_, false) => fill(out, cells.bytes.as_chunks().0, |four| value(u32::from_le_bytes(four))),
        (_, true) => fill(out, cells.bytes.as_chunks().0, |four| value(u32::from_be_bytes(four))),
    }
}

fn fill<const N: usize>(out: &mut [f32], cells: &[[u8; N]], value: impl Fn([u8; N]) -> f32) {
    for (out, &cell) in out.iter_mut().zip(cells) {
        *out = value(cell);
    }
}
