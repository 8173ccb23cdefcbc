//! Values and classes that a network's output holds.

use burn::tensor::Tensor;
use polycl_base::{Error, Kind, Result, Subject};

/// The class of a pixel: one organ where its probability exceeds ½, else the likeliest class (the
/// first of equals). Of regions that overlap the last whose probability exceeds ½, for nnU-Net paints each
/// over those before it; 0 is none of them.
pub(crate) fn decide(channels: usize, overlap: bool, probability: impl Fn(usize) -> f32) -> u8 {
    if channels == 1 || overlap {
        let last = (0..channels).rev().find(|&channel| probability(channel) > 0.5);
        return last.map_or(0, |channel| channel as u8 + 1);
    }
    let better =
        |best: usize, class: usize| if probability(class) > probability(best) { class } else { best };
    (1..channels).fold(0, better) as u8
}

pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let wrong =
        |found: String| Error::new(Subject::Work("network"), Kind::Checkpoint, "float32 output", found);
    tensor.into_data().try_into_vec::<f32>().map_err(|e| wrong(format!("{e:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `LabelManager.convert_probabilities_to_segmentation` of nnU-Net: `seg[p[i] > 0.5] = order[i]` for each region in turn.
    #[test]
    fn regions_are_painted_over_those_before_them() {
        for code in 0..27 {
            let p = [code / 9, code / 3 % 3, code % 3].map(|level| [0.2, 0.5, 0.9][level]);
            let mut painted = 0;
            for (region, _) in (1..).zip(p).filter(|(_, p)| *p > 0.5) {
                painted = region;
            }
            assert_eq!(decide(3, true, |channel| p[channel]), painted, "{p:?}");
        }
        assert_eq!(decide(1, false, |_| 0.5), 0);
        assert_eq!(decide(3, false, |channel| [0.2, 0.4, 0.4][channel]), 1);
    }
}
