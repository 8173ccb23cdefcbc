//! What is odd about scans and masks: told by every command that reads them, and refused where it cannot be right.

mod common;

use polycl_image::{Image, Mask, Space, nifti};

use common::{Folder, boxes, grid, rows, space, weights};

/// A scan of a body in air with noise in it, and its liver.
fn scan(space: &Space) -> (Image, Mask) {
    let [nx, ny, nz] = space.shape;
    let label = [(1, [nx / 4, ny / 4, 1], [nx / 2, ny / 2, nz - 1])];
    let liver = boxes(space.clone(), &label);
    let body = boxes(space.clone(), &[(1, [3, 3, 0], [nx - 3, ny - 3, nz])]);
    let value = |at: usize| {
        let noise = (at * 7919 % 101) as f32 - 50.0;
        let tissue = [-1000.0, 40.0][usize::from(body.voxels[at])] + 70.0 * f32::from(liver.voxels[at]);
        tissue + noise
    };
    let voxels = (0..space.voxels()).map(value).collect();
    (Image { space: space.clone(), voxels }, liver)
}

/// The axes of [`space`], of which that of the slices leans.
fn sheared() -> Space {
    let mut space = grid([40, 30, 5], [2.0, 2.0, 5.0]);
    space.world_from_voxel.matrix3.z_axis.y = 1.5;
    space
}

#[test]
fn a_sheared_grid_is_told_and_noted() {
    let folder = Folder::new();
    let (image, liver) = scan(&sheared());
    nifti::write_image(&folder.at("images/a.nii.gz"), &image).unwrap();
    folder.mask("labels/a.nii.gz", &liver).mask("found/a.nii.gz", &liver);
    folder.write("labels/labels.json", r#"{"1": "liver"}"#);
    let said = [
        folder.polycl("inspect images/a.nii.gz"),
        folder.polycl("import --images images --labels labels --size 32 --out dataset"),
        folder.polycl("evaluate --reference labels --prediction found --out scores"),
        // The scan and its mask say the same: once is enough.
        folder.polycl("refine images/a.nii.gz --mask labels/a.nii.gz --weights none.pth --out b.nii.gz"),
    ];
    insta::assert_snapshot!(said.join("\n"));
    let index = common::text(&folder, "dataset/index.json");
    assert_eq!(index.matches("sheared: its axes are up to").count(), 1, "{index}");
}

/// Where LiteMedSAM has not been fetched, this says so and does nothing.
#[test]
fn records_of_masks_say_what_is_odd_about_the_scan() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let (image, liver) = scan(&sheared());
    nifti::write_image(&folder.at("a.nii.gz"), &image).unwrap();
    let mut drawn = liver.clone();
    drawn.voxels.iter_mut().enumerate().filter(|(at, _)| at / (40 * 30) != 2).for_each(|(_, v)| *v = 0);
    folder.mask("liver.nii.gz", &liver).mask("drawn.nii.gz", &drawn);
    folder.done("refine a.nii.gz --mask liver.nii.gz --out refined/a.nii.gz");
    folder.done("propagate a.nii.gz --annotation drawn.nii.gz --out propagated/a.nii.gz");
    for table in ["refined/refine.csv", "propagated/propagate.csv"] {
        let rows = rows(&folder, table);
        assert!(
            !rows.is_empty() && rows.iter().all(|row| row["odd"].starts_with("sheared: its axes")),
            "{rows:?}"
        );
    }
}

#[test]
fn a_scan_is_no_mask() {
    let folder = Folder::new();
    let (image, _) = scan(&grid([40, 30, 5], [2.0, 2.0, 5.0]));
    nifti::write_image(&folder.at("images/a.nii.gz"), &image).unwrap();
    // As programs write that keep no sign.
    let voxels = image.voxels.iter().map(|&hu| (hu + 1100.0) as u16).collect();
    folder.mask("unsigned/a.nii.gz", &Mask { space: image.space.clone(), voxels });
    folder.mask("empty.nii.gz", &boxes(image.space, &[]));
    let said = [
        "inspect unsigned/a.nii.gz",
        "inspect empty.nii.gz",
        "evaluate --reference unsigned --prediction unsigned --out scores",
        "import --images images --labels unsigned --names 1=liver --out dataset",
        "refine images/a.nii.gz --mask unsigned/a.nii.gz --out b.nii.gz",
        "propagate images/a.nii.gz --annotation unsigned/a.nii.gz --out b.nii.gz",
    ];
    insta::assert_snapshot!(said.map(|line| folder.polycl(line)).join("\n"));
}

#[test]
fn a_slice_that_was_saved_alone_is_put_back_and_told() {
    let folder = Folder::new();
    let (image, liver) = scan(&space());
    nifti::write_image(&folder.at("images/a.nii.gz"), &image).unwrap();
    let mut own = Space::new([40, 30, 1], liver.space.world_from_voxel);
    own.world_from_voxel.translation += 2.0 * own.world_from_voxel.matrix3.z_axis;
    let drawn = Mask { voxels: liver.plane(2).to_vec(), space: own };
    folder.mask("labels/a.nii.gz", &drawn).mask("whole/a.nii.gz", &liver);
    folder.write("labels/labels.json", r#"{"1": "liver"}"#);
    let said = [
        "import --images images --labels labels --size 32 --out dataset",
        "evaluate --reference whole --prediction labels --out scores",
        // In a reference nobody knows what the other slices would show.
        "evaluate --reference labels --prediction whole --out scores",
    ];
    insta::assert_snapshot!(said.map(|line| folder.polycl(line)).join("\n"));
}

#[test]
fn scans_in_folders_below_and_links_that_lead_nowhere() {
    let folder = Folder::new();
    for line in [
        "phantom --out cohort --patients 3 --size 32 --seed 3",
        "import --manifest cohort/manifest.csv --out dataset --size 32",
        "finetune dataset --organ liver --epochs 1 --steps 1 --batch 2 --out run",
    ] {
        folder.done(line);
    }
    folder.image("data/s0/ct.nii.gz").image("other/s0/ct.nii.gz");
    std::os::unix::fs::symlink("/nowhere/at all", folder.at("links/a.nii.gz")).unwrap();
    let said = [
        "import --images data --size 32 --out new",
        "predict run data --out masks",
        "predict run data/s0/ct.nii.gz other/s0/ct.nii.gz --out masks",
        "predict run links --out masks",
        "import --images links --size 32 --out new",
        "evaluate --reference links/a.nii.gz --prediction data/s0/ct.nii.gz --out scores",
        "import --images data/s0 --origin hand --size 32 --out new",
    ];
    insta::assert_snapshot!(said.map(|line| folder.polycl(line)).join("\n"));
}
