//! Reading of a stored map with normalisation, activation, dropout and resampling on the way,
//! and the way back from the gradient of what was read to that of what is stored.

mod axis;
mod raw;

use std::ops::Range;

use crate::dropout::Dropout;
use crate::moments::Over;
use crate::parallel::{Out, for_each};
use crate::scratch;
use crate::shape::Shape;
use crate::simd::width;
use axis::Axis;
use raw::Raw;

/// (x − mean) / √(variance + ε) · weight + bias.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Mean and variance, [group, 2, C], of the map itself or (`fixed`) running ones.
    pub moments: &'a [f32],
    pub over: Over,
    pub weight: Option<&'a [f32]>,
    pub bias: Option<&'a [f32]>,
    pub epsilon: f32,
    /// The moments do not depend on the map, so no gradient flows through them.
    pub fixed: bool,
}

/// Resampling of the map's grid, last of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resample {
    #[default]
    No,
    /// Windows of `size`², `stride` apart; the padding never wins.
    MaxPool { size: usize, stride: usize, padding: usize },
    /// Bilinear, to twice the sides, corners aligned.
    Upsample2,
}

impl Resample {
    pub fn output(self, shape: Shape) -> Shape {
        match self {
            Self::No => shape,
            Self::Upsample2 => Shape { h: 2 * shape.h, w: 2 * shape.w, ..shape },
            Self::MaxPool { size, stride, padding } => {
                let side = |length: usize| (length + 2 * padding - size) / stride + 1;
                Shape { h: side(shape.h), w: side(shape.w), ..shape }
            }
        }
    }

    /// True if [`Self::output`] exists and each window has a value in it.
    pub fn fits(self, shape: Shape) -> bool {
        match self {
            Self::MaxPool { size, stride, padding } => {
                let side = |length: usize| length + 2 * padding >= size;
                stride > 0 && padding < size && !shape.is_empty() && side(shape.h) && side(shape.w)
            }
            _ => !shape.is_empty(),
        }
    }
}

/// A stored map and how it is read: normalised, plus the residual, LeakyReLU, dropout, resampled.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub map: &'a [f32],
    pub shape: Shape,
    pub norm: Option<Norm<'a>>,
    /// A map of the same shape, added before the activation.
    pub residual: Option<&'a [f32]>,
    /// Slope below zero, at most 1: 0 is ReLU, 1 no activation.
    pub slope: f32,
    pub dropout: Option<Dropout>,
    pub resample: Resample,
}

impl<'a> Source<'a> {
    /// A map read as it is.
    pub fn plain(map: &'a [f32], shape: Shape) -> Self {
        Self { map, shape, norm: None, residual: None, slope: 1.0, dropout: None, resample: Resample::No }
    }

    /// The shape of what is read.
    pub fn output(&self) -> Shape {
        self.resample.output(self.shape)
    }

    pub(crate) fn is_plain(&self) -> bool {
        let processed = self.norm.is_some() || self.residual.is_some() || self.dropout.is_some();
        !processed && self.slope == 1.0 && self.resample == Resample::No
    }
}

/// Gradients of what a [`Source`] is made of.
#[derive(Debug, Default)]
pub struct SourceGradient {
    pub map: Vec<f32>,
    pub weight: Option<Vec<f32>>,
    pub bias: Option<Vec<f32>>,
    pub residual: Option<Vec<f32>>,
}

/// A [`Source`] ready to be read.
pub struct Reader<'a> {
    source: Source<'a>,
    /// Per channel, padded to whole vectors, [group, 4, padded]: mean, 1/√(σ² + ε), scale, bias.
    channels: Vec<f32>,
    padded: usize,
}

/// Rows a task reads at a time.
const BAND: usize = 8;

