//! 3×3 convolution of stride 1 and padding 1 by Winograd's F(4×4, 3×3) (Lavin and Gray 2016): a
//! tile of 4×4 outputs costs 36 multiplications a pair of channels instead of 144.
//!
//! The points are 0, ±√½, ±√2 and ∞ instead of the usual 0, ±1, ±2, ∞: the transforms then hardly
//! lose digits. On random data the error is 1.2 to 1.8 times that of the direct sum; with the usual
//! points it is 4 to 5 times (after Barabasz et al. 2020, who search for good points).

use pulp::Simd;

use super::gemm::{Product, ROWS, multiply, panel_width};
use super::weights::Weights;
use crate::parallel::{Out, filled, for_each, piece};
use crate::scratch;
use crate::shape::Shape;
use crate::simd::{fma, lanes, load, load_some, store, store_part, width};

/// Outputs along a tile's side, inputs along it, and products of a tile.
const OUT: usize = 4;
const IN: usize = 6;
const POINTS: usize = IN * IN;

/// The points ±A and ±B, their squares and their cubes.
const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;
const A2: f32 = 0.5;
const B2: f32 = 2.0;
const A3: f32 = A / 2.0;
const B3: f32 = B * 2.0;
/// Π (point − other points), the denominators of Lagrange's polynomials; for 0 it is 1.
const NA: f32 = -1.5;
const NB: f32 = 6.0;

/// A transform of one side of a tile; in two dimensions it is applied to both sides.
///
/// These are types and the loops below are plain, since closures would be compiled for the least of
/// processors: only what is `#[inline(always)]` takes on the instruction set around it.
trait Side<const I: usize, const O: usize> {
    fn apply<S: Simd>(simd: S, x: [S::f32s; I]) -> [S::f32s; O];
}

/// Bᵀd: six inputs to six products.
struct Input;
/// Aᵀm: six products to four outputs.
struct Output;
/// Ay, the transpose of [`Output`]: the gradients of four outputs to those of six products.
struct OutputAdjoint;
/// Gg: three taps to six factors.
struct Taps;
/// Gᵀu, the transpose of [`Taps`].
struct TapsAdjoint;

#[inline(always)]
fn c<S: Simd>(simd: S, value: f32) -> S::f32s {
    simd.splat_f32s(value)
}

/// a · x + b · y
#[inline(always)]
fn mix<S: Simd>(simd: S, a: f32, x: S::f32s, b: f32, y: S::f32s) -> S::f32s {
    fma(simd, c(simd, a), x, simd.mul_f32s(c(simd, b), y))
}

/// even + odd and even − odd for both pairs of points, between what belongs to 0 and to ∞.
#[inline(always)]
fn pairs<S: Simd>(
    simd: S,
    zero: S::f32s,
    even: [S::f32s; 2],
    odd: [S::f32s; 2],
    infinity: S::f32s,
) -> [S::f32s; IN] {
    [
        zero,
        simd.add_f32s(even[0], odd[0]),
        simd.sub_f32s(even[0], odd[0]),
        simd.add_f32s(even[1], odd[1]),
        simd.sub_f32s(even[1], odd[1]),
        infinity,
    ]
}

impl Side<IN, IN> for Input {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, d: [S::f32s; IN]) -> [S::f32s; IN] {
        let zero = fma(simd, c(simd, -A2 - B2), d[2], simd.add_f32s(d[0], d[4]));
        let infinity = fma(simd, c(simd, -A2 - B2), d[3], simd.add_f32s(d[1], d[5]));
        let even = [fma(simd, c(simd, -B2), d[2], d[4]), fma(simd, c(simd, -A2), d[2], d[4])];
        let odd = [
            simd.mul_f32s(c(simd, A), fma(simd, c(simd, -B2), d[1], d[3])),
            simd.mul_f32s(c(simd, B), fma(simd, c(simd, -A2), d[1], d[3])),
        ];
        pairs(simd, zero, even, odd, infinity)
    }
}

