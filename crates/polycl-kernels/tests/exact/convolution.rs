use polycl_kernels::{Conv, Shape, Source, Wanted, Weights, convolve, convolve_backward};

use crate::naive::{self, doubles};
use crate::{Random, close};

const KERNELS: [(usize, usize); 6] = [(3, 1), (3, 2), (1, 1), (1, 2), (7, 2), (5, 3)];

/// Forward and every gradient of one convolution; returns the largest error.
fn check(conv: Conv, input: Shape, channels: usize, bias: bool, random: &mut Random) -> f64 {
    let output = conv.output(input, channels);
    let (x, upstream) = (random.values(input.len()), random.values(output.len()));
    let values = random.values(channels * input.c * conv.kernel * conv.kernel);
    let bias = bias.then(|| random.values(channels));
    let weights = Weights {
        values: &values,
        bias: bias.as_deref(),
        channels_out: channels,
        channels_in: input.c,
        kernel: conv.kernel,
    };
    let what = format!("{conv:?} {input:?} to {channels}");
    let source = [Source::plain(&x, input)];
    let (dx, dw, du) = (doubles(&x), doubles(&values), doubles(&upstream));
    let expected = naive::convolve(conv, &dx, input, &dw, bias.as_deref().map(doubles).as_deref(), channels);
    let mut worst = close(&format!("{what} forward"), &convolve(&source, weights, conv), &expected);

    let wanted = Wanted { sources: [true, false], weight: true, bias: true };
    let gradient = convolve_backward(&source, weights, conv, &upstream, wanted);
    let (mut by_input, mut by_weight) = (vec![0.0; input.len()], vec![0.0; values.len()]);
    naive::products(conv, input, channels, |i, w, o| {
        by_input[i] += du[o] * dw[w];
        by_weight[w] += du[o] * dx[i];
    });
    let [Some(source), None] = gradient.sources else { panic!("one source") };
    worst = worst.max(close(&format!("{what} by input"), &source.map, &by_input));
    worst = worst.max(close(&format!("{what} by weight"), &gradient.weight.unwrap(), &by_weight));
    if bias.is_some() {
        let mut by_bias = vec![0.0; channels];
        du.iter().enumerate().for_each(|(i, du)| by_bias[i % channels] += du);
        worst = worst.max(close(&format!("{what} by bias"), &gradient.bias.unwrap(), &by_bias));
    }
    worst
}

#[test]
fn sizes_at_and_below_a_tile() {
    let random = &mut Random::new(1);
    for (kernel, stride) in KERNELS {
        let conv = Conv { kernel, stride, padding: kernel / 2 };
        for (n, h, w, c, channels) in [
            (1, 1, 1, 1, 1),
            (1, 1, 1, 16, 16),
            (1, 2, 3, 4, 5),
            (2, 4, 4, 16, 32),
            (1, 5, 5, 7, 3),
            (3, 3, 9, 8, 17),
            (2, 1, 13, 33, 12),
            (1, 8, 8, 40, 70),
        ] {
            check(conv, Shape { n, h, w, c }, channels, n == 1, random);
            check(Conv { padding: kernel + 1, ..conv }, Shape { n, h, w, c }, channels, false, random);
        }
    }
}

#[test]
fn random_shapes() {
    let random = &mut Random::new(2);
    let mut worst: [f64; 2] = [0.0; 2];
    for _ in 0..60 {
        let (kernel, stride) = random.pick(&KERNELS);
        let conv = Conv { kernel, stride, padding: random.pick(&[kernel / 2, kernel / 2, 0]) };
        let sides = [1, 2, 3, 4, 5, 7, 8, 12, 17, 20, 33];
        let channels = [1, 2, 3, 4, 8, 15, 16, 17, 24, 32, 48];
        let shape = Shape {
            n: random.pick(&[1, 1, 2, 3]),
            h: random.pick(&sides),
            w: random.pick(&sides),
            c: random.pick(&channels),
        };
        if conv.fits(shape) {
            let bias = random.pick(&[false, true]);
            let error = check(conv, shape, random.pick(&channels), bias, random);
            let winograd = usize::from(conv == Conv { kernel: 3, stride: 1, padding: 1 });
            worst[winograd] = worst[winograd].max(error);
        }
    }
    println!("largest error: direct {:.1e}, 3×3 of stride 1 (Winograd) {:.1e}", worst[0], worst[1]);
}

