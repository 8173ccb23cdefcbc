//! Any bytes as an array of nnInteractive's clients are read or refused, within the memory of the array.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::proportionate;
use polycl_serve::nnia::Array;

/// Values that an array may have, and the memory that reading it may take beside them.
const MOST: usize = 1 << 20;
const BUFFERS: usize = 16 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = proportionate(BUFFERS + 2 * 8 * MOST, || Array::read(bytes, MOST)) {
        let count = array.shape.iter().product::<usize>();
        assert_eq!((array.numbers().len(), array.truths().len()), (count, count));
    }
});
