//! A DICOM segmentation of any bytes: its segments are listed, and drawn on the grid of its frames or refused.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::{Folder, proportionate};
use polycl_image::dicom::structures::Structures;
use polycl_image::files::Reading;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("seg"));

/// A header that is deflated is a thousand times longer, and pixels may be, too.
const UNPACKED: usize = 20_000;
const BUFFERS: usize = 16 << 20;
/// Larger grids are the caller's memory, not that of the file.
const VOXELS: usize = 1 << 22;

fuzz_target!(|bytes: &[u8]| {
    let file = FOLDER.write("seg", bytes);
    proportionate(BUFFERS + UNPACKED * bytes.len(), || read(&file));
});

fn read(file: &Path) {
    let Ok(Some(object)) = Structures::open(file) else { return };
    let names = object.names();
    assert_eq!(names.len(), object.list.len());
    let Ok(space) = object.space() else { return };
    if space.voxels() > VOXELS {
        return;
    }
    let fits = object.check(&space, &names);
    if let Ok(drawn) = object.mask(&space, &names, Reading::default()) {
        fits.expect("frames that are drawn lie on slices");
        assert_eq!(drawn.mask.voxels.len(), space.voxels());
        assert!(drawn.mask.voxels.iter().all(|value| *value == 0 || names.contains_key(value)));
    }
}
