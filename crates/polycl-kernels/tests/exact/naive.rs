//! The mathematics, in float64.

use polycl_kernels::{Conv, Over, Resample, Shape, Source};

pub fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn index(shape: Shape, n: usize, y: usize, x: usize, c: usize) -> usize {
    ((n * shape.h + y) * shape.w + x) * shape.c + c
}

/// Calls `visit(input, weight, output)` for every product of a convolution.
pub fn products(conv: Conv, input: Shape, channels: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let output = conv.output(input, channels);
    for (n, y, x) in pixels(output) {
        for (ky, kx) in (0..conv.kernel).flat_map(|ky| (0..conv.kernel).map(move |kx| (ky, kx))) {
            let (iy, ix) = (y * conv.stride + ky, x * conv.stride + kx);
            let inside = |i: usize, length: usize| i >= conv.padding && i - conv.padding < length;
            if !inside(iy, input.h) || !inside(ix, input.w) {
                continue;
            }
            for o in 0..channels {
                for c in 0..input.c {
                    let from = index(input, n, iy - conv.padding, ix - conv.padding, c);
                    let weight = ((o * input.c + c) * conv.kernel + ky) * conv.kernel + kx;
                    visit(from, weight, index(output, n, y, x, o));
                }
            }
        }
    }
}

fn pixels(shape: Shape) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..shape.n).flat_map(move |n| (0..shape.h).flat_map(move |y| (0..shape.w).map(move |x| (n, y, x))))
}

pub fn convolve(
    conv: Conv,
    x: &[f64],
    input: Shape,
    weights: &[f64],
    bias: Option<&[f64]>,
    channels: usize,
) -> Vec<f64> {
    let output = conv.output(input, channels);
    let mut y: Vec<f64> = (0..output.len()).map(|i| bias.map_or(0.0, |bias| bias[i % channels])).collect();
    products(conv, input, channels, |i, w, o| y[o] += x[i] * weights[w]);
    y
}

/// Mean and variance, [group, 2, C].
pub fn moments(x: &[f64], shape: Shape, over: Over) -> Vec<f64> {
    let groups = over.groups(shape.n);
    let mut moments = Vec::new();
    for group in x.chunks_exact(x.len() / groups) {
        let channel = |c: usize| group.iter().skip(c).step_by(shape.c);
        let count = (group.len() / shape.c) as f64;
        let means: Vec<f64> = (0..shape.c).map(|c| channel(c).sum::<f64>() / count).collect();
        let variance = |c: usize| channel(c).map(|x| (x - means[c]).powi(2)).sum::<f64>() / count;
        let variances: Vec<f64> = (0..shape.c).map(variance).collect();
        moments.extend(means.iter().chain(&variances));
    }
    moments
}

/// The parts of a source that a gradient belongs to.
#[derive(Clone)]
pub struct Parts {
    pub map: Vec<f64>,
    pub weight: Option<Vec<f64>>,
    pub bias: Option<Vec<f64>>,
    pub residual: Option<Vec<f64>>,
}

impl Parts {
    pub fn of(source: &Source<'_>) -> Self {
        let norm = source.norm;
        Self {
            map: doubles(source.map),
            weight: norm.and_then(|norm| norm.weight).map(doubles),
            bias: norm.and_then(|norm| norm.bias).map(doubles),
            residual: source.residual.map(doubles),
        }
    }
}

/// What `source` reads as, its parts replaced by `parts`.
pub fn read(source: &Source<'_>, parts: &Parts) -> Vec<f64> {
    let shape = source.shape;
    let mut values = parts.map.clone();
    if let Some(norm) = source.norm {
        let own = moments(&parts.map, shape, norm.over);
        let moments = if norm.fixed { doubles(norm.moments) } else { own };
        let groups = if norm.fixed { 1 } else { norm.over.groups(shape.n) };
        let group = |i: usize| i / shape.image() * groups / shape.n;
        for (i, value) in values.iter_mut().enumerate() {
            let c = i % shape.c;
            let moments = &moments[group(i) * 2 * shape.c..];
            let (weight, bias) =
                (parts.weight.as_ref().map_or(1.0, |w| w[c]), parts.bias.as_ref().map_or(0.0, |b| b[c]));
            let root = (moments[shape.c + c] + f64::from(norm.epsilon)).sqrt();
            *value = (*value - moments[c]) / root * weight + bias;
        }
    }
    for (i, value) in values.iter_mut().enumerate() {
        *value += parts.residual.as_ref().map_or(0.0, |residual| residual[i]);
        *value *= if *value > 0.0 { 1.0 } else { f64::from(source.slope) };
        *value *= source.dropout.map_or(1.0, |dropout| f64::from(dropout.factor(i as u64)));
    }
    resample(&values, shape, source.resample)
}

fn resample(values: &[f64], shape: Shape, resample: Resample) -> Vec<f64> {
    let output = resample.output(shape);
    let value = |n: usize, y: usize, x: usize, c: usize| values[index(shape, n, y, x, c)];
    let mut result = Vec::with_capacity(output.len());
    for (n, y, x) in pixels(output) {
        for c in 0..shape.c {
            result.push(match resample {
                Resample::No => value(n, y, x, c),
                Resample::MaxPool { size, stride, padding } => {
                    let window = |i: usize, length: usize| {
                        (i * stride).saturating_sub(padding)..(i * stride + size - padding).min(length)
                    };
                    let rows = window(y, shape.h);
                    let all = rows.flat_map(|y| window(x, shape.w).map(move |x| (y, x)));
                    all.map(|(y, x)| value(n, y, x, c)).fold(f64::NEG_INFINITY, f64::max)
                }
                Resample::Upsample2 => {
                    let place = |i: usize, length: usize| {
                        let position = i as f64 * (length - 1) as f64 / (2 * length - 1) as f64;
                        (
                            position.floor() as usize,
                            (position.floor() as usize + 1).min(length - 1),
                            position.fract(),
                        )
                    };
                    let ((y0, y1, v), (x0, x1, u)) = (place(y, shape.h), place(x, shape.w));
                    let line = |y: usize| value(n, y, x0, c) * (1.0 - u) + value(n, y, x1, c) * u;
                    line(y0) * (1.0 - v) + line(y1) * v
                }
            });
        }
    }
    result
}
