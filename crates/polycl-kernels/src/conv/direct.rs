//! Convolution of any kernel and stride as a sum over taps: what Winograd's algorithm does not
//! cover (strides, 1×1, the 7×7 stem, inputs of one channel).

use pulp::Simd;

use super::gemm::{ROWS, Tile, accumulate, panel_width};
use super::kernel::Conv;
use super::weights::Weights;
use crate::parallel::{Out, filled, for_each, piece};
use crate::scratch;
use crate::shape::Shape;
use crate::simd::{lanes, load, store, store_some};

/// The input that output (i, j) reads, and the matrix that it is multiplied with: input
/// (i · step + dy, j · step + dx).
#[derive(Debug, Clone, Copy)]
struct Tap {
    dy: isize,
    dx: isize,
    matrix: usize,
}

/// Outputs of a map that all read alike: every `step`th from (y, x) on.
#[derive(Debug, Clone)]
struct Phase {
    y: usize,
    x: usize,
    step: usize,
    taps: Vec<Tap>,
}

/// Weights as one matrix a tap, [tap][panel][C_in][panel width].
pub struct Matrices {
    matrices: Vec<f32>,
    bias: Vec<f32>,
    channels_in: usize,
    channels_out: usize,
    panel: usize,
    /// Distance between the inputs of neighbouring outputs.
    step: usize,
    phases: Vec<Phase>,
}

impl Matrices {
    pub fn forward(weights: Weights<'_>, conv: Conv) -> Self {
        let phase = Phase { y: 0, x: 0, step: 1, taps: taps(conv) };
        Self::new(weights, false, conv.stride, vec![phase])
    }

    /// With a stride of s, the inputs whose coordinates leave the same remainders by s are reached
    /// by the same taps, so each of the s² remainders is a dense convolution of the gradient.
    pub fn backward(weights: Weights<'_>, conv: Conv) -> Self {
        let (k, stride, padding) = (conv.kernel as isize, conv.stride as isize, conv.padding as isize);
        let phase = |y: isize, x: isize| {
            let reached = |(ky, kx): (isize, isize)| {
                let (dy, dx) = (y + padding - ky, x + padding - kx);
                let whole = dy % stride == 0 && dx % stride == 0;
                let matrix = (k * k - 1 - (ky * k + kx)) as usize;
                whole.then_some(Tap { dy: dy / stride, dx: dx / stride, matrix })
            };
            let all = (0..k).flat_map(|ky| (0..k).map(move |kx| (ky, kx)));
            Phase { y: y as usize, x: x as usize, step: conv.stride, taps: all.filter_map(reached).collect() }
        };
        let phases = (0..stride).flat_map(|y| (0..stride).map(move |x| (y, x)));
        Self::new(weights, true, 1, phases.map(|(y, x)| phase(y, x)).collect())
    }

    fn new(weights: Weights<'_>, transposed: bool, step: usize, phases: Vec<Phase>) -> Self {
        let (channels_in, channels_out) = weights.channels(transposed);
        let panel = panel_width(channels_out);
        let padded = channels_out.next_multiple_of(panel);
        // SAFETY: each panel writes its rows of every tap.
        let matrices = unsafe {
            filled(weights.taps() * channels_in * padded, |to| {
                for_each(padded / panel, |i| {
                    let mut block = vec![0.0; weights.taps() * panel];
                    for channel in 0..channels_in {
                        weights.block(transposed, channel, i * panel, panel, &mut block);
                        for (tap, row) in block.chunks_exact(panel).enumerate() {
                            let place = ((tap * padded / panel + i) * channels_in + channel) * panel;
                            to.at(place, panel).copy_from_nonoverlapping(row.as_ptr(), panel);
                        }
                    }
                });
            })
        };
        let mut bias = weights.bias.filter(|_| !transposed).map_or_else(Vec::new, <[f32]>::to_vec);
        bias.resize(padded, 0.0);
        Self { matrices, bias, channels_in, channels_out, panel, step, phases }
    }

