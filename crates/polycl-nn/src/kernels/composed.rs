//! The kernels' operations composed of burn's: for every device but the CPU, and the second
//! opinion that tests hold the kernels against. Maps are [B, C, H, W] here, as burn has them.

use burn::tensor::module::{conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use polycl_kernels::{Conv, Dropout, Over, Resample};

use super::backend::NormSpec;
use super::source::Source;

/// [B, H, W, C] → [B, C, H, W]
pub fn nchw(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// [B, C, H, W] → [B, H, W, C]
pub fn nhwc(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// The values that a source reads as, [B, C, H, W].
pub fn read(source: &Source) -> Tensor<4> {
    let spec = source.spec;
    let mut x = nchw(source.map.clone());
    if let Some(norm) = spec.norm {
        x = normalise(x, norm, source.moments.as_ref(), source.affine.as_ref());
    }
    if let Some(residual) = source.residual.as_ref().filter(|_| spec.residual) {
        x = x + nchw(residual.clone());
    }
    if spec.slope != 1.0 {
        x = burn::tensor::activation::leaky_relu(x, f64::from(spec.slope));
    }
    if let Some(dropout) = spec.dropout {
        x = x.clone() * mask(dropout, x.dims(), &x.device());
    }
    resample(x, spec.resample)
}

/// The convolution of sources one after the other along channels, [B, C_out, H', W'].
pub fn convolve(sources: &[&Source], weight: Tensor<4>, bias: Option<Tensor<1>>, conv: Conv) -> Tensor<4> {
    let mut maps: Vec<Tensor<4>> = sources.iter().map(|source| read(source)).collect();
    let x = if maps.len() == 1 { maps.remove(0) } else { Tensor::cat(maps, 1) };
    let options = ConvOptions::new([conv.stride; 2], [conv.padding; 2], [1, 1], 1);
    conv2d(x, weight, bias, options)
}

/// (x − μ) / √(σ² + ε) · weight + bias
fn normalise(
    x: Tensor<4>,
    norm: NormSpec,
    given: Option<&Tensor<3>>,
    affine: Option<&[Tensor<1>; 2]>,
) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let groups = if norm.fixed { 1 } else { norm.over.groups(b) };
    // [C, group, everything else] for statistics of channels.
    let x = x.swap_dims(0, 1).reshape([c, groups, b / groups * h * w]);
    let (centred, variance) = match given.filter(|_| norm.fixed) {
        Some(moments) => {
            let [mean, variance] =
                [0, 1].map(|i| moments.clone().narrow(1, i, 1).swap_dims(0, 2).swap_dims(1, 2));
            (x - mean, variance)
        }
        None => {
            let centred = x.clone() - x.mean_dim(2);
            (centred.clone(), centred.square().mean_dim(2))
        }
    };
    let mut x = (centred * (variance + norm.epsilon).sqrt().recip()).reshape([c, b, h, w]).swap_dims(0, 1);
    if let Some(affine) = affine.filter(|_| norm.affine) {
        let [weight, bias] = affine.clone().map(|values| values.reshape([1, c, 1, 1]));
        x = x * weight + bias;
    }
    x
}

/// Mean and biased variance of each channel of [B, C, H, W], [group, 2, C].
pub fn moments(x: Tensor<4>, over: Over) -> Tensor<3> {
    let [b, c, h, w] = x.dims();
    let groups = over.groups(b);
    let x = x.swap_dims(0, 1).reshape([c, groups, b / groups * h * w]);
    let mean = x.clone().mean_dim(2);
    let variance = (x - mean.clone()).square().mean_dim(2);
    Tensor::cat(vec![mean, variance], 2).permute([1, 2, 0])
}

/// The kernels' own mask on the CPU; elsewhere the device draws one, which is faster than bringing
/// it there.
fn mask(dropout: Dropout, [b, c, h, w]: [usize; 4], device: &Device) -> Tensor<4> {
    if *device == Device::flex() {
        let factors: Vec<f32> = (0..b * h * w * c).map(|i| dropout.factor(i as u64)).collect();
        return nchw(
            Tensor::from_data(TensorData::new(factors, [b, h, w, c]), &device.clone().inner())
                .to_device(device),
        );
    }
    let keep = 1.0 - f64::from(dropout.probability);
    Tensor::random([b, c, h, w], Distribution::Bernoulli(keep), device) / keep
}

fn resample(x: Tensor<4>, resample: Resample) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    match resample {
        Resample::No => x,
        Resample::MaxPool { size, stride, padding } => {
            max_pool2d(x, MaxPoolOptions::new([size; 2]).with_stride([stride; 2]).with_padding([padding; 2]))
        }
        Resample::Upsample2 => {
            let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                .with_align_corners(true)
                .with_output_size([2 * h, 2 * w]);
            interpolate(x, options)
        }
    }
}
