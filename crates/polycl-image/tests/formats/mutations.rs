//! Damaged files must be read or refused, never bring the program down.

use polycl_base::rng::{Purpose, rng};
use polycl_image::files::{Format, image_from_bytes};
use rand::RngExt;

use crate::golden::expected;
use crate::reference;

#[test]
fn mutated_files_do_not_panic() {
    let mut outcomes = [0; 2];
    for (number, name) in expected().into_keys().enumerate() {
        let path = reference().join(&name);
        let format = Format::of(&path).unwrap();
        let valid = std::fs::read(&path).unwrap();
        for round in 0..100 {
            let mut random = rng(1, Purpose::Phantom, [number as u64, round]);
            let mut bytes = valid.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len().min(1000));
                bytes[at] = *[b' ', b'9', b'-', 0, 0xff, random.random()]
                    .get(random.random_range(0..6))
                    .unwrap_or(&0);
            }
            if round % 5 == 0 {
                bytes.truncate(random.random_range(0..bytes.len()));
            }
            let result = image_from_bytes(format, &bytes, &path);
            outcomes[usize::from(result.is_err())] += 1;
            if let Ok(image) = result {
                assert_eq!(image.voxels.len(), image.space.voxels(), "{name}");
                assert!(image.voxels.iter().all(|v| v.is_finite()), "{name}");
                assert!(image.space.world_from_voxel.is_finite(), "{name}");
            }
        }
    }
    assert!(outcomes.iter().all(|&n| n > 500), "the mutations are too tame or too wild: {outcomes:?}");
}