    /// From maps `x` of shape `input` to all of `to`, maps of shape `output`.
    pub fn run(&self, x: &[f32], input: Shape, output: Shape, to: Out<'_>) {
        assert!(x.len() == input.len() && input.c == self.channels_in);
        assert!(to.len() == output.len() && output.c == self.channels_out);
        for phase in &self.phases {
            let rows = output.h.saturating_sub(phase.y).div_ceil(phase.step);
            let columns = output.w.saturating_sub(phase.x).div_ceil(phase.step);
            if rows == 0 || columns == 0 {
                continue;
            }
            let band = Band::of(&phase.taps, input, self.step, columns);
            let bands = rows.div_ceil(BAND);
            for_each(input.n * bands, |i| {
                let (n, rows) = (i / bands, piece(rows, bands, i % bands));
                let image = &x[n * input.image()..][..input.image()];
                scratch::with(band.len(rows.len()), |room| {
                    band.copy(image, rows.start, rows.len(), room);
                    let offsets: Vec<usize> =
                        phase.taps.iter().map(|tap| band.offset(tap, rows.len())).collect();
                    for (line, row) in rows.enumerate() {
                        let first = (n * output.h + row * phase.step + phase.y) * output.row();
                        let to = to.at(first + phase.x * output.c, 0);
                        let pixels = Pixels {
                            from: room.at(line * band.row(), 0).cast_const(),
                            from_step: input.c,
                            count: columns,
                            depth: input.c,
                            taps: &raw const *phase.taps,
                            offsets: &raw const *offsets,
                            matrices: self.matrices.as_ptr(),
                            bias: self.bias.as_ptr(),
                            columns: self.channels_out,
                            panel: self.panel,
                            to,
                            to_step: phase.step * output.c,
                        };
                        // SAFETY: the band holds every input these outputs read, rows are disjoint.
                        unsafe { row_of_pixels(pixels) };
                    }
                });
            });
        }
    }
}

/// Every tap of a convolution on its input.
fn taps(conv: Conv) -> Vec<Tap> {
    let (k, padding) = (conv.kernel, conv.padding as isize);
    let tap = |matrix: usize| Tap {
        dy: (matrix / k) as isize - padding,
        dx: (matrix % k) as isize - padding,
        matrix,
    };
    (0..k * k).map(tap).collect()
}

/// Rows of outputs that share a copy of their inputs.
const BAND: usize = 8;

/// A zero-padded copy of the inputs that some rows of outputs read. With a step of s, each of the s²
/// remainders of rows and columns by s is a plane of its own, so that the inputs which neighbouring
/// outputs read through one tap are neighbours, and those of the next row of outputs a row below.
struct Band {
    input: Shape,
    step: usize,
    top: isize,
    left: isize,
    /// Rows of inputs beyond those of the first row of outputs.
    extra: usize,
    /// Pixels in a row of a plane.
    width: usize,
}

impl Band {
    fn of(taps: &[Tap], input: Shape, step: usize, columns: usize) -> Self {
        let range = |offset: fn(&Tap) -> isize| {
            let least = taps.iter().map(offset).min().unwrap_or(0);
            (least, taps.iter().map(offset).max().unwrap_or(0).abs_diff(least))
        };
        let ((top, extra), (left, wide)) = (range(|tap| tap.dy), range(|tap| tap.dx));
        Self { input, step, top, left, extra, width: ((columns - 1) * step + wide + 1).div_ceil(step) }
    }

    /// Values in a row of a plane.
    fn row(&self) -> usize {
        self.width * self.input.c
    }

    /// Values in a plane for some rows of outputs.
    fn plane(&self, rows: usize) -> usize {
        ((rows - 1) * self.step + self.extra + 1).div_ceil(self.step) * self.row()
    }

    fn len(&self, rows: usize) -> usize {
        self.step * self.step * self.plane(rows)
    }

    /// Offset of input (y, x) of the padded rows.
    fn place(&self, y: usize, x: usize, rows: usize) -> usize {
        let plane = y % self.step * self.step + x % self.step;
        plane * self.plane(rows) + y / self.step * self.row() + x / self.step * self.input.c
    }