/// The U-Net's deepest and widest convolutions, several groups of images, many tiles to a sum.
#[test]
fn shapes_of_the_networks() {
    let random = &mut Random::new(3);
    let three = Conv { kernel: 3, stride: 1, padding: 1 };
    for (n, side, c, channels) in [(2, 64, 16, 16), (3, 16, 256, 128), (2, 8, 96, 192), (1, 96, 48, 16)] {
        let error = check(three, Shape { n, h: side, w: side, c }, channels, true, random);
        println!("{side}² {c} to {channels}: {error:.1e}");
    }
    check(Conv { stride: 2, ..three }, Shape { n: 2, h: 32, w: 32, c: 64 }, 128, false, random);
    check(Conv { kernel: 7, stride: 2, padding: 3 }, Shape { n: 2, h: 64, w: 64, c: 1 }, 32, false, random);
}

/// Winograd's error beside that of the direct sum in float32, over the inputs of a U-Net's layers.
/// The bound of the algorithm itself: at most four times as far from the truth, and never more than
/// what every kernel is held to.
#[test]
fn winograd_loses_hardly_any_digits() {
    let random = &mut Random::new(4);
    let conv = Conv { kernel: 3, stride: 1, padding: 1 };
    for c in [16, 64, 256] {
        let shape = Shape { n: 1, h: 16, w: 16, c };
        let (x, values) = (random.values(shape.len()), random.values(16 * c * 9));
        let expected = naive::convolve(conv, &doubles(&x), shape, &doubles(&values), None, 16);
        let largest = expected.iter().fold(0.0, |l: f64, e| l.max(e.abs()));
        let error = |actual: &[f32]| {
            let squares = actual.iter().zip(&expected).map(|(&a, e)| (f64::from(a) - e).powi(2));
            (squares.sum::<f64>() / expected.len() as f64).sqrt() / largest
        };
        let mut sum = vec![0f32; expected.len()];
        naive::products(conv, shape, 16, |i, w, o| sum[o] += x[i] * values[w]);
        let weights = Weights { values: &values, bias: None, channels_out: 16, channels_in: c, kernel: 3 };
        let (ours, direct) = (error(&convolve(&[Source::plain(&x, shape)], weights, conv)), error(&sum));
        println!("{c} channels: Winograd {ours:.1e}, direct {direct:.1e}, ratio {:.1}", ours / direct);
        assert!(ours < 4.0 * direct, "{c} channels: {ours:.2e} against {direct:.2e}");
    }
}

/// On a map of one column the taps to its left and right never meet a pixel.
#[test]
fn a_tap_that_meets_nothing_has_a_gradient_of_zero() {
    let random = &mut Random::new(6);
    let conv = Conv { kernel: 3, stride: 1, padding: 1 };
    for (h, w) in [(1, 1), (8, 1), (1, 8)] {
        let shape = Shape { n: 2, h, w, c: 16 };
        let (x, upstream, values) =
            (random.values(shape.len()), random.values(shape.len()), random.values(16 * 16 * 9));
        let weights = Weights { values: &values, bias: None, channels_out: 16, channels_in: 16, kernel: 3 };
        let wanted = Wanted { sources: [false; 2], weight: true, bias: false };
        let gradient =
            convolve_backward(&[Source::plain(&x, shape)], weights, conv, &upstream, wanted).weight.unwrap();
        for (i, value) in gradient.into_iter().enumerate() {
            let (ky, kx) = (i % 9 / 3, i % 3);
            let outside = (h == 1 && ky != 1) || (w == 1 && kx != 1);
            assert_eq!(value == 0.0, outside, "{h}×{w}, tap {ky}, {kx}: {value}");
        }
    }
}

/// Preparing once and running on parts is the same as running on all.
#[test]
fn parts_are_like_the_whole() {
    let random = &mut Random::new(5);
    let conv = Conv { kernel: 3, stride: 1, padding: 1 };
    let shape = Shape { n: 2, h: 9, w: 6, c: 8 };
    let (x, values) = (random.values(shape.len()), random.values(8 * 8 * 9));
    let weights = Weights { values: &values, bias: None, channels_out: 8, channels_in: 8, kernel: 3 };
    let whole = convolve(&[Source::plain(&x, shape)], weights, conv);
    let parts: Vec<f32> = x
        .chunks_exact(shape.image())
        .flat_map(|image| convolve(&[Source::plain(image, shape.with_images(1))], weights, conv))
        .collect();
    assert_eq!(whole, parts);
}
