use super::activation::Activation;
use crate::parallel::{filled, for_each};
use crate::shape::Shape;
use crate::simd::{fma, lanes, load_part, store_part};

/// A 3×3 convolution of each channel by itself, padding 1.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise<'a> {
    /// [C, 3, 3]
    pub weight: &'a [f32],
    /// `[C]`
    pub bias: &'a [f32],
    pub stride: usize,
    pub activation: Activation,
}

impl Depthwise<'_> {
    pub fn output(&self, input: Shape) -> Shape {
        Shape { h: (input.h - 1) / self.stride + 1, w: (input.w - 1) / self.stride + 1, ..input }
    }
}

/// activation(x ∗ W + b): [N, H, W, C] → [N, H', W', C].
pub fn depthwise(x: &[f32], shape: Shape, layer: Depthwise<'_>) -> Vec<f32> {
    assert!(x.len() == shape.len() && !shape.is_empty() && layer.stride > 0);
    assert!(layer.weight.len() == 9 * shape.c && layer.bias.len() == shape.c);
    // [tap][C], and a row of zeros for what lies outside.
    let taps: Vec<f32> =
        (0..9).flat_map(|tap| (0..shape.c).map(move |c| layer.weight[c * 9 + tap])).collect();
    let outside = vec![0.0; shape.row()];
    let output = layer.output(shape);
    // SAFETY: every task writes its row.
    unsafe {
        filled(output.len(), |out| {
            for_each(output.n * output.h, |i| {
                let (n, y) = (i / output.h, i % output.h * layer.stride);
                let row = |dy: usize| match (y + dy).checked_sub(1) {
                    Some(y) if y < shape.h => x[n * shape.image() + y * shape.row()..].as_ptr(),
                    _ => outside.as_ptr(),
                };
                let rows = [row(0), row(1), row(2)];
                let to = out.at(i * output.row(), output.row());
                let filter = Filter {
                    taps: taps.as_ptr(),
                    bias: layer.bias.as_ptr(),
                    stride: layer.stride,
                    activation: layer.activation,
                };
                filter_row(rows, shape.w, shape.c, filter, output.w, to);
            });
        })
    }
}

/// Pixels that are filtered channel by channel.
const PIXELS: usize = 8;

#[derive(Clone, Copy)]
struct Filter {
    taps: *const f32,
    bias: *const f32,
    stride: usize,
    activation: Activation,
}

vectorised! {
    /// # Safety
    /// The rows have `width` pixels of `channels` values, the filter as many, and `to` has room for
    /// `outputs` pixels, which lie `stride` apart in the rows.
    unsafe fn filter_row<S, FULL of (channels)>(
        simd, rows: [*const f32; 3], width: usize, channels: usize, filter: Filter, outputs: usize, to: *mut f32,
    ) {
        // Some pixels at a time, so that memory is read in its order.
        for first in (0..outputs).step_by(PIXELS) {
            let pixels = first..(first + PIXELS).min(outputs);
            for c in (0..channels).step_by(lanes::<S>()) {
                let count = channels - c;
                let mut taps = [simd.splat_f32s(0.0); 9];
                for tap in 0..9 {
                    taps[tap] = load_part::<S, FULL>(simd, filter.taps.add(tap * channels + c), count);
                }
                let bias = load_part::<S, FULL>(simd, filter.bias.add(c), count);
                for output in pixels.start..pixels.end {
                    let x = output * filter.stride;
                    let mut sum = bias;
                    for dx in 0..3 {
                        if x + dx == 0 || x + dx > width {
                            continue;
                        }
                        let pixel = (x + dx - 1) * channels + c;
                        for dy in 0..3 {
                            let value = load_part::<S, FULL>(simd, rows[dy].add(pixel), count);
                            sum = fma(simd, value, taps[3 * dy + dx], sum);
                        }
                    }
                    let sum = filter.activation.of(simd, sum);
                    store_part::<S, FULL>(simd, to.add(output * channels + c), sum, count);
                }
            }
        }
    }
}
