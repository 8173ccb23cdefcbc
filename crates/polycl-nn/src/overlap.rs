//! How much two masks have in common.

/// Dice of two masks, pixel by pixel; 1 where nothing is in either.
pub fn dice(pairs: impl Iterator<Item = (bool, bool)>) -> f64 {
    let (both, sum) = pairs.fold((0u32, 0u32), |(both, sum), (a, b)| {
        (both + u32::from(a && b), sum + u32::from(a) + u32::from(b))
    });
    if sum == 0 { 1.0 } else { 2.0 * f64::from(both) / f64::from(sum) }
}