    /// Offset of the tap of the first output, in the copy for some rows of outputs.
    fn offset(&self, tap: &Tap, rows: usize) -> usize {
        self.place(tap.dy.abs_diff(self.top), tap.dx.abs_diff(self.left), rows)
    }

    /// Copies what outputs of rows `first..first + rows` read.
    fn copy(&self, image: &[f32], first: usize, rows: usize, to: Out<'_>) {
        let Shape { h, w, c, .. } = self.input;
        for line in 0..self.plane(rows) / self.row() * self.step {
            let y = (first * self.step + line) as isize + self.top;
            for column in 0..self.step {
                let to = to.at(self.place(line, column, rows), self.row());
                if y < 0 || y >= h as isize {
                    // SAFETY: `to` has room for a row.
                    unsafe { to.write_bytes(0, self.row()) };
                    continue;
                }
                let row = &image[y as usize * w * c..][..w * c];
                self.copy_row(row, self.left + column as isize, to);
            }
        }
    }

    /// Every `step`th pixel of a row of the map from `x` on, zero outside.
    fn copy_row(&self, row: &[f32], x: isize, to: *mut f32) {
        let Shape { w, c, .. } = self.input;
        let (step, before) = (self.step, (-x).max(0) as usize);
        let begin = before.div_ceil(self.step).min(self.width);
        let first = ((x + (begin * step) as isize).max(0) as usize).min(w);
        let inside = (w - first).div_ceil(step).min(self.width - begin);
        // SAFETY: `to` has room for `width` pixels, of which `begin..begin + inside` are in the map.
        unsafe {
            to.write_bytes(0, begin * c);
            if step == 1 {
                to.add(begin * c).copy_from_nonoverlapping(row[first * c..].as_ptr(), inside * c);
            } else {
                for i in 0..inside {
                    let from = &row[(first + i * step) * c..][..c];
                    to.add((begin + i) * c).copy_from_nonoverlapping(from.as_ptr(), c);
                }
            }
            to.add((begin + inside) * c).write_bytes(0, (self.width - begin - inside) * c);
        }
    }
}

/// A row of outputs: `count` pixels that read from `from` on, `from_step` apart.
#[derive(Clone, Copy)]
struct Pixels {
    from: *const f32,
    from_step: usize,
    count: usize,
    depth: usize,
    taps: *const [Tap],
    offsets: *const [usize],
    matrices: *const f32,
    bias: *const f32,
    columns: usize,
    panel: usize,
    to: *mut f32,
    to_step: usize,
}

vectorised! {
    /// # Safety
    /// All that [`Pixels`] names can be read and written, and no other thread writes it.
    unsafe fn row_of_pixels<S>(simd, p: Pixels) {
        for pixel in (0..p.count).step_by(ROWS) {
            for first in (0..p.columns).step_by(p.panel) {
                if p.panel == lanes::<S>() {
                    some_pixels::<S, ROWS, 1>(simd, p, pixel, first);
                } else if S::REGISTER_COUNT >= 32 {
                    some_pixels::<S, ROWS, 2>(simd, p, pixel, first);
                } else {
                    some_pixels::<S, 4, 2>(simd, p, pixel, first);
                    some_pixels::<S, 4, 2>(simd, p, pixel + 4, first);
                }
            }
        }
    }
}

