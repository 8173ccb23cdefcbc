//! The parts of vision transformers.

use polycl_kernels::Shape;
use polycl_kernels::transformer::{
    Activation, Depthwise, Heads, Linear, Position, Windows, attention, depthwise, layer_norm, linear,
    max_pool, rotate, window_attention,
};

use crate::naive::doubles;
use crate::{Random, close};

/// erf by its Taylor series, which converges quickly enough up to 5, and 1 beyond.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Gelu => x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
    }
}

#[test]
fn linear_layers() {
    let mut random = Random::new(1);
    for (rows, inputs, outputs) in
        [(0, 3, 2), (1, 1, 1), (3, 5, 2), (8, 16, 32), (7, 256, 300), (131, 33, 65), (200, 64, 17)]
    {
        let activation = random.pick(&[Activation::None, Activation::Relu, Activation::Gelu]);
        let (x, weight) = (random.values(rows * inputs), random.values(outputs * inputs));
        let bias = random.pick(&[true, false]).then(|| random.values(outputs));
        // Fewer rows repeat.
        let repeats = if rows % 2 == 0 { 2 } else { 1 };
        let residual = random.pick(&[true, false]).then(|| random.values(rows / repeats * outputs));
        let layer = Linear { weight: &weight, bias: bias.as_deref(), outputs, inputs, activation };
        let found = linear(&x, layer, residual.as_deref());
        let expected: Vec<f64> = (0..rows * outputs)
            .map(|i| {
                let (row, column) = (i / outputs, i % outputs);
                let products = (0..inputs)
                    .map(|k| f64::from(x[row * inputs + k]) * f64::from(weight[column * inputs + k]));
                let more = |values: &Option<Vec<f32>>, i: usize| {
                    values.as_ref().map_or(0.0, |values| f64::from(values[i]))
                };
                activate(
                    activation,
                    products.sum::<f64>()
                        + more(&bias, column)
                        + more(&residual, i % (rows / repeats * outputs)),
                )
            })
            .collect();
        close(&format!("{rows} rows, {inputs} to {outputs}, {activation:?}"), &found, &expected);
    }
}

/// Far from zero as well, where rational functions and exponents go astray.
#[test]
fn gelu_over_its_whole_range() {
    let x: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 200.0).collect();
    let layer = Linear { weight: &[1.0], bias: None, outputs: 1, inputs: 1, activation: Activation::Gelu };
    let found = linear(&x, layer, None);
    for (&x, &y) in x.iter().zip(&found) {
        let expected = activate(Activation::Gelu, f64::from(x));
        let error = (f64::from(y) - expected).abs();
        assert!(error <= 3e-7 * f64::from(x.abs()).max(1.0), "gelu({x}) = {y}, not {expected}");
    }
}

#[test]
fn layer_norms() {
    let mut random = Random::new(2);
    for (rows, columns) in [(1, 1), (2, 3), (5, 16), (70, 31), (3, 160)] {
        // A mean that is large beside the spread costs digits if they are subtracted too late.
        let x: Vec<f32> = random.values(rows * columns).iter().map(|x| 30.0 + x).collect();
        let (weight, bias) = (random.values(columns), random.values(columns));
        let found = layer_norm(&x, &weight, &bias, 1e-5);
        let expected: Vec<f64> = doubles(&x)
            .chunks_exact(columns)
            .flat_map(|row| {
                let mean = row.iter().sum::<f64>() / columns as f64;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / columns as f64;
                let value = |c: usize| {
                    (row[c] - mean) / (variance + 1e-5).sqrt() * f64::from(weight[c]) + f64::from(bias[c])
                };
                (0..columns).map(value).collect::<Vec<f64>>()
            })
            .collect();
        close(&format!("{rows} x {columns}"), &found, &expected);
    }
}

