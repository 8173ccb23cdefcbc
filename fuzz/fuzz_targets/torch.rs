//! Any bytes, as a file and as the pickle in one, are read or refused.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polycl_fixtures::zip::checkpoint;
use polycl_fuzz::{Folder, proportionate};
use polycl_weights::torch;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("torch"));

/// The most that a pickle may hold, as `pickle.rs` says, and buffers.
const PICKLE: usize = 128 << 20;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Past the checksum of the zip file, with a storage that most views fit in.
    check(&checkpoint(bytes, 1024));
});

fn check(bytes: &[u8]) {
    let file = FOLDER.write("weights.pth", bytes);
    if let Ok(tensors) = proportionate(PICKLE + 8 * bytes.len(), || torch::read(&file)) {
        let values: usize = tensors.values().map(|tensor| tensor.values.len()).sum();
        assert!(values <= bytes.len().max(1 << 16));
        for tensor in tensors.values() {
            assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
        }
    }
}
