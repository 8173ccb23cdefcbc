use polycl_kernels::{
    Conv, Dropout, Norm, Over, Resample, Shape, Source, Wanted, Weights, convolve, convolve_backward,
    materialise, materialise_backward, moments,
};

use crate::naive::{self, Parts, doubles};
use crate::{Random, close};

/// What a source borrows.
struct Owned {
    shape: Shape,
    map: Vec<f32>,
    moments: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
    norm: Option<(Over, bool, bool)>,
    slope: f32,
    dropout: Option<Dropout>,
    resample: Resample,
    with_residual: bool,
}

impl Owned {
    fn random(random: &mut Random, shape: Shape, resample: Resample) -> Self {
        let map: Vec<f32> = random.values(shape.len()).iter().map(|x| 2.0 * x + 0.5).collect();
        let batches = random.pick(&[1, shape.n]);
        let over = random.pick(&[Over::Image, Over::Batches(batches)]);
        let fixed = random.pick(&[false, false, true]);
        let moments = match fixed {
            true => moments(&map, shape, Over::Batches(1)).iter().map(|x| x.abs() + 0.3).collect(),
            false => moments(&map, shape, over),
        };
        Self {
            shape,
            map,
            moments,
            weight: random.values(shape.c),
            bias: random.values(shape.c),
            residual: random.values(shape.len()),
            norm: random.pick(&[None, Some(false), Some(true)]).map(|affine| (over, fixed, affine)),
            slope: random.pick(&[0.0, 0.2, 1.0]),
            dropout: random.pick(&[None, Some(Dropout { probability: 0.25, seed: 11 })]),
            resample,
            with_residual: random.pick(&[false, false, true]),
        }
    }

    fn source(&self) -> Source<'_> {
        Source {
            map: &self.map,
            shape: self.shape,
            norm: self.norm.map(|(over, fixed, affine)| Norm {
                moments: &self.moments,
                over,
                weight: affine.then_some(&self.weight),
                bias: affine.then_some(&self.bias),
                epsilon: 1e-5,
                fixed,
            }),
            residual: self.with_residual.then_some(&self.residual),
            slope: self.slope,
            dropout: self.dropout,
            resample: self.resample,
        }
    }
}

