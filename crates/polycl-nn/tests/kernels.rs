//! The kernels behind burn against burn's own operations on the same tensors, through autodiff; and
//! what has no kernel.

use std::cell::RefCell;

use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};
use polycl_nn::kernels::{
    self, Conv, Dropout, NormSpec, Over, Resample, Source, SourceSpec, adam, composed, soft_dice,
};
use polycl_nn::loss::SegmentationLoss;
use polycl_nn::net::{Map, Norm, convolve};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Largest difference allowed, as a part of the largest value.
const TOLERANCE: f32 = 1e-5;

fn device() -> Device {
    Device::flex().autodiff()
}

thread_local! {
    /// Each test's own generator: burn's is shared by all tests of the process, and a value that lands
    /// within round-off of a kink would fail one run in many.
    static RANDOM: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

fn seed(seed: u64) {
    RANDOM.set(ChaCha8Rng::seed_from_u64(seed));
}

/// Uniform in −1..2.
fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let value = |rng: &mut ChaCha8Rng| 3.0 * (rng.next_u32() >> 8) as f32 / (1 << 24) as f32 - 1.0;
    let count = shape.iter().product();
    let values: Vec<f32> = RANDOM.with_borrow_mut(|rng| (0..count).map(|_| value(rng)).collect());
    Tensor::from_data(TensorData::new(values, shape), &device()).require_grad()
}

#[track_caller]
fn close<const D: usize>(what: &str, actual: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let [actual, expected] = [actual, expected].map(|x| x.into_data().try_into_vec::<f32>().unwrap());
    let largest = expected.iter().fold(1e-20f32, |l, x| l.max(x.abs()));
    let worst = actual
        .iter()
        .zip(&expected)
        .map(|(a, e)| (a - e).abs() / largest)
        .fold(0f32, |w, d| if d.is_nan() { f32::INFINITY } else { w.max(d) });
    assert!(worst <= TOLERANCE, "{what}: {worst:.1e}");
}

/// Every tensor that a gradient reaches.
struct Leaves {
    sources: Vec<Source>,
    weight: Tensor<4>,
    bias: Tensor<1>,
}

fn source(
    shape: [usize; 4],
    norm: Option<NormSpec>,
    slope: f32,
    dropout: bool,
    residual: bool,
    resample: Resample,
) -> Source {
    let (map, c) = (random(shape), shape[3]);
    Source {
        moments: norm.map(|norm| kernels::moments(&map, norm.over)),
        map,
        affine: Some([random([c]), random([c])]),
        residual: Some(random(shape)),
        spec: SourceSpec {
            norm,
            residual,
            slope,
            dropout: dropout.then_some(Dropout { probability: 0.25, seed: 5 }),
            resample,
        },
    }
}

impl Leaves {
    fn new(sources: Vec<Source>, channels_in: usize, channels_out: usize, kernel: usize) -> Self {
        Self {
            sources,
            weight: random([channels_out, channels_in, kernel, kernel]),
            bias: random([channels_out]),
        }
    }

    /// Output, then every gradient of Σ output · upstream.
    fn run(&self, forward: impl Fn(&Self) -> Tensor<4>, upstream: &Tensor<4>) -> Vec<(String, Tensor<1>)> {
        let output = forward(self);
        let gradients = (output.clone() * upstream.clone()).sum().backward();
        let mut all = vec![("output".to_owned(), output.inner().reshape([-1]))];
        let mut add = |name: String, gradient: Option<Tensor<1>>| {
            if let Some(gradient) = gradient {
                all.push((name, gradient));
            }
        };
        for (i, source) in self.sources.iter().enumerate() {
            let flat = |x: &Tensor<4>| x.grad(&gradients).map(|g| g.reshape([-1]));
            add(format!("map {i}"), flat(&source.map));
            add(format!("residual {i}"), source.residual.as_ref().and_then(flat));
            for (j, x) in source.affine.iter().flatten().enumerate() {
                add(format!("affine {i} {j}"), x.grad(&gradients));
            }
        }
        add("weight".to_owned(), self.weight.grad(&gradients).map(|g| g.reshape([-1])));
        add("bias".to_owned(), self.bias.grad(&gradients));
        all
    }
}

