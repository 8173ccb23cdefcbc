//! How fast each kernel is, beside what the machine can do: `cargo bench -p polycl-kernels`.
//!
//! Items are floating-point operations of the direct sum, so `Gitem/s` are GFLOP/s (Winograd's
//! algorithm does a quarter of them, and may pass the peak); bytes are those of the maps that must
//! be read and written once. `peak` is measured on the same threads: fused multiply-adds from
//! registers, and a copy of 256 MiB. `RAYON_NUM_THREADS` sets the threads.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use polycl_kernels::conv::{BackwardData, BackwardWeight, Forward};
use polycl_kernels::{
    Adam, Conv, DiceLoss, Dropout, Norm, Over, Resample, Shape, Source, Weights, adam, materialise,
    materialise_backward, moments, soft_dice, soft_dice_backward,
};

/// The allocator of `polycl`, which keeps freed pages: else their clearing is what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // SAFETY: no other thread exists yet. `mi_option_purge_delay` is 15; −1 is never.
    unsafe { libmimalloc_sys::mi_option_set(15, -1) };
    println!("{} on {} threads", polycl_kernels::instruction_set(), rayon::current_num_threads());
    divan::main();
}

/// Images of a batch.
const BATCH: usize = 8;

/// Input and output channels, side of the input, kernel, stride.
type Layer = (usize, usize, usize, usize, usize);

/// The convolutions of the U-Net on 256² slices (each once), and those of the ResNet-18 that differ.
const LAYERS: [Layer; 17] = [
    (1, 16, 256, 3, 1),
    (16, 16, 256, 3, 1),
    (48, 16, 256, 3, 1),
    (16, 32, 128, 3, 1),
    (32, 32, 128, 3, 1),
    (96, 32, 128, 3, 1),
    (64, 64, 64, 3, 1),
    (192, 64, 64, 3, 1),
    (128, 128, 32, 3, 1),
    (384, 128, 32, 3, 1),
    (256, 256, 16, 3, 1),
    (512, 512, 8, 3, 1),
    (768, 256, 16, 3, 1),
    (16, 1, 256, 1, 1),
    (1, 32, 256, 7, 2),
    (64, 128, 64, 3, 2),
    (64, 128, 64, 1, 2),
];

struct Problem {
    conv: Conv,
    input: Shape,
    output: Shape,
    x: Vec<f32>,
    y: Vec<f32>,
    weights: Vec<f32>,
}

impl Problem {
    fn new((c, channels, side, kernel, stride): Layer) -> Self {
        let conv = Conv { kernel, stride, padding: kernel / 2 };
        let input = Shape { n: BATCH, h: side, w: side, c };
        let output = conv.output(input, channels);
        let weights = noise(channels * c * kernel * kernel);
        Self { conv, input, output, x: noise(input.len()), y: noise(output.len()), weights }
    }

    fn weights(&self) -> Weights<'_> {
        Weights {
            values: &self.weights,
            bias: None,
            channels_out: self.output.c,
            channels_in: self.input.c,
            kernel: self.conv.kernel,
        }
    }

    fn operations(&self) -> ItemsCount {
        ItemsCount::new(2 * self.output.len() * self.weights.len() / self.output.c)
    }
}