impl Side<IN, OUT> for Output {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: [S::f32s; IN]) -> [S::f32s; OUT] {
        let (sum_a, difference_a) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        let (sum_b, difference_b) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
        [
            simd.add_f32s(m[0], simd.add_f32s(sum_a, sum_b)),
            mix(simd, A, difference_a, B, difference_b),
            mix(simd, A2, sum_a, B2, sum_b),
            simd.add_f32s(m[5], mix(simd, A3, difference_a, B3, difference_b)),
        ]
    }
}

impl Side<OUT, IN> for OutputAdjoint {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, y: [S::f32s; OUT]) -> [S::f32s; IN] {
        let even = [fma(simd, c(simd, A2), y[2], y[0]), fma(simd, c(simd, B2), y[2], y[0])];
        let odd = [mix(simd, A, y[1], A3, y[3]), mix(simd, B, y[1], B3, y[3])];
        pairs(simd, y[0], even, odd, y[3])
    }
}

impl Side<3, IN> for Taps {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; IN] {
        let even = [mix(simd, A2 / NA, g[2], 1.0 / NA, g[0]), mix(simd, B2 / NB, g[2], 1.0 / NB, g[0])];
        let odd = [simd.mul_f32s(c(simd, A / NA), g[1]), simd.mul_f32s(c(simd, B / NB), g[1])];
        pairs(simd, g[0], even, odd, g[2])
    }
}

impl Side<IN, 3> for TapsAdjoint {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, u: [S::f32s; IN]) -> [S::f32s; 3] {
        let (sum_a, sum_b) = (simd.add_f32s(u[1], u[2]), simd.add_f32s(u[3], u[4]));
        let (difference_a, difference_b) = (simd.sub_f32s(u[1], u[2]), simd.sub_f32s(u[3], u[4]));
        [
            simd.add_f32s(u[0], mix(simd, 1.0 / NA, sum_a, 1.0 / NB, sum_b)),
            mix(simd, A / NA, difference_a, B / NB, difference_b),
            simd.add_f32s(u[5], mix(simd, A2 / NA, sum_a, B2 / NB, sum_b)),
        ]
    }
}

/// T X Tᵀ
#[inline(always)]
fn both_sides<S: Simd, T: Side<I, O>, const I: usize, const O: usize>(
    simd: S,
    x: [[S::f32s; I]; I],
) -> [[S::f32s; O]; O] {
    let mut rows = [[simd.splat_f32s(0.0); O]; I];
    for i in 0..I {
        rows[i] = T::apply(simd, x[i]);
    }
    let mut result = [[simd.splat_f32s(0.0); O]; O];
    for j in 0..O {
        let mut column = [simd.splat_f32s(0.0); I];
        for i in 0..I {
            column[i] = rows[i][j];
        }
        let column = T::apply(simd, column);
        for i in 0..O {
            result[i][j] = column[i];
        }
    }
    result
}

/// The tiles of a map, in the order image, row, column.
#[derive(Clone, Copy)]
struct Tiling {
    shape: Shape,
    down: usize,
    across: usize,
}

impl Tiling {
    fn of(shape: Shape) -> Self {
        Self { shape, down: shape.h.div_ceil(OUT), across: shape.w.div_ceil(OUT) }
    }

    fn tiles(self) -> usize {
        self.shape.n * self.down * self.across
    }

    /// Image, first row and first column of the outputs of a tile.
    #[inline(always)]
    fn corner(self, tile: usize) -> (usize, usize, usize) {
        let (line, column) = (tile / self.across, tile % self.across);
        (line / self.down, line % self.down * OUT, column * OUT)
    }
}

/// Values between the first products of two points of a strip: the tiles' and some, since equal
/// distances that are powers of two would fall on the same lines of a cache.
fn point_stride(tiles: usize, channels: usize) -> usize {
    tiles.next_multiple_of(ROWS) * channels + 16
}

