//! Values and classes that a network's output holds.

use burn::tensor::Tensor;
use polycl_base::{Error, Kind, Result, Subject};

/// The class of a pixel: one organ where its probability exceeds ½, else the likeliest class (the
/// first of equals).
pub(crate) fn decide(channels: usize, probability: impl Fn(usize) -> f32) -> u8 {
    if channels == 1 {
        return u8::from(probability(0) > 0.5);
    }
    let better =
        |best: usize, class: usize| if probability(class) > probability(best) { class } else { best };
    (1..channels).fold(0, better) as u8
}

/// The class of every pixel of probabilities [B, C, H, W], as [B · H · W].
pub(crate) fn classes(probabilities: Tensor<4>) -> Result<Vec<u8>> {
    let [batch, channels, height, width] = probabilities.dims();
    let (values, pixels) = (floats(probabilities)?, height * width);
    let class = |i: usize| {
        let first = i / pixels * channels * pixels + i % pixels;
        decide(channels, |channel| values[first + channel * pixels])
    };
    Ok((0..batch * pixels).map(class).collect())
}

pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let wrong =
        |found: String| Error::new(Subject::Work("network"), Kind::Checkpoint, "float32 output", found);
    tensor.into_data().try_into_vec::<f32>().map_err(|e| wrong(format!("{e:?}")))
}
