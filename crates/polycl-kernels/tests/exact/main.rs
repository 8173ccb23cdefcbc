//! Every kernel against the same mathematics in float64, written as plainly as it can be.

mod bits;
mod convolution;
mod elementwise;
mod fused;
mod naive;
mod transformer;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Largest error allowed, as a part of the largest reference value.
const TOLERANCE: f64 = 1e-5;

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in −1..1.
    fn value(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }

    /// One of `choices`.
    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.next_u32() as usize % choices.len()]
    }
}

/// Compares and returns the largest difference relative to the largest expected value.
#[track_caller]
fn close(what: &str, actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-30, |largest: f64, value| largest.max(value.abs()));
    let differences = actual.iter().zip(expected).map(|(&a, &e)| (f64::from(a) - e).abs() / largest);
    // A NaN counts as the largest difference there is.
    let difference =
        differences.fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) });
    assert!(difference <= TOLERANCE, "{what}: {difference:.2e} > {TOLERANCE:.0e}");
    difference
}
