use super::activation::Activation;
use crate::parallel::{filled, for_each};
use crate::shape::Shape;
use crate::simd::{fma, lanes, load_part, store_part};

/// A convolution of each channel by itself, 3×3 or 7×7, padded so that stride 1 keeps the sides.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise<'a> {
    /// [C, 3, 3] or [C, 7, 7]
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
    assert!(layer.bias.len() == shape.c && layer.weight.len().is_multiple_of(shape.c));
    match layer.weight.len() / shape.c {
        9 => filter::<3>(x, shape, layer),
        49 => filter::<7>(x, shape, layer),
        taps => panic!("a kernel of {taps} taps"),
    }
}

fn filter<const K: usize>(x: &[f32], shape: Shape, layer: Depthwise<'_>) -> Vec<f32> {
    // [tap][C], and a row of zeros for what lies outside.
    let taps: Vec<f32> =
        (0..K * K).flat_map(|tap| (0..shape.c).map(move |c| layer.weight[c * K * K + tap])).collect();
    let outside = vec![0.0; shape.row()];
    let output = layer.output(shape);
    // SAFETY: every task writes its row.
    unsafe {
        filled(output.len(), |out| {
            for_each(output.n * output.h, |i| {
                let (n, y) = (i / output.h, i % output.h * layer.stride);
                let mut rows = [outside.as_ptr(); K];
                for (dy, row) in rows.iter_mut().enumerate() {
                    if let Some(y) = (y + dy).checked_sub(K / 2).filter(|&y| y < shape.h) {
                        *row = x[n * shape.image() + y * shape.row()..].as_ptr();
                    }
                }
                let to = out.at(i * output.row(), output.row());
                let filter = Filter {
                    taps: taps.as_ptr(),
                    bias: layer.bias.as_ptr(),
                    stride: layer.stride,
                    activation: layer.activation,
                };
                let row = Row { width: shape.w, channels: shape.c, filter, outputs: output.w, to };
                match K {
                    3 => filter_row_3(rows.as_ptr(), row),
                    _ => filter_row_7(rows.as_ptr(), row),
                }
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

/// A row of outputs, which lie the filter's stride apart in rows of `width` pixels.
#[derive(Clone, Copy)]
struct Row {
    width: usize,
    channels: usize,
    filter: Filter,
    outputs: usize,
    to: *mut f32,
}

vectorised! {
    /// # Safety
    /// As [`filter_row`], for three rows.
    unsafe fn filter_row_3<S, FULL of (row.channels)>(simd, rows: *const *const f32, row: Row) {
        filter_row::<S, FULL, 3>(simd, rows, row);
    }
}

vectorised! {
    /// # Safety
    /// As [`filter_row`], for seven rows.
    unsafe fn filter_row_7<S, FULL of (row.channels)>(simd, rows: *const *const f32, row: Row) {
        filter_row::<S, FULL, 7>(simd, rows, row);
    }
}

/// # Safety
/// There are K rows of the row's width and channels, the filter has as many channels, and its place has
/// room for all outputs.
#[inline(always)]
unsafe fn filter_row<S: pulp::Simd, const FULL: bool, const K: usize>(
    simd: S,
    rows: *const *const f32,
    row: Row,
) {
    let Row { width, channels, filter, outputs, to } = row;
    // Some pixels at a time, so that memory is read in its order.
    for first in (0..outputs).step_by(PIXELS) {
        let pixels = first..(first + PIXELS).min(outputs);
        for c in (0..channels).step_by(lanes::<S>()) {
            let count = channels - c;
            // SAFETY: the caller's; channels from c on, pixels within the rows.
            unsafe {
                let mut taps = [[simd.splat_f32s(0.0); K]; K];
                for dy in 0..K {
                    for dx in 0..K {
                        let tap = filter.taps.add((K * dy + dx) * channels + c);
                        taps[dy][dx] = load_part::<S, FULL>(simd, tap, count);
                    }
                }
                let bias = load_part::<S, FULL>(simd, filter.bias.add(c), count);
                for output in pixels.start..pixels.end {
                    let x = output * filter.stride;
                    let mut sum = bias;
                    for dx in 0..K {
                        if x + dx < K / 2 || x + dx >= width + K / 2 {
                            continue;
                        }
                        let pixel = (x + dx - K / 2) * channels + c;
                        for dy in 0..K {
                            let value = load_part::<S, FULL>(simd, (*rows.add(dy)).add(pixel), count);
                            sum = fma(simd, value, taps[dy][dx], sum);
                        }
                    }
                    let sum = filter.activation.of(simd, sum);
                    store_part::<S, FULL>(simd, to.add(output * channels + c), sum, count);
                }
            }
        }
    }
}