/// One panel of R pixels from `pixel` on; there may be fewer.
///
/// # Safety
/// As [`row_of_pixels`].
#[inline(always)]
unsafe fn some_pixels<S: Simd, const R: usize, const V: usize>(
    simd: S,
    p: Pixels,
    pixel: usize,
    first: usize,
) {
    // SAFETY: the caller's; pixels beyond the last read the last one's inputs and are not stored.
    unsafe {
        let mut bias = [simd.splat_f32s(0.0); V];
        for v in 0..V {
            bias[v] = load(simd, p.bias.add(first + v * lanes::<S>()));
        }
        let mut tile: Tile<S, R, V> = [bias; R];
        let mut first_tap = [p.from; R];
        for r in 0..R {
            first_tap[r] = p.from.add((pixel + r).min(p.count - 1) * p.from_step);
        }
        let padded = p.columns.next_multiple_of(p.panel);
        for (tap, &offset) in (*p.taps).iter().zip(&*p.offsets) {
            let matrix = p.matrices.add((tap.matrix * padded + first) * p.depth);
            let mut rows = first_tap;
            for row in &mut rows {
                *row = row.add(offset);
            }
            accumulate(simd, &mut tile, p.depth, &rows, 1, matrix, p.panel);
        }
        for r in 0..R.min(p.count.saturating_sub(pixel)) {
            for v in 0..V {
                let column = first + v * lanes::<S>();
                if column < p.columns {
                    let to = p.to.add((pixel + r) * p.to_step + column);
                    store_some(simd, to, tile[r][v], p.columns - column);
                }
            }
        }
    }
}

/// The gradient of the weights, [chunk][tap and C_in][C_out, padded].
pub struct MatrixGradients {
    sums: Vec<f32>,
    conv: Conv,
    channels_in: usize,
    channels_out: usize,
    /// Parts of each map whose sums are kept apart.
    chunks: usize,
}

impl MatrixGradients {
    pub fn new(conv: Conv, channels_in: usize, channels_out: usize) -> Self {
        const MEMORY: usize = 4 << 20;
        let mut new = Self { sums: Vec::new(), conv, channels_in, channels_out, chunks: 0 };
        new.chunks = (MEMORY / new.part()).clamp(2, 8);
        new.sums = vec![0.0; new.chunks * new.part()];
        new
    }

    fn columns(&self) -> usize {
        self.channels_out.next_multiple_of(panel_width(self.channels_out))
    }

    fn rows(&self) -> usize {
        self.conv.kernel * self.conv.kernel * self.channels_in
    }

    /// Values of one chunk.
    fn part(&self) -> usize {
        self.rows().next_multiple_of(ROWS) * self.columns()
    }

    pub fn add(&mut self, x: &[f32], input: Shape, gradient: &[f32]) {
        let (part, rows, columns, chunks) = (self.part(), self.rows(), self.columns(), self.chunks);
        let output = self.conv.output(input, self.channels_out);
        assert!(x.len() == input.len() && gradient.len() == output.len() && input.c == self.channels_in);
        let (step, taps) = (self.conv.stride, taps(self.conv));
        let band = Band::of(&taps, input, step, output.w);
        let bands = output.h.div_ceil(BAND);
        let sums = Out::new(&mut self.sums);
        for_each(chunks, |chunk| {
            let sums = sums.at(chunk * part, part);
            for i in piece(output.n * bands, chunks, chunk) {
                let (n, lines) = (i / bands, piece(output.h, bands, i % bands));
                let image = &x[n * input.image()..][..input.image()];
                let offset = |tap| band.offset(tap, lines.len());
                let offsets: Vec<usize> =
                    taps.iter().flat_map(|tap| (0..input.c).map(move |c| offset(tap) + c)).collect();
                // Rows of gradients as wide as those of inputs, so that all rows are one sum.
                let (inputs, wide) = (band.len(lines.len()), band.width * columns);
                scratch::with(inputs + lines.len() * wide, |room| {
                    band.copy(image, lines.start, lines.len(), room);
                    let padded = room.part(inputs..inputs + lines.len() * wide);
                    for (line, y) in lines.clone().enumerate() {
                        let gradient = &gradient[(n * output.h + y) * output.row()..][..output.row()];
                        pad(gradient, output.c, columns, padded.part(line * wide..(line + 1) * wide));
                    }
                    let rows = Rows {
                        from: room.at(0, inputs).cast_const(),
                        offsets: &raw const *offsets,
                        from_step: input.c,
                        gradient: padded.at(0, padded.len()).cast_const(),
                        columns,
                        panel: panel_width(output.c),
                        pixels: (lines.len() - 1) * band.width + output.w,
                        rows,
                        sums,
                    };
                    // SAFETY: the band holds all inputs; each chunk has sums of its own.
                    unsafe { add_rows(rows) };
                });
            }
        });
    }