#[test]
fn depthwise_convolutions() {
    let mut random = Random::new(3);
    for (n, h, w, c, stride, k) in [
        (1, 1, 1, 1, 1, 3),
        (2, 5, 7, 3, 1, 3),
        (1, 6, 5, 32, 2, 3),
        (1, 9, 8, 20, 2, 3),
        (1, 4, 4, 16, 1, 3),
        (1, 1, 2, 5, 1, 7),
        (2, 9, 12, 32, 1, 7),
        (1, 8, 8, 20, 2, 7),
    ] {
        let shape = Shape { n, h, w, c };
        let activation = random.pick(&[Activation::None, Activation::Relu, Activation::Gelu]);
        let (x, weight, bias) = (random.values(shape.len()), random.values(k * k * c), random.values(c));
        let layer = Depthwise { weight: &weight, bias: &bias, stride, activation };
        let (found, output) = (depthwise(&x, shape, layer), layer.output(shape));
        let value = |i: usize| {
            let (pixel, channel) = (i / c, i % c);
            let (n, y, x0) = (pixel / (output.h * output.w), pixel / output.w % output.h, pixel % output.w);
            let mut sum = f64::from(bias[channel]);
            for (dy, dx) in (0..k).flat_map(|dy| (0..k).map(move |dx| (dy, dx))) {
                let (y, x0) = (y * stride + dy, x0 * stride + dx);
                if (k / 2..h + k / 2).contains(&y) && (k / 2..w + k / 2).contains(&x0) {
                    let from = ((n * h + y - k / 2) * w + x0 - k / 2) * c + channel;
                    sum += f64::from(x[from]) * f64::from(weight[(channel * k + dy) * k + dx]);
                }
            }
            activate(activation, sum)
        };
        close(
            &format!("{shape:?}, {k}x{k} by {stride}"),
            &found,
            &(0..output.len()).map(value).collect::<Vec<_>>(),
        );
    }
}

/// One query over keys and values, each a list of rows of one head.
fn attend(
    query: &[f32],
    keys: &[&[f32]],
    values: &[&[f32]],
    scale: f32,
    position: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let scores: Vec<f64> =
        keys.iter().enumerate().map(|(i, key)| dot(query, key) * f64::from(scale) + position(i)).collect();
    let largest = scores.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    (0..values[0].len())
        .map(|c| weights.iter().zip(values).map(|(w, v)| w * f64::from(v[c])).sum::<f64>() / total)
        .collect()
}

#[test]
fn attention_of_queries_to_keys() {
    let mut random = Random::new(4);
    for (batch_q, batch_k, queries, keys, count, dim, value_dim) in [
        (1, 1, 1, 1, 1, 1, 1),
        (2, 2, 7, 50, 2, 16, 16),
        (1, 3, 40, 7, 4, 8, 8),
        (3, 1, 5, 33, 2, 20, 20),
        (1, 1, 70, 300, 1, 64, 64),
        // Several tiles of keys and blocks of queries, values of another width.
        (1, 1, 130, 600, 1, 32, 8),
        (2, 1, 9, 513, 2, 8, 20),
    ] {
        let heads = Heads::new(count, count * dim);
        let c = heads.channels();
        let q: Vec<f32> = random.values(batch_q * queries * c).iter().map(|q| 4.0 * q).collect();
        // The largest scores may come in any tile.
        let [k, v] = [dim, value_dim].map(|dim| &*random.values(batch_k * keys * count * dim).leak());
        let found = attention(&q, k, v, queries, keys, heads);
        let mut expected = Vec::new();
        for b in 0..batch_q.max(batch_k) {
            for i in 0..queries {
                for head in 0..count {
                    let rows = |values: &'static [f32], dim: usize| -> Vec<&[f32]> {
                        let first = |j| ((b % batch_k * keys + j) * count + head) * dim;
                        (0..keys).map(|j| &values[first(j)..][..dim]).collect()
                    };
                    let query = &q[((b % batch_q * queries + i) * count + head) * dim..][..dim];
                    expected.extend(attend(query, &rows(k, dim), &rows(v, value_dim), heads.scale, |_| 0.0));
                }
            }
        }
        close(&format!("{queries} x {keys} of {count} x {dim}"), &found, &expected);
    }
}

