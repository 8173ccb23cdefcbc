//! An RTSTRUCT of any bytes: its ROIs are listed, and drawn on a small scan or refused, with gaps filled and without.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use glam::{DAffine3, DVec3};
use libfuzzer_sys::fuzz_target;
use polycl_fuzz::{Folder, proportionate};
use polycl_image::Space;
use polycl_image::dicom::structures::{Storage, Structures};
use polycl_image::files::Reading;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("contours"));

/// A data set that is deflated is a thousand times longer.
const UNPACKED: usize = 20_000;
const BUFFERS: usize = 16 << 20;

fuzz_target!(|bytes: &[u8]| {
    let file = FOLDER.write("contours", bytes);
    proportionate(BUFFERS + UNPACKED * bytes.len(), || read(&file));
});

fn read(file: &Path) {
    let Ok(Some(object)) = Structures::open(file) else { return };
    if object.storage != Storage::Contours {
        return;
    }
    let names = object.names();
    assert_eq!(names.len(), object.list.len());
    // Where the contours of the seeds lie.
    let axes = DVec3::new(-1.0, -1.0, 2.0);
    let space = Space::new(
        [32, 32, 8],
        DAffine3::from_scale_rotation_translation(axes, Default::default(), DVec3::ZERO),
    );
    for fill_gaps in [false, true] {
        if let Ok(drawn) = object.mask(&space, &names, Reading { fill_gaps, ..Reading::default() }) {
            assert_eq!(drawn.mask.voxels.len(), space.voxels());
            assert!(drawn.mask.voxels.iter().all(|value| *value == 0 || names.contains_key(value)));
            assert!(drawn.mask.voxels.iter().any(|value| *value > 0), "nothing, in silence");
        }
    }
}
