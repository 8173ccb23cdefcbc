//! What a person sees of `polycl import` and `polycl inspect`, and of input that cannot be used.

use std::path::{Path, PathBuf};
use std::process::Command;

use polycl_volume::{Mask, Space, Volume, nifti};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.at(name), text).unwrap();
        self
    }

    /// A scan of 40 x 30 x 5 voxels of 2 x 2 x 5 mm whose slices differ.
    fn image(&self, name: &str) -> &Self {
        let voxels = (0..40 * 30 * 5).map(|at| (at / 40 % 30 * 10 + at / 1200) as f32 - 150.0).collect();
        nifti::write_image(&self.at(name), &Volume { space: space(), voxels }).unwrap();
        self
    }

    /// A mask with `label` in the upper left corner of the second and third slice.
    fn mask(&self, name: &str, label: u16) -> &Self {
        nifti::write_mask(&self.at(name), &mask(space(), label)).unwrap();
        self
    }

    /// An image and the bytes of it that are overwritten.
    fn image_with(&self, name: &str, offset: usize, bytes: &[u8]) -> &Self {
        self.image(name);
        let path = self.at(name);
        let mut content = std::fs::read(&path).unwrap();
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
        std::fs::write(path, content).unwrap();
        self
    }

    /// Exit code, stdout and stderr of `polycl`, run in this folder, whose place is not shown.
    fn polycl(&self, arguments: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_polycl"))
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap();
        let shown = format!("exit {code}\n{}{}", text(&output.stdout), text(&output.stderr));
        shown.replace(&self.0.path().display().to_string(), "[folder]")
    }

    /// The same for an import that must fail and leave nothing.
    fn refused(&self, arguments: &str) -> String {
        let before = listing(self.0.path());
        let shown = self.polycl(&format!("import {arguments} --out dataset"));
        assert_eq!(listing(self.0.path()), before, "something was left behind");
        shown
    }
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn space() -> Space {
    let columns = glam::DMat3::from_diagonal(glam::DVec3::new(-2.0, -2.0, 5.0));
    Space::new([40, 30, 5], glam::DAffine3 { matrix3: columns, translation: glam::DVec3::ZERO })
}

fn mask(space: Space, label: u16) -> Mask {
    let mut voxels = vec![0; space.voxels()];
    let plane = space.shape[0] * space.shape[1];
    for k in [1, 2] {
        for row in 0..10 {
            voxels[k * plane + row * space.shape[0]..][..8].fill(label);
        }
    }
    Volume { space, voxels }
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
    folder.image("scans/a.nii.gz").image("scans/b.nii.gz").image("scans/c.nii.gz");
    folder.mask("masks/a.nii.gz", 3).write("masks/labels.json", r#"{"3": "liver", "4": "spleen"}"#);
    folder.write(
        "scans.csv",
        "image,label,patient,domain\n\
         scans/a.nii.gz,masks/a.nii.gz,first,old\nscans/b.nii.gz,,first,\nscans/c.nii.gz,,second,new\n",
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
    folder.image("a.nii.gz").mask("mask.nii.gz", 3).write("labels.json", r#"{"3": "liver"}"#);
    insta::assert_snapshot!(folder.polycl("inspect a.nii.gz"));
    insta::assert_snapshot!(folder.polycl("inspect mask.nii.gz"));
    insta::assert_snapshot!(folder.polycl("inspect nothing.nii.gz"));
}

#[test]
fn a_truncated_file() {
    let folder = Folder::new();
    folder.image("images/a.nii");
    let path = folder.at("images/a.nii");
    std::fs::File::options().write(true).open(path).unwrap().set_len(5000).unwrap();
    insta::assert_snapshot!(folder.refused("--images images"));
}

#[test]
fn nan_voxels() {
    let folder = Folder::new();
    folder.image_with("images/a.nii", FIRST_VOXEL + 400, &f32::NAN.to_le_bytes());
    insta::assert_snapshot!(folder.refused("--images images"));
}

#[test]
fn zero_spacing() {
    let folder = Folder::new();
    folder.image_with("images/a.nii", PIXDIM + 12, &0_f32.to_le_bytes());
    insta::assert_snapshot!(folder.refused("--images images"));
}

#[test]
fn an_image_of_two_dimensions() {
    let folder = Folder::new();
    folder.image_with("images/a.nii", DIM, &shorts(&[2, 40, 30, 1]));
    insta::assert_snapshot!(folder.refused("--images images"));
}

#[test]
fn an_image_of_four_dimensions() {
    let folder = Folder::new();
    folder.image_with("images/a.nii", DIM, &shorts(&[4, 40, 15, 5, 2]));
    insta::assert_snapshot!(folder.refused("--images images"));
}

#[test]
fn a_mask_of_another_shape() {
    let folder = Folder::new();
    let mut other = space();
    other.shape[2] = 4;
    folder.image("images/a.nii.gz");
    nifti::write_mask(&folder.at("labels/a.nii.gz"), &mask(other, 1)).unwrap();
    insta::assert_snapshot!(folder.refused("--images images --labels labels --names 1=liver"));
}

#[test]
fn a_mask_of_another_affine() {
    let folder = Folder::new();
    let mut other = space();
    other.world_from_voxel.translation.z += 5.0;
    folder.image("images/a.nii.gz");
    nifti::write_mask(&folder.at("labels/a.nii.gz"), &mask(other, 1)).unwrap();
    insta::assert_snapshot!(folder.refused("--images images --labels labels --names 1=liver"));
}

#[test]
fn label_values_without_a_name() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz").mask("labels/a.nii.gz", 2);
    insta::assert_snapshot!(folder.refused("--images images --labels labels"));
    insta::assert_snapshot!(folder.refused("--images images --labels labels --names 1=liver"));
}

#[test]
fn a_mask_without_its_image() {
    let folder = Folder::new();
    folder.image("images/a.nii.gz").mask("labels/a.nii.gz", 1).mask("labels/b.nii.gz", 1);
    insta::assert_snapshot!(folder.refused("--images images --labels labels --names 1=liver"));
}

#[test]
fn an_empty_folder() {
    let folder = Folder::new();
    folder.write("images/readme.txt", "no scans yet");
    insta::assert_snapshot!(folder.refused("--images images"));
    insta::assert_snapshot!(folder.refused("--images nowhere"));
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
    insta::assert_snapshot!(folder.refused("--images images --size 100"));
    insta::assert_snapshot!(folder.refused("--images images --window 40,0"));
    insta::assert_snapshot!(folder.refused("--images images --window 40"));
    insta::assert_snapshot!(folder.refused("--images images --only heart"));
}
