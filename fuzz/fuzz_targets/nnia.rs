//! Any bytes as an array of nnInteractive's clients are read or refused. The decoder is taken as a file: its crate brings
//! burn, and takes minutes.
#![no_main]

#[path = "../../crates/polycl-serve/src/nninteractive/blosc2.rs"]
mod blosc2;
#[path = "../../crates/polycl-serve/src/nninteractive/nnia.rs"]
#[expect(dead_code, reason = "arrays are written for clients alone")]
mod nnia;

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::proportionate;

/// Values that an array may have, and what reading it may take beside them.
const MOST: usize = 1 << 20;
const BUFFERS: usize = 16 << 20;

fuzz_target!(|bytes: &[u8]| {
    let array = proportionate(BUFFERS + 2 * 8 * MOST, || nnia::Array::read(bytes, MOST));
    if let Ok(array) = array {
        let count = array.shape.iter().product::<usize>();
        assert_eq!((array.numbers().len(), array.truths().len()), (count, count));
    }
});