#[test]
fn attention_within_windows() {
    let mut random = Random::new(5);
    for (n, h, w, side, count, dim, relative) in [
        (1, 4, 4, 4, 1, 8, false),
        (2, 5, 7, 3, 2, 4, false),
        (1, 5, 4, 3, 2, 20, true),
        (1, 6, 6, 6, 2, 16, true),
        (1, 33, 33, 33, 1, 4, true),
    ] {
        let heads = Heads::new(count, count * dim);
        let (c, tokens) = (heads.channels(), side * side);
        let shape = Shape { n, h, w, c: 3 * c };
        let (qkv, outside) = (random.values(shape.len()), random.values(3 * c));
        let table = random.values(count * tokens * tokens);
        let (by_y, by_x) = (random.values((2 * side - 1) * dim), random.values((2 * side - 1) * dim));
        let position =
            if relative { Position::Relative { y: &by_y, x: &by_x } } else { Position::Table(&table) };
        let windows = Windows { side, outside: &outside, position, pooled: None };
        let found = window_attention(&qkv, shape, heads, windows);
        let mut expected = vec![0.0; n * h * w * c];
        for (image, y, x) in (0..n).flat_map(|n| (0..h).flat_map(move |y| (0..w).map(move |x| (n, y, x)))) {
            let (top, left) = (y / side * side, x / side * side);
            for head in 0..count {
                let token = |y: usize, x: usize, kind: usize| {
                    let inside = y < h && x < w;
                    let from: &[f32] =
                        if inside { &qkv[((image * h + y) * w + x) * 3 * c..] } else { &outside };
                    &from[kind * c + head * dim..][..dim]
                };
                let all = |kind: usize| {
                    (0..tokens).map(|i| token(top + i / side, left + i % side, kind)).collect::<Vec<_>>()
                };
                let query = token(y, x, 0);
                let (qy, qx) = (y - top, x - left);
                let added = |key: usize| {
                    if !relative {
                        return f64::from(table[(head * tokens + qy * side + qx) * tokens + key]);
                    }
                    let row = |table: &[f32], q: usize, k: usize| {
                        let row = &table[(q + side - 1 - k) * dim..][..dim];
                        query.iter().zip(row).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
                    };
                    row(&by_y, qy, key / side) + row(&by_x, qx, key % side)
                };
                let result = attend(query, &all(1), &all(2), heads.scale, added);
                expected[((image * h + y) * w + x) * c + head * dim..][..dim].copy_from_slice(&result);
            }
        }
        close(&format!("{shape:?} in windows of {side}"), &found, &expected);
    }
}

/// Queries of a map of half the sides meet the keys of the window they lie in.
#[test]
fn attention_of_pooled_queries() {
    let mut random = Random::new(6);
    for (n, h, w, side, count, dim) in [(1, 4, 4, 4, 1, 8), (2, 6, 10, 4, 2, 4), (1, 6, 4, 14, 1, 20)] {
        let heads = Heads::new(count, count * dim);
        let c = heads.channels();
        let shape = Shape { n, h, w, c: 3 * c };
        let (qkv, outside) = (random.values(shape.len()), random.values(3 * c));
        let pooled = max_pool(&qkv, shape, 0..c);
        let windows = Windows { side, outside: &outside, position: Position::None, pooled: Some(&pooled) };
        let found = window_attention(&qkv, shape, heads, windows);
        let mut expected = Vec::new();
        for (image, y, x) in
            (0..n).flat_map(|n| (0..h / 2).flat_map(move |y| (0..w / 2).map(move |x| (n, y, x))))
        {
            let (top, left) = (2 * y / side * side, 2 * x / side * side);
            for head in 0..count {
                let token = |y: usize, x: usize, kind: usize| {
                    let inside = y < h && x < w;
                    let from: &[f32] =
                        if inside { &qkv[((image * h + y) * w + x) * 3 * c..] } else { &outside };
                    &from[kind * c + head * dim..][..dim]
                };
                let all = |kind: usize| {
                    let token = |i: usize| token(top + i / side, left + i % side, kind);
                    (0..side * side).map(token).collect::<Vec<_>>()
                };
                let corner = |i: usize, channel: usize| token(2 * y + i / 2, 2 * x + i % 2, 0)[channel];
                let query: Vec<f32> = (0..dim)
                    .map(|channel| (0..4).map(|i| corner(i, channel)).fold(f32::MIN, f32::max))
                    .collect();
                expected.extend(attend(&query, &all(1), &all(2), heads.scale, |_| 0.0));
            }
        }
        close(&format!("{shape:?} in windows of {side}, pooled queries"), &found, &expected);
    }
}

#[test]
fn rows_of_complex_numbers_are_turned() {
    let mut random = Random::new(7);
    for (rows, channels, angles, turned) in [(1, 2, 1, 1), (7, 6, 3, 5), (40, 32, 20, 40)] {
        let half = channels / 2;
        let x = random.values(rows * channels);
        let by: Vec<f32> = random.values(angles * half).iter().map(|a| 9.0 * a).collect();
        let (cosines, sines): (Vec<f32>, Vec<f32>) = by.iter().map(|a| (a.cos(), a.sin())).unzip();
        let found = rotate(&x, channels, &cosines, &sines, turned);
        let value = |i: usize| {
            let (row, column) = (i / channels, i % channels);
            if row >= turned {
                return f64::from(x[i]);
            }
            let at = row % angles * half + column % half;
            let (cos, sin) = (f64::from(cosines[at]), f64::from(sines[at]));
            let (re, im) = (row * channels + column % half, row * channels + half + column % half);
            let (re, im) = (f64::from(x[re]), f64::from(x[im]));
            if column < half { re * cos - im * sin } else { re * sin + im * cos }
        };
        close(&format!("{rows} x {channels}"), &found, &(0..x.len()).map(value).collect::<Vec<_>>());
    }
}