fn compare(
    what: &str,
    leaves: &Leaves,
    fused: impl Fn(&Leaves) -> Tensor<4>,
    other: impl Fn(&Leaves) -> Tensor<4>,
) {
    let upstream = random(fused(leaves).dims()).detach();
    let (ours, theirs) = (leaves.run(fused, &upstream), leaves.run(other, &upstream));
    let names = |all: &[(String, Tensor<1>)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "{what}");
    assert!(names(&ours).contains(&"map 0".to_owned()), "{what}: no gradient was compared");
    for ((name, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
        close(&format!("{what}: {name}"), ours, theirs);
    }
}

const INSTANCE: NormSpec = NormSpec { over: Over::Image, epsilon: 1e-5, affine: false, fixed: false };
const BATCH: NormSpec = NormSpec { over: Over::Batches(1), epsilon: 1e-5, affine: true, fixed: false };
const THREE: NormSpec = NormSpec { over: Over::Batches(3), ..BATCH };
const POOL: Resample = Resample::MaxPool { size: 2, stride: 2, padding: 0 };

/// Smooth where gradients are compared: a value next to a kink may fall on either side of it.
#[test]
fn convolutions_of_processed_maps() {
    seed(1);
    for (kernel, stride) in [(3, 1), (3, 2), (1, 1), (7, 2)] {
        let conv = Conv { kernel, stride, padding: kernel / 2 };
        for (norm, slope, dropout) in [
            (None, 1.0, false),
            (Some(INSTANCE), 1.0, true),
            (Some(BATCH), 1.0, false),
            (Some(THREE), 1.0, true),
        ] {
            let what = format!("{conv:?} {norm:?}");
            let one = source([3, 12, 16, 8], norm, slope, dropout, norm.is_some(), Resample::No);
            let below = source([3, 6, 8, 20], norm, slope, dropout, false, Resample::Upsample2);
            for sources in [vec![one.clone()], vec![below, one]] {
                let channels = if sources.len() == 1 { 8 } else { 28 };
                let leaves = Leaves::new(sources, channels, 5, kernel);
                let fused = |l: &Leaves| {
                    kernels::convolve(
                        &l.sources.iter().collect::<Vec<_>>(),
                        l.weight.clone(),
                        Some(l.bias.clone()),
                        conv,
                    )
                };
                let other = |l: &Leaves| {
                    let sources: Vec<&Source> = l.sources.iter().collect();
                    composed::nhwc(composed::convolve(&sources, l.weight.clone(), Some(l.bias.clone()), conv))
                };
                compare(&what, &leaves, fused, other);
            }
        }
    }
}

#[test]
fn reading_with_activations_and_pools() {
    seed(2);
    for norm in [None, Some(INSTANCE), Some(BATCH), Some(THREE)] {
        for resample in
            [Resample::No, Resample::Upsample2, POOL, Resample::MaxPool { size: 3, stride: 2, padding: 1 }]
        {
            for slope in [0.0, 0.2] {
                let source = source([3, 8, 6, 5], norm, slope, true, true, resample);
                let leaves = Leaves::new(vec![source], 5, 1, 1);
                let other = |l: &Leaves| composed::nhwc(composed::read(&l.sources[0]));
                compare(
                    &format!("{norm:?} {resample:?} {slope}"),
                    &leaves,
                    |l| kernels::read(&l.sources[0]),
                    other,
                );
            }
        }
    }
}

#[test]
fn dice_and_cross_entropy_of_one_organ() {
    seed(3);
    let shape = [3, 1, 17, 9];
    let logits = random(shape).inner() * 3.0;
    let target = random(shape).inner().greater_elem(1.0).float();
    // Two channels, of which the second is foreground with the same logit, are the same loss by
    // burn's operations for dice; cross-entropy of a logit is that of (0, logit).
    let target = Tensor::from_inner(target);
    let both = |x: Tensor<4>, background: Tensor<4>| Tensor::cat(vec![background, x], 1);
    use SegmentationLoss::{BatchDiceCrossEntropy, Dice, DiceCrossEntropy};
    for loss in [Dice, DiceCrossEntropy, BatchDiceCrossEntropy] {
        let [ours, theirs] = [0, 1].map(|_| Tensor::from_inner(logits.clone()).require_grad());
        let weights = Tensor::<1>::from_floats([1.0, 0.25, 1.5], &target.device());
        let fused = soft_dice(ours.clone(), target.clone(), weights.clone(), loss.parts());
        let other = loss.forward(
            both(theirs.clone(), theirs.zeros_like()),
            both(target.clone(), target.ones_like() - target.clone()),
            weights,
        );
        close("loss", fused.clone().inner(), other.clone().inner());
        let (a, b) = ((fused * 2.0).backward(), (other * 2.0).backward());
        close("gradient", ours.grad(&a).unwrap(), theirs.grad(&b).unwrap());
    }
}

#[test]
fn adam_updates_in_place_only_what_nobody_else_holds() {
    let device = Device::flex();
    let tensor = |values: &[f32]| Tensor::<1>::from_floats(values, &device);
    let (x, g, m, v) = (tensor(&[1.0, 2.0]), tensor(&[0.5, -0.5]), tensor(&[0.0, 0.0]), tensor(&[0.0, 0.0]));
    let step = kernels::AdamStep { scale: 1.0, rate: 0.1, root_bias: 1.0, beta: [0.9, 0.999], epsilon: 1e-8 };
    let [y, ..] = adam(x.clone(), g, [m, v], step);
    let values = |x: Tensor<1>| x.into_data().try_into_vec::<f32>().unwrap();
    assert_eq!(values(x), [1.0, 2.0]);
    let y = values(y);
    assert!(y[0] < 1.0 && y[1] > 2.0, "{y:?}");
}

/// Layers without a kernel (dilated, grouped, other types) give what burn gives.
#[test]
fn what_has_no_kernel_falls_back() {
    seed(4);
    let x = random([2, 8, 10, 12]).detach();
    let config = Conv2dConfig::new([8, 6], [3, 3]).with_padding(PaddingConfig2d::Explicit(2, 2, 2, 2));
    let dilated = config.with_dilation([2, 2]).init(&device());
    let grouped = Conv2dConfig::new([8, 6], [3, 3]).with_groups(2).init(&device());
    let oblong = Conv2dConfig::new([8, 6], [3, 1]).init(&device());
    let uneven = Conv2dConfig::new([8, 6], [3, 3]).with_stride([2, 1]).init(&device());
    let lopsided =
        Conv2dConfig::new([8, 6], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 0, 0, 1)).init(&device());
    for layer in [dilated, grouped, oblong, uneven, lopsided] {
        let ours = Map::plain(convolve(&[&Map::from_nchw(x.clone())], &layer)).to_nchw();
        close(&format!("{layer:?}"), ours, layer.forward(x.clone()));
    }
    let half = x.inner().cast(DType::F64);
    assert!(!kernels::serves(&half));
    let norm = Norm { over: Over::Image, epsilon: 1e-5, fixed: None, affine: None };
    let map = Map::normalised(composed::nhwc(half), norm, None).activated(0.2, None).max_pool(2, 2, 0);
    assert_eq!(map.to_nchw().dims(), [2, 8, 5, 6]);
}

