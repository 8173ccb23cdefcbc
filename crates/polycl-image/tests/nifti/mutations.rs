//! Damaged files must be read or refused, never bring the program down. The fuzzer in `fuzz/`
//! goes further; these few thousand run with every test.

use std::path::Path;

use polycl_base::rng::{Purpose, rng};
use polycl_image::nifti::image_from_bytes;
use rand::RngExt;

use crate::builder::{Builder, gzip};

#[test]
fn mutated_files_do_not_panic() {
    let valid = Builder::new().bytes();
    let mut outcomes = [0; 2];
    for round in 0..8000 {
        let mut random = rng(1, Purpose::Phantom, [round, 0]);
        let mut bytes = valid.clone();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..bytes.len());
            bytes[at] =
                *[0, 1, 0x7f, 0x80, 0xff, random.random()].get(random.random_range(0..6)).unwrap_or(&0);
        }
        if round % 5 == 0 {
            bytes.truncate(random.random_range(0..bytes.len()));
        }
        let mut compressed = gzip(&bytes);
        if round % 2 == 0 {
            let at = random.random_range(0..compressed.len());
            compressed[at] = random.random();
        }
        for bytes in [bytes, compressed] {
            let result = image_from_bytes(&bytes, Path::new("mutated"));
            outcomes[usize::from(result.is_err())] += 1;
            if let Ok(image) = result {
                assert_eq!(image.voxels.len(), image.space.voxels());
                assert!(image.voxels.iter().all(|v| v.is_finite()));
            }
        }
    }
    assert!(outcomes.iter().all(|&n| n > 1000), "the mutations are too tame or too wild: {outcomes:?}");
}
