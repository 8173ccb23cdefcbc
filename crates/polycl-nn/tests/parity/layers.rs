use burn::module::Module;
use burn::nn::conv::Conv2dConfig;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::{Device, Tensor};
use polycl_nn::net::{BatchNorm2d, ConvBlock, instance_norm, upsample2};

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
        let output = conv.forward(input.clone());
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
        check(&reference, case, instance_norm);
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
            let output = norm.forward(input.clone());
            reference.close(&key("output"), output.clone().into_data());
            let gradients = (output * reference.tensor(&key("upstream"), &device())).sum().backward();
            reference.close(&key("grad.input"), input.grad(&gradients).unwrap().into_data());
            reference.close_module(&key(""), &norm, |name| name.contains("running_"));
            reference.close_gradients(&key("grad."), norm.clone(), &gradients);
        }
        let evaluated = norm.freeze();
        check(&reference, &format!("{case}.eval"), |x| evaluated.forward(x));
    }
}

#[test]
fn activations_pools_and_upsampling() {
    let reference = Reference::open("layers/simple");
    check(&reference, "leaky_relu", |x| leaky_relu(x, 0.2));
    check(&reference, "relu", relu);
    for case in ["max_pool_k2_s2", "max_pool_k2_s2_odd"] {
        check(&reference, case, |x| MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init().forward(x));
    }
    for case in ["max_pool_k3_s2_p1", "max_pool_k3_s2_p1_odd"] {
        let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
        let pool = MaxPool2dConfig::new([3, 3]).with_strides([2, 2]).with_padding(padding).init();
        check(&reference, case, |x| pool.forward(x));
    }
    for case in ["upsample", "upsample_odd", "upsample_one_pixel", "upsample_row"] {
        check(&reference, case, upsample2);
    }
    check::<2>(&reference, "global_average", polycl_nn::net::global_average);
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
        let mut block = ConvBlock::new(channels[0], channels[1], &device()).without_dropout();
        reference.fill(&mut block, &format!("{case}."), |name| name.starts_with("conv"));
        let input = reference.tensor::<4>(&format!("{case}.input"), &device()).require_grad();
        let output = block.forward(input.clone());
        reference.close(&format!("{case}.output"), output.clone().into_data());
        let upstream = reference.tensor(&format!("{case}.upstream"), &device());
        let gradients = (output * upstream).sum().backward();
        reference.close(&format!("{case}.grad.input"), input.grad(&gradients).unwrap().into_data());
        reference.close_gradients(&format!("{case}.grad."), block, &gradients);
    }
}
