//! Any bytes, as a file and as the header of one, are read or refused.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::{Folder, proportionate};

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("safetensors"));

fuzz_target!(|bytes: &[u8]| {
    // What begins as a zip file is the target torch's.
    if !bytes.starts_with(b"PK\x03\x04") {
        check(bytes);
    }
    // Past the length of the header, with numbers behind it that most offsets fit.
    let numbers = bytes.len() / 4 * 4;
    check(&[&(bytes.len() as u64).to_le_bytes(), bytes, &vec![0; numbers]].concat());
});

fn check(bytes: &[u8]) {
    let file = FOLDER.write("weights.safetensors", bytes);
    // The library's own tables take a few hundred bytes for every tensor, which a file needs 60 for.
    let Ok(tensors) = proportionate((1 << 20) + 40 * bytes.len(), || polycl_weights::read(&file)) else {
        return;
    };
    for tensor in tensors.values() {
        assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
    }
    // What a checkpoint reads beside its tensors.
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).expect("what was read has a header");
    if let Some(state) = metadata.metadata().as_ref().and_then(|entries| entries.get("polycl")) {
        let _ = serde_json::from_str::<serde_json::Value>(state);
    }
}
