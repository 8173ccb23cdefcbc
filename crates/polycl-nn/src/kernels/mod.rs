//! The CPU kernels of `polycl-kernels` in burn: a backend extension, implemented for Flex
//! (`backend.rs`) and, with a backward pass, for Autodiff over it (`autodiff.rs`). What has no kernel
//! is composed of burn's own operations (`composed.rs`): every other device, other types than
//! float32, and shapes that [`serves`] turns away. Both ways give the same numbers.

mod autodiff;
mod backend;
pub mod composed;
mod source;
pub mod transformer;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor};
pub use polycl_kernels::{
    Adam as AdamStep, Conv, DiceLoss, Dropout, NO_TARGET, Over, Resample, instruction_set, keep_to,
};

use backend::Kernels;
pub use backend::{ConvSpec, NormSpec, SourceSpec};
pub use source::Source;

/// True if there are kernels for tensors such as this one.
pub fn serves<const D: usize>(x: &Tensor<D>) -> bool {
    // Equality of devices ignores autodiff.
    x.dtype() == DType::F32 && x.device() == Device::flex() && x.dims().iter().all(|&side| side > 0)
}

/// The values that a source reads as: [B, H, W, C] → the same, or as large as its resampling makes it.
pub fn read(source: &Source) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::read(source.tensors(), source.spec))
}

/// The convolution of one or two sources with weights [C_out, C_in, k, k] → [B, H', W', C_out].
pub fn convolve(sources: &[&Source], weight: Tensor<4>, bias: Option<Tensor<1>>, conv: Conv) -> Tensor<4> {
    let (first, second) = (sources[0], sources.get(1));
    let spec =
        ConvSpec { first: first.spec, second: second.map(|source| source.spec), conv, bias: bias.is_some() };
    let weight = weight.into_dispatch();
    let bias = bias.map_or_else(|| weight.clone(), Tensor::into_dispatch);
    let second = second.map_or_else(|| first.tensors(), |source| source.tensors());
    Tensor::from_dispatch(Dispatch::convolve(first.tensors(), second, weight, bias, spec))
}

/// Mean and biased variance of each channel of [B, H, W, C], [group, 2, C]; no gradient flows
/// through them.
pub fn moments(x: &Tensor<4>, over: Over) -> Tensor<3> {
    if serves(x) {
        return Tensor::from_dispatch(Dispatch::moments(x.clone().into_dispatch(), over));
    }
    composed::moments(composed::nchw(x.clone().detach()), over)
}

/// Soft Dice of one organ, with or without binary cross-entropy, of logits [B, 1, H, W] as `[1]`; each image has
/// its weight.
pub fn soft_dice(logits: Tensor<4>, target: Tensor<4>, weights: Tensor<1>, loss: DiceLoss) -> Tensor<1> {
    let (logits, target, weights) = (logits.into_dispatch(), target.into_dispatch(), weights.into_dispatch());
    Tensor::from_dispatch(Dispatch::soft_dice(logits, target, weights, loss))
}

/// One update of Adam: values, first and second moments after it.
pub fn adam(
    values: Tensor<1>,
    gradient: Tensor<1>,
    moments: [Tensor<1>; 2],
    step: AdamStep,
) -> [Tensor<1>; 3] {
    let [first, second] = moments.map(Tensor::into_dispatch);
    let updated = Dispatch::adam(values.into_dispatch(), gradient.into_dispatch(), first, second, step);
    [updated.0, updated.1, updated.2].map(Tensor::from_dispatch)
}