/// Values in −1..1 that no branch predictor learns.
fn noise(count: usize) -> Vec<f32> {
    (0..count as u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

mod convolution {
    use super::*;

    #[divan::bench(args = LAYERS)]
    fn forward(bencher: Bencher<'_, '_>, layer: Layer) {
        let problem = Problem::new(layer);
        let mut out = vec![0.0; problem.output.len()];
        bencher.counter(problem.operations()).bench_local(|| {
            Forward::new(problem.weights(), problem.conv, problem.input).run_into(
                &problem.x,
                problem.input,
                &mut out,
            );
        });
    }

    #[divan::bench(args = LAYERS)]
    fn backward_data(bencher: Bencher<'_, '_>, layer: Layer) {
        let problem = Problem::new(layer);
        let mut out = vec![0.0; problem.input.len()];
        bencher.counter(problem.operations()).bench_local(|| {
            let data = BackwardData::new(problem.weights(), problem.conv, problem.input);
            data.run_into(&problem.y, problem.output, problem.input, &mut out);
        });
    }

    #[divan::bench(args = LAYERS)]
    fn backward_weight(bencher: Bencher<'_, '_>, layer: Layer) {
        let problem = Problem::new(layer);
        bencher.counter(problem.operations()).bench_local(|| {
            let mut sums = BackwardWeight::new(problem.conv, problem.input, problem.output.c);
            sums.add(&problem.x, problem.input, &problem.y);
            black_box(sums.finish());
        });
    }
}

/// The same values as maps of three depths.
const MAPS: [(usize, usize); 3] = [(16, 256), (64, 64), (256, 16)];

mod reading {
    use super::*;

    fn with(
        bencher: Bencher<'_, '_>,
        (c, side): (usize, usize),
        dropout: bool,
        resample: Resample,
        back: bool,
    ) {
        let shape = Shape { n: BATCH, h: side, w: side, c };
        let map = noise(shape.len());
        let moments = moments(&map, shape, Over::Image);
        let norm = Norm {
            moments: &moments,
            over: Over::Image,
            weight: None,
            bias: None,
            epsilon: 1e-5,
            fixed: false,
        };
        let source = Source {
            norm: Some(norm),
            slope: 0.2,
            dropout: dropout.then_some(Dropout { probability: 0.25, seed: 1 }),
            resample,
            ..Source::plain(&map, shape)
        };
        let result = noise(source.output().len());
        let moved = if back { 2 * map.len() + result.len() } else { map.len() + result.len() };
        bencher.counter(BytesCount::of_many::<f32>(moved)).bench_local(|| {
            if back {
                black_box(materialise_backward(source, &result).map);
            } else {
                black_box(materialise(source));
            }
        });
    }

    #[divan::bench(args = MAPS)]
    fn norm_activation(bencher: Bencher<'_, '_>, map: (usize, usize)) {
        with(bencher, map, false, Resample::No, false);
    }

    #[divan::bench(args = MAPS)]
    fn norm_activation_backward(bencher: Bencher<'_, '_>, map: (usize, usize)) {
        with(bencher, map, false, Resample::No, true);
    }

    #[divan::bench(args = MAPS)]
    fn norm_activation_dropout(bencher: Bencher<'_, '_>, map: (usize, usize)) {
        with(bencher, map, true, Resample::No, false);
    }

    #[divan::bench(args = MAPS)]
    fn norm_activation_dropout_backward(bencher: Bencher<'_, '_>, map: (usize, usize)) {
        with(bencher, map, true, Resample::No, true);
    }

    #[divan::bench(args = MAPS)]
    fn and_max_pool(bencher: Bencher<'_, '_>, map: (usize, usize)) {
        with(bencher, map, true, Resample::MaxPool { size: 2, stride: 2, padding: 0 }, false);
    }

    #[divan::bench(args = MAPS)]
    fn and_max_pool_backward(bencher: Bencher<'_, '_>, map: (usize, usize)) {
        with(bencher, map, true, Resample::MaxPool { size: 2, stride: 2, padding: 0 }, true);
    }

    #[divan::bench(args = MAPS)]
    fn and_upsample(bencher: Bencher<'_, '_>, map: (usize, usize)) {
        with(bencher, map, true, Resample::Upsample2, false);
    }

    #[divan::bench(args = MAPS)]
    fn and_upsample_backward(bencher: Bencher<'_, '_>, map: (usize, usize)) {
        with(bencher, map, true, Resample::Upsample2, true);
    }

    #[divan::bench(args = MAPS)]
    fn statistics(bencher: Bencher<'_, '_>, (c, side): (usize, usize)) {
        let shape = Shape { n: BATCH, h: side, w: side, c };
        let map = noise(shape.len());
        bencher
            .counter(BytesCount::of_slice(&map))
            .bench_local(|| black_box(moments(&map, shape, Over::Image)));
    }
}

/// The layers of LiteMedSAM's encoder and decoder.
mod transformers {
    use super::*;
    use polycl_kernels::transformer::{
        Activation, Depthwise, Heads, Linear, Position, Windows, attention, depthwise, layer_norm, linear,
        window_attention,
    };

    /// Tokens, inputs, outputs, and whether a GELU follows.
    #[divan::bench(args = [
        (65536, 64, 256, true), (65536, 256, 64, true), (16384, 128, 384, false), (16384, 128, 512, true),
        (16384, 512, 128, false), (4096, 160, 640, true), (4096, 320, 1280, true), (4096, 1280, 320, false),
        (4096, 256, 128, false), (7, 256, 2048, false),
    ])]
    fn linear_layer(bencher: Bencher<'_, '_>, (tokens, inputs, outputs, gelu): (usize, usize, usize, bool)) {
        let (x, weight, bias) = (noise(tokens * inputs), noise(outputs * inputs), noise(outputs));
        let activation = if gelu { Activation::Gelu } else { Activation::None };
        let layer = Linear { weight: &weight, bias: Some(&bias), outputs, inputs, activation };
        bencher
            .counter(ItemsCount::new(2 * tokens * inputs * outputs))
            .bench_local(|| black_box(linear(&x, layer, None)));
    }

    /// Side of the map, channels, heads, side of the windows.
    #[divan::bench(args = [(128, 128, 4, 7), (64, 160, 5, 14), (64, 320, 10, 7)])]
    fn windows(bencher: Bencher<'_, '_>, (side, channels, heads, window): (usize, usize, usize, usize)) {
        let shape = Shape { n: 1, h: side, w: side, c: 3 * channels };
        let (qkv, outside) = (noise(shape.len()), noise(3 * channels));
        let tokens = window * window;
        let table = noise(heads * tokens * tokens);
        let windows =
            Windows { side: window, outside: &outside, position: Position::Table(&table), pooled: None };
        bencher
            .counter(ItemsCount::new(4 * side * side * tokens * channels))
            .bench_local(|| black_box(window_attention(&qkv, shape, Heads::new(heads, channels), windows)));
    }

    /// Queries and keys of eight heads of 16 channels.
    #[divan::bench(args = [(7, 4096), (4096, 7), (4096, 4096)])]
    fn attention_of_eight_heads(bencher: Bencher<'_, '_>, (queries, keys): (usize, usize)) {
        let (q, k, v) = (noise(queries * 128), noise(keys * 128), noise(keys * 128));
        bencher
            .counter(ItemsCount::new(4 * queries * keys * 128))
            .bench_local(|| black_box(attention(&q, &k, &v, queries, keys, Heads::new(8, 128))));
    }

    /// SAM 2's memory attention: queries and keys of one head of 256 channels, values of 64.
    #[divan::bench(args = [(1024, 7232), (4096, 28736)])]
    fn attention_to_memories(bencher: Bencher<'_, '_>, (queries, keys): (usize, usize)) {
        let (q, k, v) = (noise(queries * 256), noise(keys * 256), noise(keys * 64));
        bencher
            .counter(ItemsCount::new(2 * queries * keys * (256 + 64)))
            .bench_local(|| black_box(attention(&q, &k, &v, queries, keys, Heads::new(1, 256))));
    }

    #[divan::bench(args = [(256, 256), (64, 320)])]
    fn depthwise_and_gelu(bencher: Bencher<'_, '_>, (side, c): (usize, usize)) {
        let shape = Shape { n: 1, h: side, w: side, c };
        let (x, weight, bias) = (noise(shape.len()), noise(9 * c), noise(c));
        let layer = Depthwise { weight: &weight, bias: &bias, stride: 1, activation: Activation::Gelu };
        bencher
            .counter(BytesCount::of_many::<f32>(2 * x.len()))
            .bench_local(|| black_box(depthwise(&x, shape, layer)));
    }

    #[divan::bench(args = [(16384, 128), (4096, 320)])]
    fn norm_of_tokens(bencher: Bencher<'_, '_>, (tokens, channels): (usize, usize)) {
        let (x, weight, bias) = (noise(tokens * channels), noise(channels), noise(channels));
        bencher
            .counter(BytesCount::of_many::<f32>(2 * x.len()))
            .bench_local(|| black_box(layer_norm(&x, &weight, &bias, 1e-5)));
    }
}