/// d f / d values by central differences, which float64 makes exact to nine digits.
fn slopes(values: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let mut values = values.to_vec();
    let mut slopes = Vec::with_capacity(values.len());
    for i in 0..values.len() {
        let before = values[i];
        values[i] = before + STEP;
        let above = f(&values);
        values[i] = before - STEP;
        slopes.push((above - f(&values)) / (2.0 * STEP));
        values[i] = before;
    }
    slopes
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Compares all gradients of a source; `f` is what is differentiated, of the source's parts.
fn compare(
    what: &str,
    source: &Source<'_>,
    actual: &polycl_kernels::SourceGradient,
    f: impl Fn(&Parts) -> f64,
) {
    let parts = Parts::of(source);
    let by = |values: &[f64], set: &dyn Fn(&mut Parts, Vec<f64>)| {
        slopes(values, |values| {
            let mut parts = parts.clone();
            set(&mut parts, values.to_vec());
            f(&parts)
        })
    };
    close(&format!("{what} by map"), &actual.map, &by(&parts.map, &|p, v| p.map = v));
    let optional = [
        (&parts.weight, &actual.weight, "weight"),
        (&parts.bias, &actual.bias, "bias"),
        (&parts.residual, &actual.residual, "residual"),
    ];
    for (i, (part, actual, name)) in optional.into_iter().enumerate() {
        assert_eq!(part.is_some(), actual.is_some(), "{what} {name}");
        let (Some(part), Some(actual)) = (part, actual) else { continue };
        let expected = by(part, &|p, v| match i {
            0 => p.weight = Some(v),
            1 => p.bias = Some(v),
            _ => p.residual = Some(v),
        });
        close(&format!("{what} by {name}"), actual, &expected);
    }
}

#[test]
fn reading_and_its_way_back() {
    let random = &mut Random::new(1);
    for case in 0..80 {
        let resample = random.pick(&[
            Resample::No,
            Resample::Upsample2,
            Resample::MaxPool { size: 2, stride: 2, padding: 0 },
            Resample::MaxPool { size: 3, stride: 2, padding: 1 },
        ]);
        let sides = [1, 2, 3, 5, 8, 9];
        let shape = Shape {
            n: random.pick(&[1, 2, 3]),
            h: random.pick(&sides),
            w: random.pick(&sides),
            c: random.pick(&[1, 2, 5, 16, 19]),
        };
        if !resample.fits(shape) {
            continue;
        }
        let owned = Owned::random(random, shape, resample);
        let source = owned.source();
        let what = format!("case {case}, {shape:?} {:?} {resample:?}", owned.norm);
        close(&what, &materialise(source), &naive::read(&source, &Parts::of(&source)));
        if owned.norm.is_some() && shape.h * shape.w < 4 {
            continue; // one or two values normalise to 0 or ±1: the true gradient is all round-off
        }
        let upstream = random.values(source.output().len());
        let gradient = materialise_backward(source, &upstream);
        let upstream = doubles(&upstream);
        compare(&what, &source, &gradient, |parts| dot(&naive::read(&source, parts), &upstream));
    }
}

/// Several bands of rows, and channels that fill more than one vector.
#[test]
fn reading_larger_maps() {
    let random = &mut Random::new(2);
    for resample in [
        Resample::No,
        Resample::Upsample2,
        Resample::MaxPool { size: 2, stride: 2, padding: 0 },
        Resample::MaxPool { size: 3, stride: 2, padding: 1 },
    ] {
        for (h, w, c) in [(37, 20, 16), (16, 16, 64), (40, 8, 32)] {
            let owned = Owned::random(random, Shape { n: 2, h, w, c }, resample);
            let source = owned.source();
            close("forward", &materialise(source), &naive::read(&source, &Parts::of(&source)));
        }
    }
}

/// Maps too large to be worked on all at once: each image comes out as it does alone.
#[test]
fn groups_of_images_do_not_mix() {
    let random = &mut Random::new(4);
    let shape = Shape { n: 5, h: 128, w: 160, c: 32 };
    let map = random.values(shape.len());
    let statistics = moments(&map, shape, Over::Image);
    let values = random.values(8 * 32 * 9);
    let weights = Weights { values: &values, bias: None, channels_out: 8, channels_in: 32, kernel: 3 };
    let conv = Conv { kernel: 3, stride: 1, padding: 1 };
    fn source<'a>(map: &'a [f32], shape: Shape, moments: &'a [f32]) -> Source<'a> {
        let norm = Norm { moments, over: Over::Image, weight: None, bias: None, epsilon: 1e-5, fixed: false };
        Source { norm: Some(norm), slope: 0.2, ..Source::plain(map, shape) }
    }
    let wanted = Wanted { sources: [true, false], weight: true, bias: false };
    let both = |source: Source<'_>, upstream: &[f32]| {
        let [gradient, _] = convolve_backward(&[source], weights, conv, upstream, wanted).sources;
        (convolve(&[source], weights, conv), gradient.unwrap().map)
    };
    let upstream = random.values(conv.output(shape, 8).len());
    let (whole, gradient) = both(source(&map, shape, &statistics), &upstream);
    for n in 0..shape.n {
        let of =
            |values: &[f32]| values[n * values.len() / shape.n..(n + 1) * values.len() / shape.n].to_vec();
        let (image, moments, upstream) = (of(&map), of(&statistics), of(&upstream));
        let alone = both(source(&image, shape.with_images(1), &moments), &upstream);
        assert!(alone == (of(&whole), of(&gradient)), "image {n}");
    }
}

