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
    assert!(said.contains("note: 1 of 2 images has no mask and stays unlabelled: b"), "{said}");
}

/// Two organs in the masks, of which one has a name.
#[test]
fn organs_that_are_kept_need_no_names_beside_theirs() {
    let folder = Folder::new();
    let drawn = boxes(space(), &[(1, [0, 0, 1], [8, 10, 3]), (2, [10, 10, 1], [18, 20, 3])]);
    folder.image("images/a.nii.gz").mask("masks/a.nii.gz", &drawn);
    let import = "import --images images --labels masks --size 32";
    let said = folder.done(&format!("{import} --names 1=liver --only liver --out dataset"));
    assert!(said.contains("note: label values without a name count as background: 2"), "{said}");
    folder.done("export dataset --nnunet --out Dataset001_Liver");
    let written = nifti::read_mask(&folder.at("Dataset001_Liver/labelsTr/a.nii.gz")).unwrap();
    let expected: Vec<u16> = drawn.voxels.iter().map(|&label| u16::from(label == 1)).collect();
    assert!(written.voxels == expected);

    folder.write("labels.json", r#"{"1": "liver", "2": "spleen"}"#);
    let said = folder.done(&format!("{import} --out named"));
    assert!(said.contains("note: names of label values are read from labels.json"), "{said}");
    let said = folder.refused(&format!("{import} --only Liver --out other"));
    assert!(said.contains("hint: write liver: capitals count in names"), "{said}");
    let said = folder.refused("finetune named --organ LIVER --out run");
    assert!(said.contains("hint: write liver: "), "{said}");
    // Added without masks, the data set's labels are missing.
    let said = folder.refused("import --images images --size 32 --out named --continue");
    assert!(said.contains("expected the labels 1=liver,2=spleen, found no label"), "{said}");
}

#[test]
fn a_scan_that_failed_is_remembered_until_it_is_mended() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz").mask("masks/a.nii.gz", &mask(space(), 1));
    folder.write("images/b.nii.gz", "broken").write("masks/labels.json", r#"{"1": "liver"}"#);
    let import = "import --images images --labels masks --size 32 --out dataset";
    let said = folder.polycl(import);
    assert!(said.starts_with("exit 1\n") && !said.contains("unlabelled:"), "{said}");
    for once in
        ["note: 1 of 2 scans cannot be used: b\n", "images/b.nii.gz: expected", "hint: use the data set"]
    {
        assert_eq!(said.matches(once).count(), 1, "{once}: {said}");
    }
    let said = folder.done("inspect dataset");
    assert!(said.contains("b  not imported: images/b.nii.gz: expected"), "{said}");
    let said = folder.done("export dataset --nnunet --out raw");
    assert!(said.contains("note: scans that could not be imported are not written: 1 (b)"), "{said}");
    assert!(said.contains("to be called DatasetNNN_NAME, such as Dataset501_raw"), "{said}");
    // Earlier versions read the index: it knows nothing of the failure.
    assert!(!common::text(&folder, "dataset/index.json").contains("b.nii.gz"));
    folder.image("images/b.nii.gz");
    folder.done(&format!("{import} --continue"));
    let said = folder.done("inspect dataset");
    assert!(said.contains("b  patient b") && !said.contains("not imported"), "{said}");
}

#[test]
fn a_folder_that_is_no_scan() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz").image("images/b.nii.gz");
    let said = folder.refused("inspect images");
    assert!(said.contains("`polycl import` reads and checks all of them"), "{said}");
    folder.image("Dataset042_Neck/imagesTr/a_0000.nii.gz").write("Dataset042_Neck/dataset.json", "{}");
    let said = folder.refused("inspect Dataset042_Neck");
    assert!(said.contains("found raw data of nnU-Net"), "{said}");
    assert!(said.contains("hint: import it: polycl import --nnunet Dataset042_Neck --out dataset"), "{said}");
}

/// Predictions on scans without masks, as on nnU-Net's imagesTs.
#[test]
fn further_masks_are_exported_or_told() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz").image("images/b.nii.gz");
    folder.done("import --images images --size 32 --out dataset");
    folder.mask("pred/a.nii.gz", &mask(space(), 1)).mask("pred/c.nii.gz", &mask(space(), 1));
    folder.write("pred/labels.json", r#"{"1": "liver"}"#);
    let said = folder.done("export dataset --nnunet --masks pred --out Dataset001_A");
    assert!(said.contains("labels liver 1"), "{said}");
    assert!(said.contains("note: pred: masks of no scan in the data set are left out: c"), "{said}");
    folder.write("masks/labels.json", r#"{"1": "liver", "2": "spleen"}"#);
    folder
        .mask("masks/b.nii.gz", &boxes(space(), &[(1, [0, 0, 1], [8, 10, 3]), (2, [9, 9, 1], [12, 12, 3])]));
    folder.done("import --images images --labels masks --size 32 --out drawn");
    let said = folder.refused("export drawn --nnunet --masks pred --out Dataset002_B");
    assert!(said.contains("pred/a.nii.gz: expected a mask of spleen, found only liver"), "{said}");
    assert!(said.contains("hint: choose --organ liver: these masks draw no more"), "{said}");
    folder.mask("pred/b.nii.gz", &mask(space(), 1));
    let said = folder.done("export drawn --nnunet --masks pred --organ liver --out Dataset002_B");
    assert!(said.contains("note: pred: left out, as the data set has masks of these: b"), "{said}");
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
    other.shape[2] = 6;
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