/// Strided tensors are read as what they mean.
#[test]
fn views_are_not_mistaken_for_their_memory() {
    seed(5);
    let x = random([2, 7, 9, 4]).detach();
    let layer: Conv2d = Conv2dConfig::new([4, 4], [3, 3]).init(&device());
    let whole = Map::plain(convolve(&[&Map::plain(x.clone())], &layer)).read();
    let parts = [0, 1].map(|i| convolve(&[&Map::plain(x.clone().narrow(0, i, 1))], &layer));
    close("narrowed", Tensor::cat(parts.into(), 0), whole.clone());
    let flipped = convolve(&[&Map::plain(x.flip([0]))], &layer);
    close("flipped", flipped.flip([0]), whole);
}

/// The parts of transformers as other devices compose them of burn's operations: float64 has no kernel.
#[test]
fn transformers_of_burns_own_operations() {
    use polycl_nn::kernels::transformer::{
        Activation, Heads, Places, activate, attention, depthwise, layer_norm, linear, max_pool, rotate,
        window_attention,
    };
    seed(9);
    let types = [DType::F32, DType::F64];
    let compare = |what: &str, [kernel, composed]: [Tensor<4>; 2]| {
        close(what, kernel, composed.cast(DType::F32));
    };
    let plain = |dims| random::<4>(dims).inner();
    let (x, residual, weight, norm) =
        (plain([2, 5, 7, 24]), plain([1, 5, 7, 10]), plain([1, 1, 10, 24]), plain([1, 1, 2, 24]));
    let (small, large) = (plain([24, 1, 3, 3]), plain([24, 1, 7, 7]));
    let row = |norm: &Tensor<4>, i: usize| norm.clone().narrow(2, i, 1).reshape([24]);
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        let of = types.map(|dtype| {
            let weight = weight.clone().cast(dtype).reshape([10, 24]);
            linear(x.clone().cast(dtype), &weight, None, Some(residual.clone().cast(dtype)), activation)
        });
        compare(&format!("linear, {activation:?}"), of);
        compare(&format!("{activation:?}"), types.map(|dtype| activate(x.clone().cast(dtype), activation)));
        for taps in [&small, &large] {
            let of = types.map(|dtype| {
                let bias = row(&norm.clone().cast(dtype), 1);
                depthwise(x.clone().cast(dtype), &taps.clone().cast(dtype), &bias, 2, activation)
            });
            compare(&format!("depthwise {:?}, {activation:?}", taps.dims()), of);
        }
    }
    let of = types.map(|dtype| {
        let norm = norm.clone().cast(dtype);
        layer_norm(x.clone().cast(dtype), &row(&norm, 0), &row(&norm, 1), 1e-5)
    });
    compare("layer norm", of);
    let heads = Heads::new(2, 8);
    let (q, k, v) = (plain([1, 3, 6, 8]), plain([1, 1, 9, 8]), plain([1, 1, 9, 12]));
    let of = types.map(|dtype| {
        let [q, k, v] = [&q, &k, &v].map(|x| x.clone().cast(dtype).squeeze_dim::<3>(0));
        attention(q, k, v, heads).unsqueeze()
    });
    compare("attention to shared keys", of);
    let (rows, angles) = (plain([1, 1, 9, 8]), plain([1, 1, 3, 4]));
    for turned in [6, 9] {
        let of = types.map(|dtype| {
            let angles = angles.clone().cast(dtype).reshape([3, 4]);
            let rows = rows.clone().cast(dtype).squeeze_dim::<3>(0);
            rotate(rows, &angles.clone().cos(), &angles.sin(), turned).unsqueeze()
        });
        compare(&format!("{turned} rows turned"), of);
    }
    let even = plain([2, 6, 10, 24]);
    compare("pooling", types.map(|dtype| max_pool(even.clone().cast(dtype), 8)));
    let (tables, outside) = (plain([1, 2, 16, 16]), plain([1, 1, 1, 24]));
    let relative = plain([1, 2, 7, 4]);
    for shape in ["table", "relative"] {
        let of = types.map(|dtype| {
            let axis = |i: usize| relative.clone().cast(dtype).narrow(1, i, 1).reshape([7, 4]);
            let places = match shape {
                "table" => Places::Table(tables.clone().cast(dtype).squeeze_dim::<3>(0)),
                _ => Places::Relative([axis(0), axis(1)]),
            };
            window_attention(
                x.clone().cast(dtype),
                None,
                &outside.clone().cast(dtype).reshape([24]),
                &places,
                heads,
                4,
            )
        });
        compare(&format!("windows, {shape}"), of);
    }
    let of = types.map(|dtype| {
        let x = even.clone().cast(dtype);
        let outside = outside.clone().cast(dtype).reshape([24]);
        window_attention(x.clone(), Some(max_pool(x, 8)), &outside, &Places::None, heads, 4)
    });
    compare("windows, pooled queries", of);
}
