//! A folder of small files, and what a person sees when `polycl` runs in it.

#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use polycl_volume::{Mask, Space, Volume, nifti};

pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path in the folder, whose own folder is made.
    pub fn at(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.at(name), text).unwrap();
        self
    }

    /// A scan of [`space`] whose slices differ, another one for each first letter of a file's name.
    pub fn image(&self, name: &str) -> &Self {
        let letter = Path::new(name).file_name().unwrap().as_encoded_bytes()[0];
        let level = f32::from(letter) - f32::from(b'a') - 150.0;
        let voxels = (0..40 * 30 * 5).map(|at| (at / 40 % 30 * 10 + at / 1200) as f32 + level).collect();
        nifti::write_image(&self.at(name), &Volume { space: space(), voxels }).unwrap();
        self
    }

    /// An image and the bytes of it that are overwritten.
    pub fn image_with(&self, name: &str, offset: usize, bytes: &[u8]) -> &Self {
        self.image(name);
        let path = self.at(name);
        let mut content = std::fs::read(&path).unwrap();
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
        std::fs::write(path, content).unwrap();
        self
    }

    pub fn mask(&self, name: &str, mask: &Mask) -> &Self {
        nifti::write_mask(&self.at(name), mask).unwrap();
        self
    }

    /// Exit code, stdout and stderr of `polycl`, run in this folder, whose place is not shown.
    pub fn polycl(&self, arguments: &str) -> String {
        self.polycl_with(arguments, &[])
    }

    /// The same with variables of the environment set.
    pub fn polycl_with(&self, arguments: &str, environment: &[(&str, &Path)]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_polycl"))
            .args(arguments.split_whitespace())
            .envs(environment.iter().copied())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap();
        let shown = format!("exit {code}\n{}{}", text(&output.stdout), text(&output.stderr));
        shown.replace(&self.0.path().display().to_string(), "[folder]")
    }

    /// The same for a command that must succeed.
    pub fn done(&self, arguments: &str) -> String {
        let shown = self.polycl(arguments);
        assert!(shown.starts_with("exit 0"), "polycl {arguments}: {shown}");
        shown
    }

    /// The same for a command that must fail and leave nothing.
    pub fn refused(&self, arguments: &str) -> String {
        let before = listing(self.0.path());
        let shown = self.polycl(arguments);
        assert!(!shown.starts_with("exit 0"), "{shown}");
        assert_eq!(listing(self.0.path()), before, "something was left behind");
        shown
    }
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

/// 40 x 30 x 5 voxels of 2 x 2 x 5 mm.
pub fn space() -> Space {
    let columns = glam::DMat3::from_diagonal(glam::DVec3::new(-2.0, -2.0, 5.0));
    Space::new([40, 30, 5], glam::DAffine3 { matrix3: columns, translation: glam::DVec3::ZERO })
}

/// Boxes of labels, each from its first voxel up to its end, later ones over earlier ones.
pub fn boxes(space: Space, boxes: &[(u16, [usize; 3], [usize; 3])]) -> Mask {
    let mut voxels = vec![0; space.voxels()];
    let [nx, ny, _] = space.shape;
    for &(label, low, high) in boxes {
        for k in low[2]..high[2] {
            for j in low[1]..high[1] {
                voxels[nx * (j + ny * k)..][low[0]..high[0]].fill(label);
            }
        }
    }
    Volume { space, voxels }
}
