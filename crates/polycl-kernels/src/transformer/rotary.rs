use rayon::prelude::*;

/// Rows of complex numbers, real parts first, times numbers of length one: x of [rows, C] by `cosines`
/// and `sines` of [M, C / 2]. Row r is turned by row r modulo M; rows from `turned` on stay as they are.
pub fn rotate(x: &[f32], channels: usize, cosines: &[f32], sines: &[f32], turned: usize) -> Vec<f32> {
    let half = channels / 2;
    assert!(half > 0 && channels.is_multiple_of(2) && x.len().is_multiple_of(channels));
    assert!(cosines.len() == sines.len() && cosines.len().is_multiple_of(half) && !cosines.is_empty());
    let angles = cosines.len() / half;
    let mut y = x.to_vec();
    y.par_chunks_exact_mut(channels).take(turned).enumerate().for_each(|(i, row)| {
        let angle = i % angles * half;
        let (cosines, sines) = (&cosines[angle..][..half], &sines[angle..][..half]);
        let (re, im) = row.split_at_mut(half);
        for (((re, im), cos), sin) in re.iter_mut().zip(im).zip(cosines).zip(sines) {
            (*re, *im) = (*re * cos - *im * sin, *re * sin + *im * cos);
        }
    });
    y
}
