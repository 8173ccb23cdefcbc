//! What pydicom and SimpleITK make of the same files: see `make.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polycl_fixtures::dicom::{FILES, reference, unpack};
use polycl_image::Image;
use polycl_image::dicom::{Series, choose, find};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    shape: [usize; 3],
    affine: [[f64; 4]; 3],
    notes: Vec<String>,
}

fn expected() -> BTreeMap<String, Expected> {
    let json = std::fs::read_to_string(reference().join("expected.json")).unwrap();
    serde_json::from_str(&json).unwrap()
}

fn with_series<T>(case: &str, asked: impl FnOnce(&Series) -> T) -> T {
    let folder = unpack(case);
    let found = find(folder.path()).unwrap();
    asked(choose(&found, folder.path(), None).unwrap())
}

/// Voxels that a lossy decoder may round otherwise, in stored values times slope.
fn tolerance(case: &str) -> f32 {
    match case {
        "jpeg_baseline" => 16.0,
        "jpeg_2000_lossy" => 1.0,
        _ => 0.0,
    }
}

fn assert_affine(case: &str, image: &Image, expected: &Expected) {
    let columns = image.space.world_from_voxel.to_cols_array_2d();
    for (r, row) in expected.affine.iter().enumerate() {
        for (c, &value) in row.iter().enumerate() {
            let found = columns[c][r];
            let steps = if c < 3 { image.space.shape[c] as f64 } else { 1.0 };
            assert!((found - value).abs() * steps < 1e-4, "{case}: affine[{r}][{c}] is {found}, not {value}");
        }
    }
}

#[test]
fn series_are_read_as_others_read_them() {
    let cases = expected();
    assert!(cases.len() > 40, "{} cases", cases.len());
    for (case, expected) in cases {
        let (image, space, notes) =
            with_series(&case, |series| (series.read(), series.space(), series.notes()));
        let image = image.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(image.space.shape, expected.shape, "{case}");
        assert_eq!(image.space, space.unwrap(), "{case}");
        assert_affine(&case, &image, &expected);
        let bytes = &FILES[&format!("{case}.f32")];
        let voxels: Vec<f32> = bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
        assert_eq!(image.voxels.len(), voxels.len(), "{case}");
        let worst = image.voxels.iter().zip(&voxels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance(&case), "{case}: a voxel differs by {worst}");
        assert_eq!(notes, expected.notes, "{case}");
    }
}

#[test]
fn what_a_series_says_of_itself() {
    with_series("axial", |series| {
        assert_eq!((series.modality.as_str(), series.description.as_str()), ("CT", "Abdömen 2.5"));
        assert_eq!(series.slices(), 5);
        assert_eq!(
            (series.patient.id.as_str(), series.patient.name.as_str()),
            ("SECRET-4711", "Mustermann^Erika")
        );
        let instances = series.instances();
        assert_eq!(instances.len(), 5);
        assert!(instances.iter().all(|instance| instance.sop_class == "1.2.840.10008.5.1.4.1.1.2"));
        assert!(instances.iter().all(|instance| instance.frame.is_none()));
        let header = series.header().unwrap();
        let first = header.element(dicom_dictionary_std::tags::SOP_INSTANCE_UID).unwrap().to_str().unwrap();
        assert_eq!(first, instances[0].sop_instance);
        assert!(header.get(dicom_dictionary_std::tags::PIXEL_DATA).is_none());
    });
    let frames = with_series("enhanced", |series| series.instances());
    let numbers: Vec<_> = frames.iter().map(|instance| instance.frame).collect();
    assert_eq!(numbers, [Some(2), Some(4), Some(5), Some(1), Some(3)]);
}

#[test]
fn what_is_hashed_are_the_files_in_slice_order() {
    use sha2::{Digest, Sha256};
    let folder = unpack("descending");
    let found = find(folder.path()).unwrap();
    let (image, hash) = found.series[0].read_hashed().unwrap();
    assert_eq!(image.fingerprint(), found.series[0].read().unwrap().fingerprint());
    let mut sha256 = Sha256::new();
    for instance in found.series[0].instances() {
        let uid = instance.sop_instance.as_bytes();
        let file = FILES.iter().filter(|(name, _)| name.starts_with("descending/"));
        let mut file = file.filter(|(_, data)| {
            data.windows(uid.len() + 1).any(|w| &w[..uid.len()] == uid && !w[uid.len()].is_ascii_digit())
        });
        sha256.update(file.next().unwrap().1);
    }
    let hex: String = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, hex);
}

/// The series `axial` without Rescale Slope in its first `count` files.
fn without_scale(count: usize) -> (Option<String>, Vec<String>) {
    let folder = unpack("axial");
    let mut files: Vec<_> = walk(folder.path());
    files.sort();
    for path in &files[..count.min(files.len())] {
        let mut bytes = std::fs::read(path).unwrap();
        // The element becomes one of a private group.
        let tag = [0x28, 0, 0x53, 0x10];
        let at = bytes.windows(4).position(|window| window == tag).unwrap();
        bytes[at] = 0x29;
        std::fs::write(path, bytes).unwrap();
    }
    let found = find(folder.path()).unwrap();
    let series = choose(&found, folder.path(), None).unwrap();
    (series.space().err().map(|error| error.found), series.notes())
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_series_mixed_of_scaled_and_unscaled_slices_is_refused_and_one_without_scales_is_told() {
    assert_eq!(without_scale(0), (None, vec![]));
    assert_eq!(without_scale(2).0.unwrap(), "2 slices of 5 without");
    let (refused, notes) = without_scale(5);
    assert_eq!(refused, None);
    assert!(
        notes[0].starts_with("no slice has both a rescale slope and an intercept: 1 and 0 are taken"),
        "{notes:?}"
    );
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_followed_and_circles_end() {
    let store = unpack("axial");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(store.path(), folder.path().join("linked")).unwrap();
    std::os::unix::fs::symlink(folder.path(), store.path().join("up")).unwrap();
    // Twice the same folder is the same images once.
    std::os::unix::fs::symlink(store.path(), folder.path().join("again")).unwrap();
    std::os::unix::fs::symlink(std::env::temp_dir(), folder.path().join("above")).unwrap();
    for root in [folder.path(), store.path()] {
        let found = find(root).unwrap();
        assert_eq!((found.series.len(), found.series[0].slices()), (1, 5));
        assert!(found.others.is_empty(), "what lies above was not asked for");
    }
}
