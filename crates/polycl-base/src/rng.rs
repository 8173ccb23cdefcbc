//! One counter-based generator for everything random. A draw depends on the seed, its purpose and
//! its counters alone, never on how many draws came before it or on which thread it runs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The purpose of a stream of random numbers; two purposes never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    Phantom = 1,
    Split = 2,
    Bootstrap = 3,
    Triplet = 4,
    Shuffle = 5,
    Augment = 6,
    Weights = 7,
    Dropout = 8,
    Degrade = 9,
    View = 10,
    Mask = 11,
    Flip = 12,
}

/// A generator for `purpose` under `seed`, at the counters `at` (an epoch and an anchor, say).
pub fn rng(seed: u64, purpose: Purpose, at: [u64; 2]) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    let words = [seed, purpose as u64, at[0], at[1]];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
