//! Positions as numbers: sines for pixels and for time, turns for attention.

use std::f64::consts::TAU;

const TEMPERATURE: f64 = 10_000.0;

/// Sines and cosines of a pixel's row and column, [side², channels]: the first half of the channels is
/// about the row (Carion et al. 2020, `PositionEmbeddingSine`, normalised).
pub fn of_pixels(side: usize, channels: usize) -> Vec<f32> {
    let half = channels / 2;
    let place = |i: usize| (i as f64 + 1.0) / (side as f64 + 1e-6) * TAU;
    let encoding = |at: f64| {
        (0..half).map(move |c| {
            let angle = at / TEMPERATURE.powf((2 * (c / 2)) as f64 / half as f64);
            (if c % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
        })
    };
    let pixels = (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
    pixels.flat_map(|(y, x)| encoding(place(y)).chain(encoding(place(x)))).collect()
}

/// Sines, then cosines, of a number: `get_1d_sine_pe`.
pub fn of_number(at: f32, channels: usize) -> Vec<f32> {
    let half = channels / 2;
    let angle = |c: usize| f64::from(at) / TEMPERATURE.powf((2 * (c / 2)) as f64 / half as f64);
    (0..half).map(|c| angle(c).sin() as f32).chain((0..half).map(|c| angle(c).cos() as f32)).collect()
}

/// Cosines and sines of the angles by which attention turns pixels, [side², channels / 2] each: the first
/// half is about the column (Su et al. 2021; axial as in Heo et al. 2024).
pub fn turns(side: usize, channels: usize) -> [Vec<f32>; 2] {
    let quarter = channels / 4;
    let angle = |place: usize, c: usize| place as f64 / TEMPERATURE.powf((4 * c) as f64 / channels as f64);
    let pixels = (0..side).flat_map(|y| (0..side).map(move |x| [x, y]));
    let angles: Vec<f64> =
        pixels.flat_map(|xy| xy.into_iter().flat_map(|p| (0..quarter).map(move |c| angle(p, c)))).collect();
    [angles.iter().map(|a| a.cos() as f32).collect(), angles.iter().map(|a| a.sin() as f32).collect()]
}

/// For rows of weights whose products are pairs of real and imaginary part: all real parts before all
/// imaginary ones. Attention does not change if queries and keys are put in another order alike.
pub fn unpaired(values: &[f32], rows: usize) -> Vec<f32> {
    let row = values.len() / rows;
    let order = (0..rows).step_by(2).chain((1..rows).step_by(2));
    order.flat_map(|r| &values[r * row..][..row]).copied().collect()
}
