//! The innermost loops of reading: rows of pixels, channels in vectors.

use pulp::Simd;

use super::axis::{Adjoint, Axis};
use crate::dropout::Dropout;
use crate::scratch;
use crate::simd::{fma, lanes, load, load_part, store, store_part};

/// One image of a source. `mean`, `scale` and `bias` are padded to whole vectors; `residual` may be
/// null.
#[derive(Clone, Copy)]
pub struct Raw {
    pub map: *const f32,
    pub residual: *const f32,
    /// Position of the image in the whole map, where dropout's counter begins.
    pub first: u64,
    pub w: usize,
    pub c: usize,
    pub mean: *const f32,
    pub scale: *const f32,
    pub bias: *const f32,
    pub slope: f32,
    pub dropout: Option<Dropout>,
}

impl Raw {
    fn row(&self) -> usize {
        self.w * self.c
    }

    /// The map's values at `pixel` from channel `c` on, less the mean; and the input of the
    /// activation.
    ///
    /// # Safety
    /// Pixel and channel lie in the image.
    #[inline(always)]
    unsafe fn normalised<S: Simd, const FULL: bool>(
        &self,
        simd: S,
        pixel: usize,
        c: usize,
    ) -> (S::f32s, S::f32s) {
        let (place, count) = (pixel * self.c + c, self.c - c);
        // SAFETY: the caller's.
        unsafe {
            let centred = simd.sub_f32s(
                load_part::<S, FULL>(simd, self.map.add(place), count),
                load(simd, self.mean.add(c)),
            );
            let mut value = fma(simd, centred, load(simd, self.scale.add(c)), load(simd, self.bias.add(c)));
            if !self.residual.is_null() {
                value = simd.add_f32s(value, load_part::<S, FULL>(simd, self.residual.add(place), count));
            }
            (centred, value)
        }
    }
}

/// Rows `y..y + rows` of the image, normalised, activated and dropped out, each `to_row` after the
/// one before and with its pixels `to_step` apart.
///
/// # Safety
/// The rows are the image's; there is room for the pixels, which no other thread writes.
pub unsafe fn activate(raw: Raw, y: usize, rows: usize, to_row: usize, to: *mut f32, to_step: usize) {
    let factors = if raw.dropout.is_some() { raw.row() } else { 0 };
    scratch::with(factors, |factors| {
        for row in 0..rows {
            // SAFETY: the caller's.
            unsafe {
                activate_row(raw, y + row, factors.at(0, factors.len()), to.add(row * to_row), to_step)
            };
        }
    });
}

vectorised! {
    /// # Safety
    /// As [`activate`]; `factors` has room for a row where there is dropout.
    unsafe fn activate_row<S, FULL of (raw.c)>(simd, raw: Raw, y: usize, factors: *mut f32, to: *mut f32, to_step: usize) {
        if let Some(dropout) = raw.dropout {
            dropout.factors(raw.first + (y * raw.row()) as u64, raw.row(), factors);
        }
        let slope = simd.splat_f32s(raw.slope);
        for c in (0..raw.c).step_by(lanes::<S>()) {
            for x in 0..raw.w {
                let (_, value) = raw.normalised::<S, FULL>(simd, y * raw.w + x, c);
                let above = simd.greater_than_f32s(value, simd.splat_f32s(0.0));
                let mut value = simd.select_f32s(above, value, simd.mul_f32s(value, slope));
                if raw.dropout.is_some() {
                    value = simd.mul_f32s(value, load_part::<S, FULL>(simd, factors.add(x * raw.c + c), raw.c - c));
                }
                store_part::<S, FULL>(simd, to.add(x * to_step + c), value, raw.c - c);
            }
        }
    }
}

/// The way back through [`activate`] for row `y`: from the gradient of its pixels, `step` apart, to
/// that of the normalised row (and the same to `residual`, unless null), and the row's sums.
///
/// # Safety
/// The row is the image's; the gradient holds a row, `to` and `residual` have room for one and
/// `sums` for twice `padded` values; no other thread writes them.
#[expect(clippy::too_many_arguments, reason = "an innermost kernel")]
pub unsafe fn settle(
    raw: Raw,
    y: usize,
    gradient: *const f32,
    step: usize,
    to: *mut f32,
    residual: *mut f32,
    sums: *mut f32,
    padded: usize,
) {
    let factors = if raw.dropout.is_some() { raw.row() } else { 0 };
    scratch::with(factors, |factors| {
        let factors = factors.at(0, factors.len());
        // SAFETY: the caller's.
        unsafe { settle_row(raw, y, gradient, step, factors, to, residual, sums, padded) };
    });
}

