//! Any bytes, as a file and as the pickle in one, are read or refused.
#![no_main]
#![allow(dead_code, reason = "not all of the files is used here")]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::{Folder, proportionate};
use polycl_volume::archive;

// The reader's files alone: polycl-nn would bring burn along.
#[path = "../../crates/polycl-nn/src/weights/pickle.rs"]
mod pickle;
#[path = "../../crates/polycl-nn/src/weights/torch.rs"]
mod torch;
#[path = "../../crates/polycl-nn/tests/torch/zip.rs"]
mod zip;

/// As in `weights/mod.rs`.
pub struct RawTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("torch"));

/// What a pickle may hold at the worst, as `pickle.rs` says, and buffers.
const PICKLE: usize = 128 << 20;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Past the checksum of the zip file, with a storage that most views fit in.
    check(&zip::checkpoint(bytes, 1024));
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