    /// [C_out, C_in, k, k]
    pub fn finish(self) -> Vec<f32> {
        let (part, columns, rows, chunks) = (self.part(), self.columns(), self.rows(), self.chunks);
        let (taps, channels_in, channels_out) =
            (rows / self.channels_in, self.channels_in, self.channels_out);
        // Some output channels at a time, so that reading and writing go through memory in order.
        let some = 16.min(columns);
        // SAFETY: every output channel writes all its weights.
        unsafe {
            filled(channels_out * rows, |to| {
                for_each(columns.div_ceil(some), |i| {
                    for row in 0..rows {
                        let (c, tap) = (row / taps, row % taps);
                        for o in i * some..channels_out.min((i + 1) * some) {
                            let from = self.sums[(tap * channels_in + c) * columns + o..].iter();
                            let sum: f32 = from.step_by(part).take(chunks).sum();
                            to.at((o * channels_in + c) * taps + tap, 1).write(sum);
                        }
                    }
                });
            })
        }
    }
}

/// Copies pixels of `channels` values each to pixels of `padded`, the rest of `to` zero.
fn pad(pixels: &[f32], channels: usize, padded: usize, to: Out<'_>) {
    let copied = pixels.len() / channels * padded;
    // SAFETY: all places are in `to`, which has room for the padded pixels.
    unsafe {
        for (i, pixel) in pixels.chunks_exact(channels).enumerate() {
            let to = to.at(i * padded, padded);
            to.copy_from_nonoverlapping(pixel.as_ptr(), channels);
            to.add(channels).write_bytes(0, padded - channels);
        }
        to.at(copied, to.len() - copied).write_bytes(0, to.len() - copied);
    }
}

/// The inputs of some rows of outputs, and their gradient [pixels][columns].
#[derive(Clone, Copy)]
struct Rows {
    from: *const f32,
    /// Offset of the first input of each row of the sums.
    offsets: *const [usize],
    from_step: usize,
    gradient: *const f32,
    columns: usize,
    panel: usize,
    pixels: usize,
    rows: usize,
    sums: *mut f32,
}

vectorised! {
    /// # Safety
    /// All that [`Rows`] names can be read, the sums written too, by this thread alone.
    unsafe fn add_rows<S>(simd, row: Rows) {
        for first in (0..row.rows).step_by(ROWS) {
            for column in (0..row.columns).step_by(row.panel) {
                if row.panel == lanes::<S>() {
                    add_block::<S, ROWS, 1>(simd, row, first, column);
                } else if S::REGISTER_COUNT >= 32 {
                    add_block::<S, ROWS, 2>(simd, row, first, column);
                } else {
                    add_block::<S, 4, 2>(simd, row, first, column);
                    add_block::<S, 4, 2>(simd, row, first + 4, column);
                }
            }
        }
    }
}

/// # Safety
/// As [`add_rows`].
#[inline(always)]
unsafe fn add_block<S: Simd, const R: usize, const V: usize>(
    simd: S,
    row: Rows,
    first: usize,
    column: usize,
) {
    // SAFETY: the caller's; rows beyond the last repeat it into sums that nobody reads.
    unsafe {
        let offsets = &*row.offsets;
        let sums = row.sums.add(first * row.columns + column);
        let mut rows = [row.from; R];
        let mut tile: Tile<S, R, V> = [[simd.splat_f32s(0.0); V]; R];
        for r in 0..R {
            rows[r] = row.from.add(offsets[(first + r).min(row.rows - 1)]);
            for v in 0..V {
                tile[r][v] = load(simd, sums.add(r * row.columns + v * lanes::<S>()));
            }
        }
        let gradient = row.gradient.add(column);
        accumulate(simd, &mut tile, row.pixels, &rows, row.from_step, gradient, row.columns);
        for r in 0..R {
            for v in 0..V {
                store(simd, sums.add(r * row.columns + v * lanes::<S>()), tile[r][v]);
            }
        }
    }
}
