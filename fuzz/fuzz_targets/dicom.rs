//! A folder of one or two files of any bytes: its series are found, and read or refused.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::{Folder, proportionate};
use polycl_image::dicom::{choose, find};

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("dicom"));

/// A header that is deflated is a thousand times longer, and pixels may be, too.
const UNPACKED: usize = 20_000;
const BUFFERS: usize = 16 << 20;

fuzz_target!(|bytes: &[u8]| {
    // The first two bytes are the length of the first file.
    let Some((length, bytes)) = bytes.split_first_chunk() else { return };
    let (first, second) = bytes.split_at(usize::from(u16::from_le_bytes(*length)).min(bytes.len()));
    FOLDER.write("series/1", first);
    FOLDER.write("series/2", second);
    proportionate(BUFFERS + UNPACKED * bytes.len(), read);
});

fn read() {
    let folder = FOLDER.at("series/1");
    let folder = folder.parent().expect("it is in a folder");
    let found = find(folder).expect("a folder that is there is listed");
    let _ = choose(&found, folder, None);
    for series in &found.series {
        let _ = (series.slices(), series.notes(), series.header());
        let (space, instances) = (series.space(), series.instances());
        if let Ok(image) = series.read() {
            assert_eq!(image.voxels.len(), image.space.voxels());
            assert!(image.voxels.iter().all(|voxel| voxel.is_finite()));
            assert_eq!(space.expect("what is read has a place"), image.space);
            assert_eq!(instances.len(), image.space.shape[2]);
        }
    }
}
