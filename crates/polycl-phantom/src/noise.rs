//! Noise and Gaussian smoothing of planes, for the scanner's detector and kernel.

/// A nearly normal number of mean 0 and variance 1, from 64 random bits (a sum of four uniforms).
pub fn bell(bits: u64) -> f32 {
    let sum: u64 = (0..4).map(|word| bits >> (16 * word) & 0xffff).sum();
    3f32.sqrt() * (sum as f32 / 65536.0 - 2.0)
}

pub fn deviation(values: &[f32]) -> f32 {
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt().max(f32::MIN_POSITIVE)
}

/// Smooths a square plane with a Gaussian of `sigma` pixels.
pub fn blur_plane(plane: &mut [f32], size: usize, sigma: f32) {
    for row in 0..size {
        blur(plane, row * size, 1, size, sigma);
    }
    for column in 0..size {
        blur(plane, column, size, size, sigma);
    }
}

/// Smooths one line: `length` values from `start`, `step` apart. Beyond its ends the line goes on
/// with its last value.
pub fn blur(values: &mut [f32], start: usize, step: usize, length: usize, sigma: f32) {
    let reach = (3.0 * sigma).ceil() as isize;
    let weight = |offset: isize| (-0.5 * (offset as f32 / sigma).powi(2)).exp();
    let weights: Vec<f32> = (-reach..=reach).map(weight).collect();
    let total: f32 = weights.iter().sum();
    let line: Vec<f32> = (0..length).map(|i| values[start + i * step]).collect();
    for i in 0..length {
        let at = |w: usize| (i as isize + w as isize - reach).clamp(0, length as isize - 1) as usize;
        let sum: f32 = weights.iter().enumerate().map(|(w, weight)| weight * line[at(w)]).sum();
        values[start + i * step] = sum / total;
    }
}
