use crate::parallel::{filled, for_each};
use crate::simd::{fma, lanes, load_part, load_some, store_part, store_some};

/// Rows of one task.
const BLOCK: usize = 64;

/// (x − μ) / √(σ² + ε) · weight + bias, with the mean and biased variance of each row of [rows, C].
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let columns = weight.len();
    assert!(columns > 0 && bias.len() == columns && x.len().is_multiple_of(columns));
    let rows = x.len() / columns;
    // SAFETY: every block writes its rows.
    unsafe {
        filled(x.len(), |out| {
            for_each(rows.div_ceil(BLOCK), |i| {
                let first = i * BLOCK;
                let rows = BLOCK.min(rows - first);
                let to = out.at(first * columns, rows * columns);
                let from = &x[first * columns..][..rows * columns];
                normalise(from.as_ptr(), rows, columns, weight.as_ptr(), bias.as_ptr(), epsilon, to);
            });
        })
    }
}

vectorised! {
    /// # Safety
    /// `rows` rows can be read and written; weight and bias have `columns` values.
    unsafe fn normalise<S, FULL of (columns)>(
        simd, from: *const f32, rows: usize, columns: usize,
        weight: *const f32, bias: *const f32, epsilon: f32, to: *mut f32,
    ) {
        let share = 1.0 / columns as f32;
        for row in 0..rows {
            let (from, to) = (from.add(row * columns), to.add(row * columns));
            let mut sum = simd.splat_f32s(0.0);
            for c in (0..columns).step_by(lanes::<S>()) {
                sum = simd.add_f32s(sum, load_part::<S, FULL>(simd, from.add(c), columns - c));
            }
            let mean = simd.splat_f32s(simd.reduce_sum_f32s(sum) * share);
            let mut squares = simd.splat_f32s(0.0);
            for c in (0..columns).step_by(lanes::<S>()) {
                // Only whole vectors, or lanes beyond the row would count as −μ.
                let count = columns - c;
                let distance = simd.sub_f32s(load_part::<S, FULL>(simd, from.add(c), count), mean);
                store_part::<S, FULL>(simd, to.add(c), distance, count);
                let distance = if FULL { distance } else { load_some(simd, to.add(c), count) };
                squares = fma(simd, distance, distance, squares);
            }
            let variance = simd.reduce_sum_f32s(squares) * share;
            let scale = simd.splat_f32s(1.0 / (variance + epsilon).sqrt());
            for c in (0..columns).step_by(lanes::<S>()) {
                let count = columns - c;
                let factor = simd.mul_f32s(load_some(simd, weight.add(c), count), scale);
                let distance = load_part::<S, FULL>(simd, to.add(c), count);
                store_some(simd, to.add(c), fma(simd, distance, factor, load_some(simd, bias.add(c), count)), count);
            }
        }
    }
}
