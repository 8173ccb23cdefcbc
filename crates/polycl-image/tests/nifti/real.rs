//! Real scans, where they are at hand; they are never committed.

use std::path::{Path, PathBuf};

use polycl_image::nifti::{read_image, read_mask, read_space};
use polycl_image::orient::{Reorientation, orientation_code};

use crate::nifti_files;

fn shared_data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("POLYCL_SHARED").map_or(beside, PathBuf::from).join("data");
    if !shared.is_dir() {
        println!("skipped: no real scans at {}", shared.display());
        return None;
    }
    Some(shared)
}

#[test]
fn real_scans_are_read() {
    let Some(data) = shared_data() else { return };
    let files = nifti_files(&data);
    assert!(files.len() > 40, "{} files", files.len());
    for path in files {
        let image = read_image(&path).unwrap();
        assert_eq!(image.space, read_space(&path).unwrap());
        let code = orientation_code(&image.space);
        println!("{code} {:?} {:.3?} {}", image.space.shape, image.space.spacing(), path.display());
        assert!(["LPS", "LAS", "RAS"].contains(&code.as_str()), "{}: {code}", path.display());
        let back = Reorientation::to_canonical(&image.space);
        assert_eq!(orientation_code(&back.apply(&image).space), "LPS");
    }
}

#[test]
fn real_masks_fit_their_images() {
    let Some(data) = shared_data() else { return };
    let liver = read_mask(&data.join("chaos_liver/liver.nii.gz")).unwrap();
    let scan = read_space(&data.join("chaos_liver/ct.nii.gz")).unwrap();
    assert_eq!(liver.space.shape, [512, 512, 78]);
    assert!(liver.space.corner_distance(&scan) < 0.01);
    let slices = (0..78).filter(|&k| liver.plane(k).iter().any(|&label| label > 0)).count();
    assert_eq!(slices, 71, "data/README.md");
}