impl<'a> Reader<'a> {
    pub fn new(source: Source<'a>) -> Self {
        let Shape { n, c, .. } = source.shape;
        assert_eq!(source.map.len(), source.shape.len());
        assert!(source.residual.is_none_or(|residual| residual.len() == source.shape.len()));
        assert!(source.slope <= 1.0 && source.resample.fits(source.shape));
        let padded = c.next_multiple_of(width());
        // Fixed moments are one set for all.
        let groups = source.norm.map_or(1, |norm| if norm.fixed { 1 } else { norm.over.groups(n) });
        assert!(n.is_multiple_of(groups));
        let mut channels = vec![0.0; groups * 4 * padded];
        for (group, channels) in channels.chunks_exact_mut(4 * padded).enumerate() {
            for i in 0..c {
                let [mean, root, scale, bias] = source.norm.map_or([0.0, 1.0, 1.0, 0.0], |norm| {
                    let moments = &norm.moments[group * 2 * c..][..2 * c];
                    let root = 1.0 / (moments[c + i] + norm.epsilon).sqrt();
                    let weight = norm.weight.map_or(1.0, |weight| weight[i]);
                    [moments[i], root, root * weight, norm.bias.map_or(0.0, |bias| bias[i])]
                });
                channels[i] = mean;
                channels[padded + i] = root;
                channels[2 * padded + i] = scale;
                channels[3 * padded + i] = bias;
            }
        }
        Self { source, channels, padded }
    }

