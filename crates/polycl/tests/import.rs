//! What a person sees of `polycl import` and `polycl inspect`, and of input that cannot be used.

mod common;

use polycl_image::{Mask, Space, nifti};

use common::{Folder, boxes, space};

/// What an import that must fail says; it may leave nothing.
fn refused(folder: &Folder, arguments: &str) -> String {
    folder.refused(&format!("import {arguments} --out dataset"))
}

/// `label` in the upper left corner of the second and third slice.
fn mask(space: Space, label: u16) -> Mask {
    boxes(space, &[(label, [0, 0, 1], [8, 10, 3])])
}

// Offsets into a NIfTI-1 header.
const DIM: usize = 40;
const PIXDIM: usize = 76;
const FIRST_VOXEL: usize = 352;

fn shorts(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn a_data_set_with_masks_ranges_and_domains() {
    let folder = Folder::new();
    folder.image("scans/a.nii.gz").image("scans/b.nii.gz");
    // Another patient has other voxels.
    folder.image_with("scans/c.nii", FIRST_VOXEL, &100_f32.to_le_bytes());
    folder
        .mask("masks/a.nii.gz", &mask(space(), 3))
        .write("masks/labels.json", r#"{"3": "liver", "4": "spleen"}"#);
    folder.write(
        "scans.csv",
        "image,label,patient,domain\n\
         scans/a.nii.gz,masks/a.nii.gz,first,old\nscans/b.nii.gz,,first,\nscans/c.nii,,second,new\n",
    );
    folder.write("ranges.csv", "scan,organ,first_slice,last_slice\nb,liver,1,3\nb,kidney,,\n");
    let made = folder.polycl("import --manifest scans.csv --ranges ranges.csv --size 32 --out dataset");
    insta::assert_snapshot!(made);
    insta::assert_snapshot!(folder.polycl("inspect dataset"));
    insta::assert_snapshot!(folder.polycl("import --manifest scans.csv --out dataset"));
}

#[test]
fn an_image_and_a_mask() {
    let folder = Folder::new();
    folder.image("a.nii.gz").mask("mask.nii.gz", &mask(space(), 3)).write("labels.json", r#"{"3": "liver"}"#);
    insta::assert_snapshot!(folder.polycl("inspect a.nii.gz"));
    insta::assert_snapshot!(folder.polycl("inspect mask.nii.gz"));
    insta::assert_snapshot!(folder.polycl("inspect nothing.nii.gz"));
}

#[test]
fn an_image_whose_mask_is_missing() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz").image_with("images/b.nii", FIRST_VOXEL, &100_f32.to_le_bytes());
    folder.mask("labels/a.nii.gz", &mask(space(), 1));
    let said = folder.done("import --images images --labels labels --names 1=liver --out dataset");
    assert!(said.contains("note: 1 of 2 images have no mask and stay unlabelled: b"), "{said}");
}

#[test]
fn names_beside_a_mask_that_cannot_be_read() {
    let folder = Folder::new();
    folder.mask("mask.nii.gz", &mask(space(), 3)).write("labels.json", "{");
    let said = folder.done("inspect mask.nii.gz");
    assert!(said.contains("odd: label names cannot be read: ") && said.contains("labels.json"), "{said}");
}

#[test]
fn a_truncated_file() {
    let folder = Folder::new();
    folder.image("images/a.nii");
    let path = folder.at("images/a.nii");
    std::fs::File::options().write(true).open(path).unwrap().set_len(5000).unwrap();
    insta::assert_snapshot!(refused(&folder, "--images images"));
}

#[test]
fn nan_voxels() {
    let folder = Folder::new();
    folder.image_with("images/a.nii", FIRST_VOXEL + 400, &f32::NAN.to_le_bytes());
    insta::assert_snapshot!(refused(&folder, "--images images"));
}

#[test]
fn zero_spacing() {
    let folder = Folder::new();
    folder.image_with("images/a.nii", PIXDIM + 12, &0_f32.to_le_bytes());
    insta::assert_snapshot!(refused(&folder, "--images images"));
}

#[test]
fn an_image_of_two_dimensions() {
    let folder = Folder::new();
    folder.image_with("images/a.nii", DIM, &shorts(&[2, 40, 30, 1]));
    insta::assert_snapshot!(refused(&folder, "--images images"));
}

#[test]
fn an_image_of_four_dimensions() {
    let folder = Folder::new();
    folder.image_with("images/a.nii", DIM, &shorts(&[4, 40, 15, 5, 2]));
    insta::assert_snapshot!(refused(&folder, "--images images"));
}

#[test]
fn a_mask_of_another_shape() {
    let folder = Folder::new();
    let mut other = space();
    other.shape[2] = 4;
    folder.image("images/a.nii.gz");
    nifti::write_mask(&folder.at("labels/a.nii.gz"), &mask(other, 1)).unwrap();
    insta::assert_snapshot!(refused(&folder, "--images images --labels labels --names 1=liver"));
}

#[test]
fn a_mask_of_another_affine() {
    let folder = Folder::new();
    let mut other = space();
    other.world_from_voxel.translation.z += 5.0;
    folder.image("images/a.nii.gz");
    nifti::write_mask(&folder.at("labels/a.nii.gz"), &mask(other, 1)).unwrap();
    insta::assert_snapshot!(refused(&folder, "--images images --labels labels --names 1=liver"));
}

#[test]
fn label_values_without_a_name() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz").mask("labels/a.nii.gz", &mask(space(), 2));
    insta::assert_snapshot!(refused(&folder, "--images images --labels labels"));
    insta::assert_snapshot!(refused(&folder, "--images images --labels labels --names 1=liver"));
}

#[test]
fn a_mask_without_its_image() {
    let folder = Folder::new();
    folder
        .image("images/a.nii.gz")
        .mask("labels/a.nii.gz", &mask(space(), 1))
        .mask("labels/b.nii.gz", &mask(space(), 1));
    insta::assert_snapshot!(refused(&folder, "--images images --labels labels --names 1=liver"));
}

#[test]
fn an_empty_folder() {
    let folder = Folder::new();
    folder.write("images/readme.txt", "no scans yet");
    insta::assert_snapshot!(refused(&folder, "--images images"));
    insta::assert_snapshot!(refused(&folder, "--images nowhere"));
}

#[test]
fn a_target_that_cannot_be_written() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz").write("file", "");
    insta::assert_snapshot!(folder.polycl("import --images images --out file/dataset"));
    insta::assert_snapshot!(folder.polycl("import --images images --out /proc/dataset"));
}

#[test]
fn values_that_make_no_sense() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz");
    insta::assert_snapshot!(refused(&folder, "--images images --size 100"));
    insta::assert_snapshot!(refused(&folder, "--images images --window 40,0"));
    insta::assert_snapshot!(refused(&folder, "--images images --window 40"));
    insta::assert_snapshot!(refused(&folder, "--images images --only heart"));
}
