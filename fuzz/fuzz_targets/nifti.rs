//! Any bytes, as they are and compressed, are read or refused. Run, with the small reference
//! files as seeds:
//!
//!     cargo +nightly fuzz run nifti fuzz/corpus/nifti crates/polycl-volume/tests/reference/nifti
#![no_main]

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use polycl_volume::nifti::image_from_bytes;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(bytes).expect("memory takes all");
    check(&gzip.finish().expect("memory takes all"));
});

fn check(bytes: &[u8]) {
    if let Ok(image) = image_from_bytes(bytes, Path::new("fuzzed")) {
        assert_eq!(image.voxels.len(), image.space.voxels());
        assert!(image.space.spacing().iter().all(|s| *s > 0.0));
    }
}