#[test]
fn convolutions_of_two_sources_and_their_way_back() {
    let random = &mut Random::new(3);
    for case in 0..24 {
        let (h, w) = (random.pick(&[2, 4, 6]), random.pick(&[2, 3, 8]));
        let channels = random.pick(&[1, 4, 6]);
        let n = random.pick(&[1, 2]);
        let below = Owned::random(random, Shape { n, h, w, c: channels }, Resample::Upsample2);
        let c = random.pick(&[1, 3, 4]);
        let skip = Owned::random(random, Shape { n, h: 2 * h, w: 2 * w, c }, Resample::No);
        let (kernel, stride) = random.pick(&[(3, 1), (1, 1), (3, 2)]);
        let conv = Conv { kernel, stride, padding: kernel / 2 };
        let channels_out = random.pick(&[1, 4, 5]);
        let channels_in = channels + skip.shape.c;
        let values = random.values(channels_out * channels_in * kernel * kernel);
        let bias = random.values(channels_out);
        let weights = Weights { values: &values, bias: Some(&bias), channels_out, channels_in, kernel };
        let sources = [below.source(), skip.source()];
        let shape = Shape { c: channels_in, ..sources[0].output() };
        let what = format!("case {case}, {conv:?} {shape:?} to {channels_out}");

        let (dw, db) = (doubles(&values), doubles(&bias));
        let naive = |parts: [&Parts; 2], weights: &[f64]| {
            let maps = [0, 1].map(|i| naive::read(&sources[i], parts[i]));
            let both = maps[0].chunks_exact(channels).zip(maps[1].chunks_exact(skip.shape.c));
            let x: Vec<f64> =
                both.flat_map(|(a, b)| a.iter().chain(b).copied().collect::<Vec<_>>()).collect();
            naive::convolve(conv, &x, shape, weights, Some(&db), channels_out)
        };
        let parts = sources.each_ref().map(Parts::of);
        let expected = naive([&parts[0], &parts[1]], &dw);
        close(&what, &convolve(&sources, weights, conv), &expected);

        let upstream = random.values(expected.len());
        let wanted = Wanted { sources: [true, true], weight: true, bias: true };
        let gradient = convolve_backward(&sources, weights, conv, &upstream, wanted);
        let upstream = doubles(&upstream);
        let [Some(first), Some(second)] = &gradient.sources else { panic!("two sources") };
        compare(&what, &sources[0], first, |p| dot(&naive([p, &parts[1]], &dw), &upstream));
        compare(&what, &sources[1], second, |p| dot(&naive([&parts[0], p], &dw), &upstream));
        let by_weight = slopes(&dw, |weights| dot(&naive([&parts[0], &parts[1]], weights), &upstream));
        close(&what, &gradient.weight.unwrap(), &by_weight);

        // What is not asked for is not computed, and changes nothing else.
        let wanted = Wanted { sources: [false, true], weight: false, bias: false };
        let upstream: Vec<f32> = upstream.iter().map(|&u| u as f32).collect();
        let less = convolve_backward(&sources, weights, conv, &upstream, wanted);
        assert!(less.sources[0].is_none() && less.weight.is_none() && less.bias.is_none());
        assert_eq!(less.sources[1].as_ref().unwrap().map, second.map);
    }
}

/// A diverging network must be seen to diverge: no kernel turns NaN or infinity into something else.
#[test]
fn nan_and_infinity_pass_through() {
    let shape = Shape { n: 1, h: 4, w: 4, c: 3 };
    for (bad, place) in [(f32::NAN, 0), (f32::NAN, 15), (f32::INFINITY, 5)] {
        let mut map = vec![1.0; shape.len()];
        map[place * shape.c + 1] = bad;
        let plain = Source {
            map: &map,
            shape,
            norm: None,
            residual: None,
            slope: 1.0,
            dropout: None,
            resample: Resample::No,
        };
        let same = |values: &[f32], i: usize| values[i] == bad || values[i].is_nan() && bad.is_nan();
        let relu = materialise(Source { slope: 0.0, ..plain });
        assert!(same(&relu, place * shape.c + 1), "ReLU of {bad}");
        let pooled =
            materialise(Source { resample: Resample::MaxPool { size: 2, stride: 2, padding: 0 }, ..plain });
        let window = place / 8 * 2 + place % 4 / 2;
        assert!(same(&pooled, window * shape.c + 1), "pooling {bad}: {pooled:?}");
        assert!(pooled.iter().filter(|value| value.is_finite()).count() == pooled.len() - 1);
        assert!(!moments(&map, shape, Over::Image)[shape.c + 1].is_finite(), "variance of {bad}");
    }
}
