//! Features of a slice: the numbers that an encoder makes of it.

use burn::tensor::{Device, Tensor, TensorData};
use polycl_base::Result;

use crate::net::Encoder;
use crate::net::readout::floats;

/// The last `maps` maps of an encoder for each of some slices [size, size], each as means over `cells` by `cells` parts: the
/// mean over a whole map that is instance-normalised hardly tells slices apart.
///
/// # Errors
/// As reading a tensor.
pub fn of_encoder(
    encoder: &Encoder,
    images: &[Vec<f32>],
    size: usize,
    (maps, cells): (usize, usize),
    device: &Device,
) -> Result<Vec<Vec<f32>>> {
    let data = TensorData::new(images.concat(), [images.len(), 1, size, size]);
    let mut features = vec![Vec::new(); images.len()];
    let all = encoder.features(Tensor::from_data(data, device));
    for map in &all[all.len() - maps..] {
        let map = map.read();
        let [batch, height, width, channels] = map.dims();
        debug_assert_eq!((batch, height), (images.len(), width));
        let values = floats(map)?;
        for (features, map) in features.iter_mut().zip(values.chunks_exact(height * width * channels)) {
            features.extend(averaged(map, channels, cells));
        }
    }
    Ok(features)
}

/// A square map [side, side, channels] as means over `cells` by `cells` equal parts; a pixel that several of
/// them share counts in each.
pub fn averaged(map: &[f32], channels: usize, cells: usize) -> Vec<f32> {
    let side = (map.len() / channels).isqrt();
    let part = |cell: usize| cell * side / cells..((cell + 1) * side).div_ceil(cells);
    let mut means = vec![0.0; cells * cells * channels];
    for (cell, means) in means.chunks_exact_mut(channels).enumerate() {
        let (rows, columns) = (part(cell / cells), part(cell % cells));
        let share = 1.0 / (rows.len() * columns.len()) as f32;
        for pixel in rows.flat_map(|y| columns.clone().map(move |x| y * side + x)) {
            for (mean, value) in means.iter_mut().zip(&map[pixel * channels..]) {
                *mean += share * value;
            }
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_averaged_in_place_and_by_channel() {
        // Four by four pixels of two channels: the pixel's number, and its negative.
        let map: Vec<f32> = (0..16).flat_map(|i| [i as f32, -(i as f32)]).collect();
        assert_eq!(averaged(&map, 2, 2), [2.5, -2.5, 4.5, -4.5, 10.5, -10.5, 12.5, -12.5]);
        assert_eq!(averaged(&map, 2, 4), map);
        // A map smaller than the grid is repeated, three in two parts overlap.
        assert_eq!(averaged(&[1.0], 1, 2), [1.0; 4]);
        let three: Vec<f32> = (0..9).map(|i| i as f32).collect();
        assert_eq!(averaged(&three, 1, 2), [2.0, 3.0, 5.0, 6.0]);
    }
}