    pub fn source(&self) -> &Source<'a> {
        &self.source
    }

    pub fn output(&self) -> Shape {
        self.source.output()
    }

    /// The reading of image `n`.
    fn raw(&self, n: usize) -> Raw {
        let over = self.source.norm.map_or(Over::Batches(1), |norm| norm.over);
        let group = self.set(over.group(n, self.source.shape.n));
        let at = |i: usize| self.channels[(group * 4 + i) * self.padded..].as_ptr();
        let first = n * self.source.shape.image();
        Raw {
            map: self.source.map[first..].as_ptr(),
            residual: self.source.residual.map_or(std::ptr::null(), |map| map[first..].as_ptr()),
            first: first as u64,
            w: self.source.shape.w,
            c: self.source.shape.c,
            mean: at(0),
            scale: at(2),
            bias: at(3),
            slope: self.source.slope,
            dropout: self.source.dropout.filter(|dropout| dropout.probability > 0.0),
        }
    }

    /// Reads `images` into channels from `channel` on of `to`, maps of `channels` channels.
    pub fn read(&self, images: Range<usize>, to: Out<'_>, channel: usize, channels: usize) {
        let (input, output) = (self.source.shape, self.output());
        assert_eq!(to.len(), images.len() * output.h * output.w * channels);
        let bands = output.h.div_ceil(BAND);
        let (down, across) = (Axis::doubling(input.h), Axis::doubling(input.w));
        for_each(images.len() * bands, |i| {
            let raw = self.raw(images.start + i / bands);
            let rows = i % bands * BAND..(i % bands * BAND + BAND).min(output.h);
            let place = |y: usize| {
                let row = (i / bands * output.h + y) * output.w;
                to.at(row * channels + channel, (output.w - 1) * channels + output.c)
            };
            let needed = match self.source.resample {
                Resample::No => rows.clone(),
                Resample::Upsample2 => down.low(rows.start)..down.high(rows.end - 1) + 1,
                Resample::MaxPool { size, stride, padding } => {
                    let first = (rows.start * stride).saturating_sub(padding);
                    first..((rows.end - 1) * stride + size - padding).min(input.h)
                }
            };
            // SAFETY: rows of different tasks are disjoint, and `place` checked each; what is read
            // of `lines` are the rows that `needed` names.
            unsafe {
                if self.source.resample == Resample::No {
                    return rows.for_each(|y| raw::activate(raw, y, 1, input.row(), place(y), channels));
                }
                scratch::with((needed.len() + 1) * input.row(), |room| {
                    let lines = room.at(0, needed.len() * input.row());
                    raw::activate(raw, needed.start, needed.len(), input.row(), lines, input.c);
                    for y in rows {
                        if let Resample::MaxPool { size, stride, padding } = self.source.resample {
                            let window =
                                raw::Windows { size, stride, padding, first: needed.start, end: needed.end };
                            raw::pool(lines, window, input.w, input.c, y, output.w, place(y), channels);
                        } else {
                            let (low, high, weight) = down.at(y);
                            let line = |y: usize| lines.add((y - needed.start) * input.row()).cast_const();
                            let blend = room.at(needed.len() * input.row(), input.row());
                            raw::blend(line(low), line(high), weight, input.row(), blend);
                            raw::widen(blend, &raw const across, input.c, output.w, place(y), channels);
                        }
                    }
                });
            }
        });
    }

    /// The gradient, not yet freed of what the moments share, of `images` of the stored map: from
    /// channels from `channel` on of `gradient`, maps as [`Self::read`] wrote them, to `to` (and to
    /// the residual's), both whole maps. Returns the sums of each row for [`Totals::add`].
    pub fn reverse(
        &self,
        images: Range<usize>,
        gradient: &[f32],
        channel: usize,
        channels: usize,
        to: Out<'_>,
        residual: Option<Out<'_>>,
    ) -> Vec<f32> {
        let (input, output) = (self.source.shape, self.output());
        assert_eq!(gradient.len(), images.len() * output.h * output.w * channels);
        let bands = input.h.div_ceil(BAND);
        let (down, across) = (Axis::doubling(input.h).adjoint(), Axis::doubling(input.w).adjoint());
        let mut sums = vec![0.0; images.len() * input.h * 2 * self.padded];
        let rows_of_sums = Out::new(&mut sums);
        for_each(images.len() * bands, |i| {
            let n = images.start + i / bands;
            let raw = self.raw(n);
            let rows = i % bands * BAND..(i % bands * BAND + BAND).min(input.h);
            let from =
                |y: usize| gradient[(i / bands * output.h + y) * output.w * channels + channel..].as_ptr();
            // SAFETY: rows of different tasks are disjoint; the scratch memory holds what each
            // kernel's contract asks for.
            let settle = |y: usize, from: *const f32, step: usize| unsafe {
                let row = (n * input.h + y) * input.row();
                let residual = residual.map_or(std::ptr::null_mut(), |to| to.at(row, input.row()));
                let sums = rows_of_sums.at((i / bands * input.h + y) * 2 * self.padded, 2 * self.padded);
                raw::settle(raw, y, from, step, to.at(row, input.row()), residual, sums, self.padded);
            };
            match self.source.resample {
                Resample::No => rows.for_each(|y| settle(y, from(y), channels)),
                Resample::Upsample2 => scratch::with(output.w * input.c + input.row(), |room| {
                    let (wide, narrow) =
                        (room.at(0, output.w * input.c), room.at(output.w * input.c, input.row()));
                    for y in rows {
                        for (i, &(line, weight)) in down.at(y).iter().enumerate() {
                            // SAFETY: as above.
                            unsafe {
                                raw::gather(from(line), channels, weight, input.c, output.w, i > 0, wide)
                            };
                        }
                        // SAFETY: as above; every row of inputs is read by at least one of outputs.
                        unsafe { raw::narrow(wide, &raw const across, input.c, input.w, narrow) };
                        settle(y, narrow, input.c);
                    }
                }),
                Resample::MaxPool { size, stride, padding } => {
                    let needed = rows.start.saturating_sub(size - 1)..(rows.end + size - 1).min(input.h);
                    let lines = needed.len() * input.row();
                    scratch::with(lines + input.row(), |room| {
                        let (lines, row) = (room.at(0, lines), room.at(lines, input.row()));
                        let window =
                            raw::Windows { size, stride, padding, first: needed.start, end: needed.end };
                        // SAFETY: as above; windows over the rows read rows of `needed` alone.
                        unsafe {
                            raw::activate(raw, needed.start, needed.len(), input.row(), lines, input.c);
                            for y in rows {
                                row.write_bytes(0, input.row());
                                let last = ((y + padding) / stride + 1).min(output.h);
                                let first = (y + padding + 1).saturating_sub(size).div_ceil(stride);
                                for out in first..last {
                                    let (w, c) = (input.w, input.c);
                                    raw::unpool(
                                        lines,
                                        window,
                                        w,
                                        c,
                                        out,
                                        output.w,
                                        from(out),
                                        channels,
                                        y,
                                        row,
                                    );
                                }
                                settle(y, row, input.c);
                            }
                        }
                    });
                }
            }
        });
        sums
    }

    /// Frees the gradient of `images` of what the moments share, once all the sums that they need
    /// are there.
    pub fn finish(&self, images: Range<usize>, to: Out<'_>, totals: &Totals) {
        let Some(norm) = self.source.norm else { return };
        let (shape, padded) = (self.source.shape, self.padded);
        let bands = shape.h.div_ceil(BAND);
        let group = |n: usize| norm.over.group(n, shape.n);
        let first = group(images.start);
        let factors = self.factors(norm, totals, first..group(images.end - 1) + 1);
        for_each(images.len() * bands, |i| {
            let n = images.start + i / bands;
            let raw = self.raw(n);
            let factors = factors[(group(n) - first) * 3 * padded..][..3 * padded].as_ptr();
            let (first, end) = (i % bands * BAND, (i % bands * BAND + BAND).min(shape.h));
            let to = to.at(n * shape.image() + first * shape.row(), (end - first) * shape.row());
            // SAFETY: bands are disjoint; factors of every channel.
            unsafe { raw::finish(raw, first * shape.w, (end - first) * shape.w, factors, padded, to) };
        });
    }

    /// [group, 3, padded]: d map = scale · d − share − (map − mean) · slope.
    fn factors(&self, norm: Norm<'_>, totals: &Totals, groups: Range<usize>) -> Vec<f32> {
        let Shape { h, w, c, n } = self.source.shape;
        let count = (n / norm.over.groups(n) * h * w) as f64;
        let mut factors = vec![0.0; groups.len() * 3 * self.padded];
        for (group, factors) in groups.zip(factors.chunks_exact_mut(3 * self.padded)) {
            let channels = &self.channels[(self.set(group) * 4) * self.padded..];
            for i in 0..c {
                let (root, scale) = (channels[self.padded + i], channels[2 * self.padded + i]);
                let [sum, product] = totals.of(group, i);
                factors[i] = scale;
                if !norm.fixed {
                    factors[self.padded + i] = scale * (sum / count) as f32;
                    factors[2 * self.padded + i] = scale * root * (product * f64::from(root) / count) as f32;
                }
            }
        }
        factors
    }

    /// Which set of channels belongs to group `group` of moments.
    fn set(&self, group: usize) -> usize {
        if self.channels.len() == 4 * self.padded { 0 } else { group }
    }

    /// The gradients of the norm's weight and bias.
    pub fn affine(&self, totals: &Totals) -> (Option<Vec<f32>>, Option<Vec<f32>>) {
        let Some(norm) = self.source.norm else { return (None, None) };
        let groups = norm.over.groups(self.source.shape.n);
        let sum = |value: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            (0..self.source.shape.c).map(|i| (0..groups).map(|g| value(g, i)).sum::<f64>() as f32).collect()
        };
        let root = |g: usize, i: usize| f64::from(self.channels[(self.set(g) * 4 + 1) * self.padded + i]);
        let weight = norm.weight.map(|_| sum(&|g, i| totals.of(g, i)[1] * root(g, i)));
        (weight, norm.bias.map(|_| sum(&|g, i| totals.of(g, i)[0])))
    }
}

