//! The stacks in `shared/`, where they are.

use std::path::Path;

use polycl_image::files::{entries, notes, read_image, read_mask};
use polycl_image::orient::orientation_code;

#[test]
fn deep_lesion() {
    let folder = Path::new("/work/shared/data/deeplesion");
    if !folder.exists() {
        eprintln!("skipped: {} is not here", folder.display());
        return;
    }
    let files: Vec<_> = entries(folder)
        .unwrap()
        .into_iter()
        .filter(|path| path.extension() == Some("npz".as_ref()))
        .collect();
    assert_eq!(files.len(), 4);
    for path in files {
        let (image, mask) = (read_image(&path).unwrap(), read_mask(&path).unwrap());
        assert_eq!(image.space, mask.space);
        assert_eq!(image.space.shape[..2], [512, 512]);
        assert!((image.space.spacing()[2] - 5.0).abs() < 1e-9);
        assert!(mask.voxels.contains(&1) && mask.voxels.iter().all(|&label| label <= 1));
        assert_eq!(orientation_code(&image.space), "PLI");
        assert_eq!(notes(&path).unwrap().len(), 1);
    }
}
