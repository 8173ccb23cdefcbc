//! The same bits from any number of threads, and from run to run.

use polycl_kernels::{
    Conv, DiceLoss, Dropout, Norm, Over, Resample, Shape, Source, Wanted, Weights, convolve,
    convolve_backward, materialise, moments, soft_dice, soft_dice_backward,
};

use crate::Random;

/// A convolution of two processed sources, forward and back, flattened.
fn everything() -> Vec<u32> {
    let random = &mut Random::new(1);
    let low = Shape { n: 3, h: 20, w: 12, c: 32 };
    let high = Shape { n: 3, h: 40, w: 24, c: 16 };
    let (a, b) = (random.values(low.len()), random.values(high.len()));
    let mut all = Vec::new();
    for over in [Over::Image, Over::Batches(1), Over::Batches(3)] {
        let (moments_a, moments_b) = (moments(&a, low, over), moments(&b, high, over));
        let norm = |moments| Norm { moments, over, weight: None, bias: None, epsilon: 1e-5, fixed: false };
        let source = |map, shape, moments, resample| Source {
            norm: Some(norm(moments)),
            slope: 0.2,
            dropout: Some(Dropout { probability: 0.25, seed: 3 }),
            resample,
            ..Source::plain(map, shape)
        };
        let sources =
            [source(&a, low, &moments_a, Resample::Upsample2), source(&b, high, &moments_b, Resample::No)];
        for (kernel, stride) in [(3, 1), (3, 2), (1, 1)] {
            let conv = Conv { kernel, stride, padding: kernel / 2 };
            let values = random.values(20 * 48 * kernel * kernel);
            let bias = random.values(20);
            let weights =
                Weights { values: &values, bias: Some(&bias), channels_out: 20, channels_in: 48, kernel };
            let out = convolve(&sources, weights, conv);
            let wanted = Wanted { sources: [true, true], weight: true, bias: true };
            let gradient = convolve_backward(&sources, weights, conv, &out, wanted);
            gradient.sources.iter().flatten().for_each(|source| all.extend(&source.map));
            all.extend(gradient.weight.unwrap());
            all.extend(gradient.bias.unwrap());
            all.extend(out);
        }
        all.extend(&moments_a);
        let pool = Resample::MaxPool { size: 3, stride: 2, padding: 1 };
        all.extend(materialise(source(&b, high, &moments_b, pool)));
    }
    for over in [Over::Image, Over::Batches(1), Over::Batches(3)] {
        let loss = DiceLoss { over, entropy: 1.0 };
        all.push(soft_dice(&a, &a, &[1.0, 0.3, 0.7], loss));
        all.extend(soft_dice_backward(&a, &a, &[1.0, 0.3, 0.7], loss, 1.0));
    }
    all.into_iter().map(f32::to_bits).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let expected = everything();
    for threads in [1, 2, 3, 8, 1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(everything) == expected, "{threads} threads");
    }
}
