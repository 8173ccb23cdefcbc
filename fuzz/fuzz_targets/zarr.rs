//! A small data set in which one file is replaced by any bytes: opened, and every slice read, or refused.
#![no_main]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use glam::{DAffine3, DVec3};
use libfuzzer_sys::fuzz_target;
use polycl_data::{Dataset, Import, pairs};
use polycl_fuzz::{Folder, proportionate};
use polycl_image::preprocess::Preprocess;
use polycl_image::{Space, Volume, nifti};

const SLICES: usize = 3;
/// Bytes of the table of slices at the end of a file of them.
const INDEX: usize = 16 * SLICES;

/// What is replaced, by the first byte of an input.
const FILES: [&str; 7] = [
    "index.json",
    "slices.zarr/a/image/zarr.json",
    "slices.zarr/a/mask/zarr.json",
    "slices.zarr/a/image/c/0/0/0",
    "slices.zarr/a/mask/c/0/0/0",
    // With the checksums that no damage has by chance.
    "slices.zarr/a/image/c/0/0/0",
    "slices.zarr/a/mask/c/0/0/0",
];

struct Sound {
    folder: Folder,
    path: PathBuf,
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let folder = Folder::new("zarr");
    let space = Space::new([32, 32, SLICES], DAffine3::from_scale(DVec3::new(-1.0, -1.0, 3.0)));
    let hu = (0..space.voxels()).map(|at| (at % 400) as f32 - 160.0).collect();
    let organ = (0..space.voxels()).map(|at| u16::from(at % 7 == 0)).collect();
    nifti::write_image(&folder.at("images/a.nii"), &Volume { space: space.clone(), voxels: hu })
        .expect("room");
    nifti::write_mask(&folder.at("labels/a.nii"), &Volume { space, voxels: organ }).expect("room");
    folder.write("labels/labels.json", br#"{"1": "liver"}"#);
    let found = pairs::from_folders(&folder.at("images"), Some(&folder.at("labels")), None);
    let preprocess = Preprocess { size: 32, ..Preprocess::default() };
    let (pairs, _) = found.expect("a pair");
    let import = Import { pairs, ranges: None, drawn: None, only: BTreeSet::new(), preprocess };
    let path = folder.at("dataset");
    import.import(&path, false, &()).expect("a data set");
    if let Some(corpus) = std::env::var_os("POLYCL_SEEDS") {
        seeds(&folder, Path::new(&corpus)).expect("room for seeds");
    }
    Sound { folder, path }
});

/// The files of the data set as inputs.
fn seeds(folder: &Folder, corpus: &Path) -> std::io::Result<()> {
    for (kind, name) in FILES.iter().enumerate() {
        let mut content = std::fs::read(folder.at(&format!("dataset/{name}")))?;
        match kind {
            // The first slice without its checksum, and all but the checksum of the table.
            5 => {
                let table = content.len() - INDEX - 4;
                let first = u64::from_le_bytes(content[table + 8..][..8].try_into().expect("eight bytes"));
                content.truncate(first as usize - 4);
            }
            6 => content.truncate(content.len() - 4),
            _ => {}
        }
        std::fs::write(corpus.join(format!("seed-{kind}")), [&[kind as u8], &content[..]].concat())?;
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let kind = usize::from(*kind) % FILES.len();
    let content = match kind {
        5 => one_slice(bytes),
        6 => with_table(bytes),
        _ => bytes.to_vec(),
    };
    let name = format!("dataset/{}", FILES[kind]);
    let before = std::fs::read(SOUND.folder.at(&name)).expect("a file of the data set");
    SOUND.folder.write(&name, &content);
    proportionate((2 << 20) + 1000 * content.len(), read);
    SOUND.folder.write(&name, &before);
});

fn read() {
    let Ok(dataset) = Dataset::open(&SOUND.path) else { return };
    for (number, scan) in dataset.index.scans.iter().enumerate() {
        for slice in 0..scan.slices {
            if let Ok(image) = dataset.image(number, slice) {
                assert_eq!(image.len(), dataset.index.preprocess.size.pow(2));
            }
            if let Ok(mask) = dataset.mask(number, slice) {
                assert_eq!(mask.len(), dataset.index.preprocess.size.pow(2));
            }
            let _ =
                (scan.shows("liver", slice), scan.confidence("liver", slice), scan.by_hand("liver", slice));
        }
    }
    let _ = dataset.index.fingerprint();
}

/// A file whose first slice is these bytes; the others are not stored.
fn one_slice(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    file.extend(crc32c::crc32c(bytes).to_le_bytes());
    let mut table = [u64::MAX; 2 * SLICES];
    (table[0], table[1]) = (0, file.len() as u64);
    let table: Vec<u8> = table.iter().flat_map(|number| number.to_le_bytes()).collect();
    let checksum = crc32c::crc32c(&table);
    file.extend(table);
    file.extend(checksum.to_le_bytes());
    file
}

/// A file that begins with slices and ends with the table of them, whose checksum is right.
fn with_table(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    file.resize(bytes.len().max(INDEX), 0);
    let checksum = crc32c::crc32c(&file[file.len() - INDEX..]);
    file.extend(checksum.to_le_bytes());
    file
}