vectorised! {
    /// # Safety
    /// As [`settle`]; `factors` has room for a row where there is dropout.
    unsafe fn settle_row<S, FULL of (raw.c)>(
        simd,
        raw: Raw,
        y: usize,
        gradient: *const f32,
        step: usize,
        factors: *mut f32,
        to: *mut f32,
        residual: *mut f32,
        sums: *mut f32,
        padded: usize,
    ) {
        if let Some(dropout) = raw.dropout {
            dropout.factors(raw.first + (y * raw.row()) as u64, raw.row(), factors);
        }
        let (zero, slope) = (simd.splat_f32s(0.0), simd.splat_f32s(raw.slope));
        for c in (0..raw.c).step_by(lanes::<S>()) {
            let (mut sum, mut product) = (zero, zero);
            let count = raw.c - c;
            for x in 0..raw.w {
                let (centred, value) = raw.normalised::<S, FULL>(simd, y * raw.w + x, c);
                let mut d = load_part::<S, FULL>(simd, gradient.add(x * step + c), count);
                if raw.dropout.is_some() {
                    d = simd.mul_f32s(d, load_part::<S, FULL>(simd, factors.add(x * raw.c + c), count));
                }
                let positive = simd.greater_than_f32s(value, zero);
                d = simd.select_f32s(positive, d, simd.mul_f32s(d, slope));
                store_part::<S, FULL>(simd, to.add(x * raw.c + c), d, count);
                if !residual.is_null() {
                    store_part::<S, FULL>(simd, residual.add(x * raw.c + c), d, count);
                }
                sum = simd.add_f32s(sum, d);
                product = fma(simd, d, centred, product);
            }
            store(simd, sums.add(c), sum);
            store(simd, sums.add(padded + c), product);
        }
    }
}

vectorised! {
    /// For `pixels` pixels from `pixel` on: gradient · scale − share − (map − mean) · slope, with
    /// `factors` [3, padded] of each channel.
    ///
    /// # Safety
    /// The pixels are the image's; `to` holds their gradients, which no other thread writes.
    pub unsafe fn finish<S, FULL of (raw.c)>(
        simd, raw: Raw, pixel: usize, pixels: usize, factors: *const f32, padded: usize, to: *mut f32,
    ) {
        for c in (0..raw.c).step_by(lanes::<S>()) {
            let (scale, share) = (load(simd, factors.add(c)), load(simd, factors.add(padded + c)));
            let slope = load(simd, factors.add(2 * padded + c));
            let (mean, count) = (load(simd, raw.mean.add(c)), raw.c - c);
            for i in 0..pixels {
                let to = to.add(i * raw.c + c);
                let value = load_part::<S, FULL>(simd, raw.map.add((pixel + i) * raw.c + c), count);
                let centred = simd.sub_f32s(value, mean);
                let kept = fma(simd, load_part::<S, FULL>(simd, to, count), scale, simd.neg_f32s(share));
                store_part::<S, FULL>(simd, to, fma(simd, simd.neg_f32s(centred), slope, kept), count);
            }
        }
    }
}

vectorised! {
    /// `count` values between two rows: low + weight · (high − low).
    ///
    /// # Safety
    /// The rows can be read, `to` has room for one.
    pub unsafe fn blend<S, FULL of (count)>(simd, low: *const f32, high: *const f32, weight: f32, count: usize, to: *mut f32) {
        let weight = simd.splat_f32s(weight);
        for i in (0..count).step_by(lanes::<S>()) {
            let (a, b) = (load_part::<S, FULL>(simd, low.add(i), count - i), load_part::<S, FULL>(simd, high.add(i), count - i));
            store_part::<S, FULL>(simd, to.add(i), fma(simd, weight, simd.sub_f32s(b, a), a), count - i);
        }
    }
}

vectorised! {
    /// A row of `outputs` pixels from one of half as many.
    ///
    /// # Safety
    /// The row can be read, `to` has room for the pixels, `to_step` apart.
    pub unsafe fn widen<S, FULL of (channels)>(
        simd, row: *const f32, axis: *const Axis, channels: usize, outputs: usize, to: *mut f32, to_step: usize,
    ) {
        for x in 0..outputs {
            let (low, high, weight) = (*axis).at(x);
            let weight = simd.splat_f32s(weight);
            for c in (0..channels).step_by(lanes::<S>()) {
                let count = channels - c;
                let a = load_part::<S, FULL>(simd, row.add(low * channels + c), count);
                let b = load_part::<S, FULL>(simd, row.add(high * channels + c), count);
                let value = fma(simd, weight, simd.sub_f32s(b, a), a);
                store_part::<S, FULL>(simd, to.add(x * to_step + c), value, count);
            }
        }
    }
}

vectorised! {
    /// A row of `pixels` pixels, `step` apart, times a weight, added to `to` or replacing it.
    ///
    /// # Safety
    /// The row can be read, `to` has room for it without gaps.
    pub unsafe fn gather<S, FULL of (channels)>(
        simd, row: *const f32, step: usize, weight: f32, channels: usize, pixels: usize, add: bool, to: *mut f32,
    ) {
        let weight = simd.splat_f32s(weight);
        for x in 0..pixels {
            for c in (0..channels).step_by(lanes::<S>()) {
                let (to, count) = (to.add(x * channels + c), channels - c);
                let value = load_part::<S, FULL>(simd, row.add(x * step + c), count);
                let before = if add { load_part::<S, FULL>(simd, to, count) } else { simd.splat_f32s(0.0) };
                store_part::<S, FULL>(simd, to, fma(simd, weight, value, before), count);
            }
        }
    }
}

