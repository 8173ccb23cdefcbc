//! Tables and names that people write: any text, as each of the files that the first byte chooses from.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polycl_data::{DrawnSlices, Ranges, Records, Salt, pairs};
use polycl_fuzz::{Folder, proportionate};
use polycl_image::legend::Legend;
use polycl_image::names;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new("csv");
    folder.write("images/a.nii.gz", b"");
    folder.write("labels/a.nii.gz", b"");
    folder.write("labels.json", br#"{"1": "liver"}"#);
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    proportionate((4 << 20) + 600 * bytes.len(), || check(kind % 8, bytes));
});

fn check(kind: u8, bytes: &[u8]) {
    match kind {
        0 => drop(Ranges::read(&FOLDER.write("ranges.csv", bytes))),
        1 if leaves_the_folder(bytes) => {}
        1 => {
            if let Ok(pairs) = pairs::from_manifest(
                &FOLDER.write("manifest.csv", bytes),
                None,
                &Salt::at(&FOLDER.at("salt")),
            ) {
                assert!(pairs.windows(2).all(|two| two[0].case < two[1].case));
                assert!(pairs.iter().all(|pair| !pair.case.contains('/') && !pair.case.starts_with("..")));
            }
        }
        2 => sound(names::read(&FOLDER.write("names.csv", bytes))),
        3 => sound(names::read(&FOLDER.write("names.json", bytes))),
        4 => maker("propagate.csv", bytes),
        5 => maker("refine.csv", bytes),
        6 => drop(DrawnSlices::read(&FOLDER.write("drawn.csv", bytes))),
        _ => maker("polycl.json", bytes),
    }
}

/// Whether a path of a manifest may lie outside the target's folder: the machine's own folders would be searched for
/// DICOM, which takes the time and memory of what lies there.
fn leaves_the_folder(bytes: &[u8]) -> bool {
    let separator = |byte: u8| [b'/', b'\\'].contains(&byte);
    let in_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let absolute = |two: &[u8]| separator(two[1]) && !in_a_name(two[0]);
    bytes.first().is_some_and(|byte| separator(*byte))
        || bytes.windows(2).any(|two| two == b".." || absolute(two))
}

fn sound(legend: polycl_base::Result<Legend>) {
    if let Ok(legend) = legend {
        let names = legend.all();
        assert!(!names.is_empty() && !names.contains_key(&0) && names.values().all(|name| !name.is_empty()));
    }
}

/// Asks who drew a mask that lies beside a record.
fn maker(record: &str, bytes: &[u8]) {
    let file = FOLDER.write(&format!("{record}.folder/{record}"), bytes);
    let mask = file.with_file_name("a.nii.gz");
    let Ok(Some(maker)) = Records::default().maker(&mask) else { return };
    if let Some(propagation) = maker.propagation {
        use polycl_image::Space;
        let space = Space::new([2, 3, 4], Default::default());
        let _ = propagation.trust(Some(1), &space, &(0..4));
        let _ = propagation.trust(None, &space, &(1..3));
    }
}