/// Values between two tiles of a strip. Neighbouring tiles whose distance is a large power of two
/// would fall on the same lines of the first-level cache, which a sum over tiles reads across.
fn tile_stride(channels: usize) -> usize {
    let padded = channels.next_multiple_of(width().max(ROWS));
    if padded.is_multiple_of(64) { padded + 16 } else { padded }
}

vectorised! {
    /// The transforms of tiles `first..first + tiles` of K×K values each, the tile's outputs
    /// `margin` rows and columns within it: from channels `channel..channel + channels` of `x` to
    /// `to[point][tile][padded]`; what lies outside the map, channels beyond the last and tiles up
    /// to a multiple of [`ROWS`] are zero.
    ///
    /// # Safety
    /// `x` is a whole map of the tiling's shape, `to` has room for 36 points.
    unsafe fn transform<S>(
        simd,
        x: *const f32,
        tiling: Tiling,
        adjoint: bool,
        first: usize,
        tiles: usize,
        channel: usize,
        channels: usize,
        padded: usize,
        to: *mut f32,
    ) {
        let stride = point_stride(tiles, padded);
        // Gradients are read to the end of their block, inputs to the last channel's vector.
        let extent = if adjoint { padded } else { channels.next_multiple_of(lanes::<S>().max(ROWS)) };
        for tile in 0..tiles {
            let to = to.add(tile * padded);
            let (n, y, x0) = tiling.corner(first + tile);
            let map = x.add(n * tiling.shape.image() + channel);
            if adjoint {
                transform_tile::<S, OutputAdjoint, OUT>(simd, map, tiling.shape, y, x0, channels, extent, to, stride);
            } else {
                transform_tile::<S, Input, IN>(simd, map, tiling.shape, y, x0, channels, extent, to, stride);
            }
        }
        for tile in tiles..tiles.next_multiple_of(ROWS) {
            for point in 0..POINTS {
                std::ptr::write_bytes(to.add(point * stride + tile * padded), 0, padded);
            }
        }
    }
}

/// A tile of N×N values around the outputs that begin at (y, x), transformed by T.
///
/// # Safety
/// As [`transform`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "an innermost kernel, inlined")]
unsafe fn transform_tile<S: Simd, T: Side<N, IN>, const N: usize>(
    simd: S,
    map: *const f32,
    shape: Shape,
    y: usize,
    x: usize,
    channels: usize,
    extent: usize,
    to: *mut f32,
    stride: usize,
) {
    let margin = (N - OUT) / 2;
    let inside = y >= margin && x >= margin && y - margin + N <= shape.h && x - margin + N <= shape.w;
    let (y, x) = (y.wrapping_sub(margin), x.wrapping_sub(margin));
    for c in (0..extent).step_by(lanes::<S>()) {
        // SAFETY: the caller's; places outside the map are not read.
        unsafe {
            let count = channels.saturating_sub(c);
            let d = if inside && count >= lanes::<S>() {
                load_inner::<S, N>(simd, map.add(y * shape.row() + x * shape.c + c), shape)
            } else {
                load_border::<S, N>(simd, map.add(c), shape, y, x, count)
            };
            let v = both_sides::<S, T, N, IN>(simd, d);
            for i in 0..IN {
                for j in 0..IN {
                    store(simd, to.add((i * IN + j) * stride + c), v[i][j]);
                }
            }
        }
    }
}

/// N×N vectors of a map.
///
/// # Safety
/// All of them are in the map.
#[inline(always)]
unsafe fn load_inner<S: Simd, const N: usize>(
    simd: S,
    corner: *const f32,
    shape: Shape,
) -> [[S::f32s; N]; N] {
    let mut d = [[simd.splat_f32s(0.0); N]; N];
    for i in 0..N {
        for j in 0..N {
            // SAFETY: the caller's.
            d[i][j] = unsafe { load(simd, corner.add(i * shape.row() + j * shape.c)) };
        }
    }
    d
}