vectorised! {
    /// The transpose of [`widen`]: a row of `inputs` pixels from one of twice as many.
    ///
    /// # Safety
    /// The row can be read, `to` has room for the inputs.
    pub unsafe fn narrow<S, FULL of (channels)>(
        simd, row: *const f32, axis: *const Adjoint, channels: usize, inputs: usize, to: *mut f32,
    ) {
        for x in 0..inputs {
            for c in (0..channels).step_by(lanes::<S>()) {
                let count = channels - c;
                let mut sum = simd.splat_f32s(0.0);
                for &(output, weight) in (*axis).at(x) {
                    let value = load_part::<S, FULL>(simd, row.add(output * channels + c), count);
                    sum = fma(simd, simd.splat_f32s(weight), value, sum);
                }
                store_part::<S, FULL>(simd, to.add(x * channels + c), sum, count);
            }
        }
    }
}

/// Windows of a max-pool, and which rows of the map are at hand.
#[derive(Clone, Copy)]
pub struct Windows {
    pub size: usize,
    pub stride: usize,
    pub padding: usize,
    pub first: usize,
    pub end: usize,
}

impl Windows {
    /// The part of window `i` that lies in `first..end`.
    #[inline(always)]
    fn range(&self, i: usize, first: usize, end: usize) -> (usize, usize) {
        let begin = (i * self.stride).saturating_sub(self.padding);
        let finish = (i * self.stride + self.size).saturating_sub(self.padding);
        (begin.clamp(first, end), finish.clamp(first, end))
    }
}

vectorised! {
    /// Row `y` of the pooled map, from rows `window.first..window.end`.
    ///
    /// # Safety
    /// The rows are all that the windows reach; `to` has room for `outputs` pixels, `to_step` apart.
    pub unsafe fn pool<S, FULL of (channels)>(
        simd,
        rows: *const f32,
        window: Windows,
        w: usize,
        channels: usize,
        y: usize,
        outputs: usize,
        to: *mut f32,
        to_step: usize,
    ) {
        let (top, bottom) = window.range(y, window.first, window.end);
        for x in 0..outputs {
            let (left, right) = window.range(x, 0, w);
            for c in (0..channels).step_by(lanes::<S>()) {
                let mut best = simd.splat_f32s(f32::NEG_INFINITY);
                for y in top..bottom {
                    for x in left..right {
                        let from = rows.add(((y - window.first) * w + x) * channels + c);
                        best = larger(simd, best, load_part::<S, FULL>(simd, from, channels - c));
                    }
                }
                store_part::<S, FULL>(simd, to.add(x * to_step + c), best, channels - c);
            }
        }
    }
}

/// The larger of two, and NaN where either is one: PyTorch's max-pool hides none.
#[inline(always)]
fn larger<S: pulp::Simd>(simd: S, best: S::f32s, value: S::f32s) -> S::f32s {
    let larger = simd.select_f32s(simd.less_than_or_equal_f32s(value, best), best, value);
    simd.select_f32s(simd.equal_f32s(best, best), larger, best)
}

vectorised! {
    /// Adds to the gradient of row `y` of the map what row `out` of the pooled one gives to it: the
    /// first of the largest values of a window takes it all, as in PyTorch.
    ///
    /// # Safety
    /// As [`pool`]; `gradient` holds the row's `outputs` pixels, `step` apart, `to` a row of the map.
    pub unsafe fn unpool<S, FULL of (channels)>(
        simd,
        rows: *const f32,
        window: Windows,
        w: usize,
        channels: usize,
        out: usize,
        outputs: usize,
        gradient: *const f32,
        step: usize,
        y: usize,
        to: *mut f32,
    ) {
        let zero = simd.splat_f32s(0.0);
        let (top, bottom) = window.range(out, window.first, window.end);
        for x in 0..outputs {
            let (left, right) = window.range(x, 0, w);
            for c in (0..channels).step_by(lanes::<S>()) {
                let count = channels - c;
                let first = rows.wrapping_sub(window.first * w * channels).wrapping_add(c);
                let mut best = simd.splat_f32s(f32::NEG_INFINITY);
                for y in top..bottom {
                    for x in left..right {
                        best = larger(simd, best, load_part::<S, FULL>(simd, first.wrapping_add((y * w + x) * channels), count));
                    }
                }
                // What is left to give: nothing, once a value as large as the best was met.
                let mut left_over = load_part::<S, FULL>(simd, gradient.add(x * step + c), count);
                for row in top..=y.min(bottom - 1) {
                    for x in left..right {
                        let value = load_part::<S, FULL>(simd, first.wrapping_add((row * w + x) * channels), count);
                        let loses = simd.less_than_f32s(value, best);
                        if row == y {
                            let to = to.add(x * channels + c);
                            let share = simd.select_f32s(loses, zero, left_over);
                            store_part::<S, FULL>(simd, to, simd.add_f32s(load_part::<S, FULL>(simd, to, count), share), count);
                        }
                        left_over = simd.select_f32s(loses, left_over, zero);
                    }
                }
            }
        }
    }
}
