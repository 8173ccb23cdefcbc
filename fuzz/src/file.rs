use std::path::Path;

use polycl_image::files::{Format, image_from_bytes, notes, read_image, read_mask, read_space};
use polycl_image::orient::{Reorientation, orientation_code};

use crate::{Folder, proportionate};

/// Deflate packs a thousand times, a byte may become a voxel of four, and room is taken for eight times what
/// has been unpacked; a file that is not packed may become ten times as large, and text a little more.
const UNPACKED: usize = 40_000;
const BUFFERS: usize = 8 << 20;

/// Reads a file in every way there is.
///
/// # Panics
/// Where a reader does, takes more memory than it should, or reads what makes no sense.
pub fn check_file(folder: &Folder, format: Format, ending: &str, bytes: &[u8]) {
    let most = BUFFERS + UNPACKED * bytes.len();
    let from_memory = proportionate(most, || image_from_bytes(format, bytes, Path::new("fuzzed")));
    let file = folder.write(&format!("read.{ending}"), bytes);
    let _ = proportionate(most, || read_mask(&file));
    let space = proportionate(most, || read_space(&file));
    let _ = proportionate(most, || notes(&file));
    let from_file = proportionate(most, || read_image(&file));
    let Ok(image) = from_memory else { return };
    assert_eq!(image.voxels.len(), image.space.voxels());
    assert!(image.voxels.iter().all(|voxel| voxel.is_finite()));
    assert!(image.space.spacing().iter().all(|s| *s > 0.0));
    assert_eq!(orientation_code(&image.space).len(), 3);
    assert_eq!(from_file.expect("a file is read as its bytes are").space, image.space);
    assert_eq!(space.expect("what is read has a place"), image.space);
    if image.voxels.len() < 1 << 16 {
        let canonical = Reorientation::to_canonical(&image.space).apply(&image);
        assert_eq!(canonical.voxels.len(), image.voxels.len());
    }
}
