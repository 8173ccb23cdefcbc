use burn::module::Module;
use burn::nn::conv::Conv2dConfig;
use burn::nn::{LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use polycl_nn::kernels::{Over, composed};
use polycl_nn::net::{BatchNorm2d, ConvBlock, Map, Norm, convolve, global_average};

use crate::reference::Reference;

fn device() -> Device {
    Device::flex().autodiff()
}

/// Runs `layer` on a case's input and compares output and gradient of the input.
fn check<const O: usize>(reference: &Reference, case: &str, layer: impl FnOnce(Tensor<4>) -> Tensor<O>) {
    let key = |name: &str| format!("{case}.{name}");
    let input = reference.tensor::<4>(&key("input"), &device()).require_grad();
    let output = layer(input.clone());
    reference.close(&key("output"), output.clone().into_data());
    let upstream = reference.tensor::<O>(&key("upstream"), &device());
    let gradients = (output * upstream).sum().backward();
    reference.close(&key("grad.input"), input.grad(&gradients).unwrap().into_data());
}

#[test]
fn convolutions() {
    let reference = Reference::open("layers/conv");
    let cases = [
        ("k3_s1", 1),
        ("k3_s1_odd", 1),
        ("k3_s1_wide", 1),
        ("k3_s1_one_pixel", 1),
        ("k3_s2", 2),
        ("k3_s2_odd", 2),
    ]
    .into_iter()
    .chain([("k1_s1", 1), ("k1_s2", 2), ("k1_s2_odd", 2), ("k7_s2", 2), ("k7_s2_odd", 2)]);
    for (case, stride) in cases {
        let key = |name: &str| format!("{case}.{name}");
        let [cout, cin, k, _] = reference.tensor::<4>(&key("weight"), &device()).dims();
        let mut conv = Conv2dConfig::new([cin, cout], [k, k])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(k / 2, k / 2, k / 2, k / 2))
            .with_bias(reference.has(&key("bias")))
            .init(&device());
        reference.fill(&mut conv, &key(""), |name| name == "weight" || name == "bias");
        let input = reference.tensor::<4>(&key("input"), &device()).require_grad();
        let output = Map::plain(convolve(&[&Map::from_nchw(input.clone())], &conv)).to_nchw();
        reference.close(&key("output"), output.clone().into_data());
        let gradients = (output * reference.tensor(&key("upstream"), &device())).sum().backward();
        reference.close(&key("grad.input"), input.grad(&gradients).unwrap().into_data());
        reference.close_gradients(&key("grad."), conv, &gradients);
    }
}

#[test]
fn instance_norm_also_of_a_large_mean() {
    let reference = Reference::open("layers/instance_norm");
    for case in ["plain", "odd", "tiny", "large_mean"] {
        let norm = Norm { over: Over::Image, epsilon: 1e-5, fixed: None, affine: None };
        check(&reference, case, |x| Map::normalised(composed::nhwc(x), norm, None).to_nchw());
    }
}

#[test]
fn batch_norm_in_training_and_evaluation() {
    let reference = Reference::open("layers/batch_norm");
    for case in ["even", "odd", "one_pixel"] {
        let channels = reference.tensor::<1>(&format!("{case}.weight"), &device()).dims()[0];
        let mut norm = BatchNorm2d::new(channels, &device());
        reference.fill(&mut norm, &format!("{case}."), |name| !name.contains('.'));
        for batch in ["train0", "train1"] {
            let key = |name: &str| format!("{case}.{batch}.{name}");
            let input = reference.tensor::<4>(&key("input"), &device()).require_grad();
            let output = norm.forward(composed::nhwc(input.clone()), 1).to_nchw();
            reference.close(&key("output"), output.clone().into_data());
            let gradients = (output * reference.tensor(&key("upstream"), &device())).sum().backward();
            reference.close(&key("grad.input"), input.grad(&gradients).unwrap().into_data());
            reference.close_module(&key(""), &norm, |name| name.contains("running_"));
            reference.close_gradients(&key("grad."), norm.clone(), &gradients);
        }
        let evaluated = norm.freeze();
        check(&reference, &format!("{case}.eval"), |x| evaluated.forward(composed::nhwc(x), 1).to_nchw());
    }
}

#[test]
fn activations_pools_and_upsampling() {
    let reference = Reference::open("layers/simple");
    check(&reference, "leaky_relu", |x| Map::from_nchw(x).activated(0.2, None).to_nchw());
    check(&reference, "relu", |x| Map::from_nchw(x).activated(0.0, None).to_nchw());
    for case in ["max_pool_k2_s2", "max_pool_k2_s2_odd"] {
        check(&reference, case, |x| Map::from_nchw(x).max_pool(2, 2, 0).to_nchw());
    }
    for case in ["max_pool_k3_s2_p1", "max_pool_k3_s2_p1_odd"] {
        check(&reference, case, |x| Map::from_nchw(x).max_pool(3, 2, 1).to_nchw());
    }
    for case in ["upsample", "upsample_odd", "upsample_one_pixel", "upsample_row"] {
        check(&reference, case, |x| Map::from_nchw(x).upsample2().to_nchw());
    }
    check::<2>(&reference, "global_average", |x| global_average(&Map::from_nchw(x)));
}

#[test]
fn linear() {
    let reference = Reference::open("layers/simple");
    let mut linear = LinearConfig::new(6, 4).init(&device());
    reference.fill(&mut linear, "linear.", |name| name == "weight" || name == "bias");
    let input = reference.tensor::<2>("linear.input", &device()).require_grad();
    let output = linear.forward(input.clone());
    reference.close("linear.output", output.clone().into_data());
    let gradients = (output * reference.tensor("linear.upstream", &device())).sum().backward();
    reference.close("linear.grad.input", input.grad(&gradients).unwrap().into_data());
    reference.close_gradients("linear.grad.", linear, &gradients);
}

#[test]
fn the_conv_block() {
    let reference = Reference::open("layers/conv_block");
    for (case, channels) in [("even", [3, 4]), ("odd", [2, 3])] {
        let mut block = ConvBlock::new(channels[0], channels[1], &device()).with_dropout(0.0);
        reference.fill(&mut block, &format!("{case}."), |name| name.starts_with("conv"));
        let input = reference.tensor::<4>(&format!("{case}.input"), &device()).require_grad();
        let output = block.forward(&[&Map::from_nchw(input.clone())]).to_nchw();
        reference.close(&format!("{case}.output"), output.clone().into_data());
        let upstream = reference.tensor(&format!("{case}.upstream"), &device());
        let gradients = (output * upstream).sum().backward();
        reference.close(&format!("{case}.grad.input"), input.grad(&gradients).unwrap().into_data());
        reference.close_gradients(&format!("{case}.grad."), block, &gradients);
    }
}