/// N×N vectors of `count` values from (y, x) on, of which some may be outside the map, and zero then.
///
/// # Safety
/// `map` is the image's first pixel, `count` values of which can be read.
#[inline(always)]
unsafe fn load_border<S: Simd, const N: usize>(
    simd: S,
    map: *const f32,
    shape: Shape,
    y: usize,
    x: usize,
    count: usize,
) -> [[S::f32s; N]; N] {
    let mut d = [[simd.splat_f32s(0.0); N]; N];
    for i in 0..N {
        for j in 0..N {
            let (y, x) = (y.wrapping_add(i), x.wrapping_add(j));
            d[i][j] = if y < shape.h && x < shape.w && count > 0 {
                // SAFETY: within the map, as just checked.
                unsafe { load_some(simd, map.add(y * shape.row() + x * shape.c), count) }
            } else {
                simd.splat_f32s(0.0)
            };
        }
    }
    d
}

vectorised! {
    /// `products[point][tile][padded_out]` of tiles to outputs.
    ///
    /// # Safety
    /// `out` is a whole map of the tiling's shape; no other thread writes these tiles. `bias` is
    /// null or `padded_out` values.
    unsafe fn outputs<S, FULL of (tiling.shape.c)>(
        simd,
        products: *const f32,
        tiling: Tiling,
        first: usize,
        tiles: usize,
        padded: usize,
        bias: *const f32,
        out: *mut f32,
    ) {
        let (shape, stride) = (tiling.shape, point_stride(tiles, padded));
        for tile in 0..tiles {
            let (n, y, x) = tiling.corner(first + tile);
            let map = out.add(n * shape.image() + y * shape.row() + x * shape.c);
            let (rows, columns) = (OUT.min(shape.h - y), OUT.min(shape.w - x));
            for c in (0..shape.c).step_by(lanes::<S>()) {
                let from = products.add(tile * padded + c);
                let mut m = [[simd.splat_f32s(0.0); IN]; IN];
                for i in 0..IN {
                    for j in 0..IN {
                        m[i][j] = load(simd, from.add((i * IN + j) * stride));
                    }
                }
                let y = both_sides::<S, Output, IN, OUT>(simd, m);
                let bias = if bias.is_null() { simd.splat_f32s(0.0) } else { load(simd, bias.add(c)) };
                for i in 0..rows {
                    for j in 0..columns {
                        let place = map.add(i * shape.row() + j * shape.c + c);
                        store_part::<S, FULL>(simd, place, simd.add_f32s(y[i][j], bias), shape.c - c);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// For each point, a strip's inputs [tile][padded_in] times the weights, panel by panel.
    ///
    /// # Safety
    /// The matrices are of these sizes, `products` has room for 36 points.
    unsafe fn multiply_strip<S>(
        simd,
        tiles: usize,
        inputs: *const f32,
        padded_in: usize,
        weights: *const f32,
        depth: usize,
        panel: usize,
        products: *mut f32,
        padded_out: usize,
    ) {
        let rows = tiles.next_multiple_of(ROWS);
        for point in 0..POINTS {
            for first in (0..padded_out).step_by(panel) {
                multiply(simd, rows, panel / lanes::<S>(), Product {
                    depth,
                    left: inputs.add(point * point_stride(tiles, padded_in)),
                    left_row: padded_in,
                    left_step: 1,
                    right: weights.add((point * padded_out + first) * depth),
                    right_step: panel,
                    product: products.add(point * point_stride(tiles, padded_out) + first),
                    product_row: padded_out,
                    add: false,
                });
            }
        }
    }
}

vectorised! {
    /// For each point, `sums[rows][padded_out]` is, or grows by, inputsᵀ · gradients over a strip's
    /// tiles.
    ///
    /// # Safety
    /// The matrices are of these sizes.
    unsafe fn multiply_transposed<S>(
        simd,
        tiles: usize,
        inputs: *const f32,
        rows: usize,
        padded_in: usize,
        gradients: *const f32,
        panel: usize,
        padded_out: usize,
        sums: *mut f32,
        add: bool,
    ) {
        for point in 0..POINTS {
            for first in (0..padded_out).step_by(panel) {
                multiply(simd, rows, panel / lanes::<S>(), Product {
                    depth: tiles,
                    left: inputs.add(point * point_stride(tiles, padded_in)),
                    left_row: 1,
                    left_step: padded_in,
                    right: gradients.add(point * point_stride(tiles, padded_out) + first),
                    right_step: padded_out,
                    product: sums.add(point * rows * padded_out + first),
                    product_row: padded_out,
                    add,
                });
            }
        }
    }
}

/// Weights as factors of products, [point][panel][C_in][panel width].
pub struct Factors {
    factors: Vec<f32>,
    bias: Option<Vec<f32>>,
    channels_in: usize,
    channels_out: usize,
    panel: usize,
}

impl Factors {
    /// Weights of the convolution, or (`transposed`) of the one that takes gradients back to its input.
    pub fn new(weights: Weights<'_>, transposed: bool) -> Self {
        let (channels_in, channels_out) = weights.channels(transposed);
        let panel = panel_width(channels_out);
        let padded = channels_out.next_multiple_of(panel);
        // SAFETY: each panel writes every point of every input channel.
        let factors = unsafe {
            filled(POINTS * channels_in * padded, |factors| {
                for_each(padded / panel, |i| {
                    let mut taps = vec![0.0; 9 * panel];
                    for channel in 0..channels_in {
                        weights.block(transposed, channel, i * panel, panel, &mut taps);
                        let to = factors.at((i * channels_in + channel) * panel, panel);
                        factor_row(taps.as_ptr(), panel, to, channels_in * padded);
                    }
                });
            })
        };
        let bias = weights.bias.filter(|_| !transposed).map(|bias| {
            let mut bias = bias.to_vec();
            bias.resize(padded, 0.0);
            bias
        });
        Self { factors, bias, channels_in, channels_out, panel }
    }

    /// Convolves a map of `shape` into `out`.
    pub fn run(&self, x: &[f32], shape: Shape, out: Out<'_>) {
        assert!(x.len() == shape.len() && shape.c == self.channels_in);
        let tiling = Tiling::of(Shape { c: self.channels_out, ..shape });
        assert_eq!(out.len(), tiling.shape.len());
        let padded_in = tile_stride(shape.c);
        let padded_out = self.channels_out.next_multiple_of(self.panel);
        let strip = strip(padded_in, padded_out);
        for_each(tiling.tiles().div_ceil(strip), |i| {
            let first = i * strip;
            let tiles = strip.min(tiling.tiles() - first);
            let inputs = POINTS * point_stride(tiles, padded_in);
            let products = POINTS * point_stride(tiles, padded_out);
            scratch::with(inputs + products, |room| {
                let (inputs, products) = (room.at(0, inputs), room.at(inputs, products));
                let bias = self.bias.as_ref().map_or(std::ptr::null(), |bias| bias.as_ptr());
                // SAFETY: sizes as just computed; tiles are disjoint.
                unsafe {
                    transform(
                        x.as_ptr(),
                        Tiling::of(shape),
                        false,
                        first,
                        tiles,
                        0,
                        shape.c,
                        padded_in,
                        inputs,
                    );
                    let factors = self.factors.as_ptr();
                    multiply_strip(
                        tiles, inputs, padded_in, factors, shape.c, self.panel, products, padded_out,
                    );
                    outputs(products, tiling, first, tiles, padded_out, bias, out.at(0, out.len()));
                }
            });
        });
    }
}

vectorised! {
    /// The factors of one input channel and one panel: from `[tap][panel]` to `[point][panel]`, points
    /// `stride` apart.
    ///
    /// # Safety
    /// Nine taps of `panel` values; room for as many at every point.
    unsafe fn factor_row<S>(simd, row: *const f32, panel: usize, to: *mut f32, stride: usize) {
        for c in (0..panel).step_by(lanes::<S>()) {
            let mut g = [[simd.splat_f32s(0.0); 3]; 3];
            for i in 0..3 {
                for j in 0..3 {
                    g[i][j] = load(simd, row.add((i * 3 + j) * panel + c));
                }
            }
            let u = both_sides::<S, Taps, 3, IN>(simd, g);
            for i in 0..IN {
                for j in 0..IN {
                    store(simd, to.add((i * IN + j) * stride + c), u[i][j]);
                }
            }
        }
    }
}

/// Tiles worked on at a time: as many as keep inputs and products in the second-level cache, but
/// enough that reading the factors pays.
fn strip(padded_in: usize, padded_out: usize) -> usize {
    const CACHE: usize = 600 << 10;
    let bytes = POINTS * (padded_in + padded_out) * size_of::<f32>();
    (CACHE / bytes).clamp(32, 128) / ROWS * ROWS
}

/// The gradient of the weights, summed over the maps it is shown.
pub struct FactorGradients {
    /// [chunk][block][point][C_in, padded][block width]
    sums: Vec<f32>,
    channels_in: usize,
    channels_out: usize,
    /// Output channels in a block.
    block: usize,
    /// Parts of each map whose sums are kept apart.
    chunks: usize,
    /// True once there are sums.
    begun: bool,
}

/// Sums that are worked on at the same time, where this much memory holds them.
const PARTS: usize = 8;
const MEMORY: usize = 32 << 20;
/// Output channels in a block where there are many.
const BLOCK: usize = 64;

impl FactorGradients {
    pub fn new(channels_in: usize, channels_out: usize) -> Self {
        let panel = panel_width(channels_out);
        // Where channels are many the sums are large; narrower blocks need fewer of them apart.
        let block = if channels_out > BLOCK { BLOCK / 2 } else { BLOCK }.next_multiple_of(panel);
        let block = block.min(channels_out.next_multiple_of(panel));
        let mut new = Self { sums: Vec::new(), channels_in, channels_out, block, chunks: 0, begun: false };
        let parts = (MEMORY / (new.part() * size_of::<f32>())).clamp(2, PARTS);
        new.chunks = parts.div_ceil(new.blocks());
        new.sums = Vec::with_capacity(new.chunks * new.blocks() * new.part());
        new
    }

    fn blocks(&self) -> usize {
        self.channels_out.div_ceil(self.block)
    }

    /// Rows of the sums of a point.
    fn rows(&self) -> usize {
        self.channels_in.next_multiple_of(ROWS)
    }

    /// Values of one block of one chunk.
    fn part(&self) -> usize {
        POINTS * self.rows() * self.block
    }

    /// Adds the gradient from a map `x` of `shape` and the gradient of the convolution's output.
    pub fn add(&mut self, x: &[f32], shape: Shape, gradient: &[f32]) {
        let tiling = Tiling::of(shape);
        let out = Tiling::of(Shape { c: self.channels_out, ..shape });
        assert!(x.len() == shape.len() && shape.c == self.channels_in);
        assert_eq!(gradient.len(), out.shape.len());
        let (padded_in, rows, block, part) = (tile_stride(shape.c), self.rows(), self.block, self.part());
        let (blocks, chunks, channels_out) = (self.blocks(), self.chunks, self.channels_out);
        let panel = panel_width(channels_out);
        let strip = strip(padded_in, block);
        let begun = std::mem::replace(&mut self.begun, true);
        let sums = Out::uninit(&mut self.sums.spare_capacity_mut()[..chunks * blocks * part]);
        for_each(chunks * blocks, |i| {
            let channel = i % blocks * block;
            let tiles = piece(tiling.tiles(), chunks, i / blocks);
            let sums = sums.at(i * part, part);
            if tiles.is_empty() && !begun {
                // SAFETY: this task's own sums.
                unsafe { sums.write_bytes(0, part) };
            }
            for first in tiles.clone().step_by(strip) {
                let add = begun || first > tiles.start;
                let tiles = strip.min(tiles.end - first);
                let inputs = POINTS * point_stride(tiles, padded_in);
                let gradients = POINTS * point_stride(tiles, block);
                scratch::with(inputs + gradients, |room| {
                    let (inputs, gradients) = (room.at(0, inputs), room.at(inputs, gradients));
                    let count = block.min(channels_out - channel);
                    // SAFETY: sizes as just computed; each task has sums of its own.
                    unsafe {
                        transform(x.as_ptr(), tiling, false, first, tiles, 0, shape.c, padded_in, inputs);
                        transform(
                            gradient.as_ptr(),
                            out,
                            true,
                            first,
                            tiles,
                            channel,
                            count,
                            block,
                            gradients,
                        );
                        multiply_transposed(
                            tiles, inputs, rows, padded_in, gradients, panel, block, sums, add,
                        );
                    }
                });
            }
        });
    }

    /// The gradient of the weights, [C_out, C_in, 3, 3].
    pub fn finish(mut self) -> Vec<f32> {
        let (rows, block, part) = (self.rows(), self.block, self.part());
        assert!(self.begun, "a gradient of no map");
        // SAFETY: `add` has written the sums of every part.
        unsafe { self.sums.set_len(self.chunks * self.blocks() * part) };
        let (channels_in, channels_out, chunks) = (self.channels_in, self.channels_out, self.chunks);
        let (sums, chunk_stride) = (&self.sums, self.blocks() * part);
        // One vector of output channels at a time, so that memory is gone through in order.
        // SAFETY: every output channel writes its nine taps of every input channel.
        unsafe {
            filled(channels_out * channels_in * 9, |gradient| {
                for_each(channels_out.div_ceil(width()), |i| {
                    let first = i * width();
                    let from = sums.as_ptr().add(first / block * part + first % block);
                    let mut taps = vec![0.0; 9 * width()];
                    for c in 0..channels_in {
                        let from = from.add(c * block);
                        factor_vector_adjoint(from, chunks, chunk_stride, rows * block, taps.as_mut_ptr());
                        for o in first..channels_out.min(first + width()) {
                            let to = gradient.at((o * channels_in + c) * 9, 9);
                            (0..9).for_each(|tap| to.add(tap).write(taps[tap * width() + o - first]));
                        }
                    }
                });
            })
        }
    }
}

vectorised! {
    /// The sum over chunks of one input channel's products with a vector of output channels, points
    /// `point_stride` apart, to its taps, vector after vector.
    ///
    /// # Safety
    /// The strides lead to a vector each; `to` has room for nine.
    unsafe fn factor_vector_adjoint<S>(
        simd, sums: *const f32, chunks: usize, chunk_stride: usize, point_stride: usize, to: *mut f32,
    ) {
        let mut u = [[simd.splat_f32s(0.0); IN]; IN];
        for i in 0..IN {
            for j in 0..IN {
                let from = sums.add((i * IN + j) * point_stride);
                for chunk in 0..chunks {
                    u[i][j] = simd.add_f32s(u[i][j], load(simd, from.add(chunk * chunk_stride)));
                }
            }
        }
        let g = both_sides::<S, TapsAdjoint, IN, 3>(simd, u);
        for i in 0..3 {
            for j in 0..3 {
                store(simd, to.add((i * 3 + j) * lanes::<S>()), g[i][j]);
            }
        }
    }
}
