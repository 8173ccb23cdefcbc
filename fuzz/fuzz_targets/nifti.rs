//! Any bytes, as they are and compressed, are read or refused; what is read can be written again.
#![no_main]

use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use polycl_fuzz::{Folder, proportionate};
use polycl_image::nifti::{image_from_bytes, read_image, read_mask, write_image};
use polycl_image::orient::{Reorientation, orientation_code};

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("nifti"));

/// Deflate packs a thousand times, a byte of which may become a voxel of four; the rest is buffers.
const UNPACKED: usize = 5000;
const BUFFERS: usize = 4 << 20;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(bytes).expect("memory takes all");
    check(&gzip.finish().expect("memory takes all"));
});

fn check(bytes: &[u8]) {
    let most = BUFFERS + bytes.len() * if bytes.starts_with(&[0x1f, 0x8b]) { UNPACKED } else { 5 };
    let Ok(image) = proportionate(most, || image_from_bytes(bytes, Path::new("fuzzed"))) else { return };
    assert_eq!(image.voxels.len(), image.space.voxels());
    assert!(image.space.spacing().iter().all(|s| *s > 0.0));
    assert_eq!(orientation_code(&image.space).len(), 3);
    if image.voxels.len() > 1 << 16 {
        return;
    }
    let canonical = Reorientation::to_canonical(&image.space).apply(&image);
    assert_eq!(canonical.voxels.len(), image.voxels.len());
    let file = FOLDER.write("read.nii", bytes);
    let _ = proportionate(most, || read_mask(&file));
    let again = FOLDER.at("written.nii");
    if write_image(&again, &image).is_ok() {
        let read = read_image(&again).expect("what was written is read");
        assert_eq!(read.space, image.space, "in the same place");
        assert!(read.voxels.iter().zip(&image.voxels).all(|(a, b)| a == b), "the same voxels");
    }
}