mod others {
    use super::*;

    #[divan::bench]
    fn dice_forward_and_backward(bencher: Bencher<'_, '_>) {
        let loss = DiceLoss { over: Over::Batches(1), entropy: 1.0 };
        let logits = noise(BATCH << 16);
        let target: Vec<f32> = logits.iter().map(|&x| f32::from(u8::from(x > 0.4))).collect();
        bencher.counter(BytesCount::of_many::<f32>(3 * logits.len())).bench_local(|| {
            black_box(soft_dice(&logits, &target, &[1.0; BATCH], loss));
            black_box(soft_dice_backward(&logits, &target, &[1.0; BATCH], loss, 1.0));
        });
    }

    #[divan::bench]
    fn adam_of_two_million(bencher: Bencher<'_, '_>) {
        let gradient = noise(2_000_000);
        let [mut values, mut first, mut second] = [0; 3].map(|_| vec![0.0; gradient.len()]);
        let step = Adam { scale: 1.0, rate: 1e-3, root_bias: 1.0, beta: [0.9, 0.999], epsilon: 1e-8 };
        bencher.counter(BytesCount::of_many::<f32>(7 * gradient.len())).bench_local(|| {
            adam(&mut values, &gradient, &mut first, &mut second, step);
        });
    }
}

mod peak {
    use super::*;
    use rayon::prelude::*;

    #[divan::bench]
    fn multiply_add(bencher: Bencher<'_, '_>) {
        let (threads, rounds) = (rayon::current_num_threads(), 1 << 20);
        let operations = threads * polycl_kernels::peak_operations(0);
        bencher.counter(ItemsCount::new(operations * rounds)).bench_local(|| {
            rayon::broadcast(|_| black_box(polycl_kernels::peak_operations(rounds)));
        });
    }

    #[divan::bench]
    fn copy(bencher: Bencher<'_, '_>) {
        let from = noise(64 << 20);
        let mut to = vec![0.0; from.len()];
        bencher.counter(BytesCount::of_many::<f32>(2 * from.len())).bench_local(|| {
            let pieces = from.par_chunks(1 << 16).zip(to.par_chunks_mut(1 << 16));
            pieces.for_each(|(from, to)| to.copy_from_slice(black_box(from)));
        });
    }
}
