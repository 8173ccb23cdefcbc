use crate::parallel::{filled, for_each};
use crate::shape::Shape;
use crate::simd::{fma, lanes, load_part, store, width};

/// The set that a mean is taken over, beside rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Each image by itself: instance norm.
    Image,
    /// All images of a batch together: batch norm. There may be several batches, one after the other
    /// and of one size.
    Batches(usize),
}

impl Over {
    /// Sets of moments for `images` images.
    pub fn groups(self, images: usize) -> usize {
        match self {
            Self::Image => images,
            Self::Batches(batches) => batches,
        }
    }

    /// Which of the sets is image `n`'s.
    pub(crate) fn group(self, n: usize, images: usize) -> usize {
        n * self.groups(images) / images
    }
}

/// Mean and (biased) variance of each channel, [group, 2, C].
///
/// Small chunks are measured about their own mean and then merged in a fixed order (Chan, Golub and
/// LeVeque 1983), so that a large mean costs no digits.
pub fn moments(x: &[f32], shape: Shape, over: Over) -> Vec<f32> {
    assert!(x.len() == shape.len() && !shape.is_empty() && shape.n.is_multiple_of(over.groups(shape.n)));
    // A chunk is read twice; it should stay in the first-level cache.
    let rows = (4096 / shape.row()).clamp(1, shape.h);
    let (chunks, padded) = (shape.h.div_ceil(rows), shape.c.next_multiple_of(width()));
    // SAFETY: every chunk writes its three sets.
    let measured = unsafe {
        filled(shape.n * chunks * 3 * padded, |to| {
            for_each(shape.n * chunks, |i| {
                let (n, first) = (i / chunks, i % chunks * rows);
                let rows = rows.min(shape.h - first);
                let from = &x[n * shape.image() + first * shape.row()..][..rows * shape.row()];
                measure(from.as_ptr(), rows * shape.w, shape.c, padded, to.at(i * 3 * padded, 3 * padded));
            });
        })
    };
    let mut merged = Vec::with_capacity(over.groups(shape.n) * 2 * shape.c);
    let images = shape.n / over.groups(shape.n);
    for group in measured.chunks_exact(images * chunks * 3 * padded) {
        let mut total = vec![(0.0, 0.0, 0.0); shape.c];
        for (i, chunk) in group.chunks_exact(3 * padded).enumerate() {
            let count = (rows.min(shape.h - i % chunks * rows) * shape.w) as f64;
            for (c, total) in total.iter_mut().enumerate() {
                let [mean, correction, squares] = [0, 1, 2].map(|i| f64::from(chunk[i * padded + c]));
                *total = merge(*total, (count, mean + correction, squares));
            }
        }
        merged.extend(total.iter().map(|&(_, mean, _)| mean as f32));
        // Rounding may go below zero; NaN stays what it is.
        let variance = |squares: f64, count: f64| if squares < 0.0 { 0.0 } else { (squares / count) as f32 };
        merged.extend(total.iter().map(|&(count, _, squares)| variance(squares, count)));
    }
    merged
}

/// Count, mean and sum of squares about the mean of two sets together.
fn merge((n, mean, squares): (f64, f64, f64), (m, other, more): (f64, f64, f64)) -> (f64, f64, f64) {
    let (count, delta) = (n + m, other - mean);
    (count, mean + delta * m / count, squares + more + delta * delta * n * m / count)
}

vectorised! {
    /// Means of `pixels` pixels, what their rounding lost, and sums of squares about the true means,
    /// each padded to whole vectors.
    ///
    /// # Safety
    /// The pixels can be read; `to` has room for three times `padded` values.
    unsafe fn measure<S, FULL of (channels)>(simd, from: *const f32, pixels: usize, channels: usize, padded: usize, to: *mut f32) {
        let share = simd.splat_f32s(1.0 / pixels as f32);
        for c in (0..channels).step_by(lanes::<S>()) {
            let (from, count) = (from.add(c), channels - c);
            let mut sum = simd.splat_f32s(0.0);
            for pixel in 0..pixels {
                sum = simd.add_f32s(sum, load_part::<S, FULL>(simd, from.add(pixel * channels), count));
            }
            let mean = simd.mul_f32s(sum, share);
            let (mut drift, mut squares) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
            for pixel in 0..pixels {
                let distance = simd.sub_f32s(load_part::<S, FULL>(simd, from.add(pixel * channels), count), mean);
                drift = simd.add_f32s(drift, distance);
                squares = fma(simd, distance, distance, squares);
            }
            // The rounded mean is off by drift / pixels.
            let correction = simd.mul_f32s(drift, share);
            store(simd, to.add(c), mean);
            store(simd, to.add(padded + c), correction);
            store(simd, to.add(2 * padded + c), fma(simd, simd.neg_f32s(drift), correction, squares));
        }
    }
}

/// Adds the sums of each channel over all pixels of all images, in a fixed order.
pub fn add_channel_sums(x: &[f32], shape: Shape, totals: &mut [f64]) {
    assert!(x.len() == shape.len() && totals.len() == shape.c);
    let (lines, padded) = (shape.n * shape.h, shape.c.next_multiple_of(width()));
    // SAFETY: each row writes its sums.
    let sums = unsafe {
        filled(lines * padded, |to| {
            for_each(lines, |line| {
                let row = &x[line * shape.row()..][..shape.row()];
                sum_row(row.as_ptr(), shape.w, shape.c, to.at(line * padded, padded));
            });
        })
    };
    for row in sums.chunks_exact(padded) {
        totals.iter_mut().zip(row).for_each(|(total, &sum)| *total += f64::from(sum));
    }
}

vectorised! {
    /// # Safety
    /// The pixels can be read; `to` has room for the channels, padded to whole vectors.
    unsafe fn sum_row<S, FULL of (channels)>(simd, from: *const f32, pixels: usize, channels: usize, to: *mut f32) {
        for c in (0..channels).step_by(lanes::<S>()) {
            let mut sum = simd.splat_f32s(0.0);
            for pixel in 0..pixels {
                sum = simd.add_f32s(sum, load_part::<S, FULL>(simd, from.add(pixel * channels + c), channels - c));
            }
            store(simd, to.add(c), sum);
        }
    }
}