/// Sums by group and channel: Σ d and Σ d · (map − mean), where d is the gradient of the
/// normalised map; [group][channel][2].
#[derive(Default)]
pub struct Totals {
    values: Vec<f64>,
    channels: usize,
}

impl Totals {
    /// Adds the sums of each row of `images`, [image][row][2][padded], in order.
    pub fn add(&mut self, reader: &Reader<'_>, images: Range<usize>, sums: &[f32]) {
        let (shape, padded) = (reader.source.shape, reader.padded);
        let over = reader.source.norm.map_or(Over::Batches(1), |norm| norm.over);
        self.channels = shape.c;
        for (n, rows) in images.zip(sums.chunks_exact(shape.h * 2 * padded)) {
            let first = over.group(n, shape.n) * 2 * shape.c;
            self.values.resize(self.values.len().max(first + 2 * shape.c), 0.0);
            for row in rows.chunks_exact(2 * padded) {
                for (i, total) in self.values[first..first + 2 * shape.c].chunks_exact_mut(2).enumerate() {
                    total[0] += f64::from(row[i]);
                    total[1] += f64::from(row[padded + i]);
                }
            }
        }
    }

    fn of(&self, group: usize, channel: usize) -> [f64; 2] {
        let first = (group * self.channels + channel) * 2;
        [self.values[first], self.values[first + 1]]
    }
}
