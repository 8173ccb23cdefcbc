//! A folder of small files, and what a person sees when `polycl` runs in it.

#![allow(dead_code, reason = "each file of tests uses its own part")]

pub mod processes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use glam::{DAffine3, DMat3, DVec3};
use polycl_image::{Mask, Space, Volume, nifti};

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

    /// Starts `polycl` in this folder, in silence.
    pub fn start(&self, arguments: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polycl"));
        command.args(arguments.split_whitespace()).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The same for a command that must succeed.
    pub fn done(&self, arguments: &str) -> String {
        let shown = self.polycl(arguments);
        assert!(shown.starts_with("exit 0"), "polycl {arguments}: {shown}");
        shown
    }

    /// The same for a command that must end with this exit code.
    pub fn ended(&self, arguments: &str, code: i32) -> String {
        let shown = self.polycl(arguments);
        assert!(shown.starts_with(&format!("exit {code}\n")), "polycl {arguments}: {shown}");
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

/// The folder to which `polycl fetch litemedsam` has brought weights; says so where there are none.
pub fn weights() -> Option<PathBuf> {
    fetched("litemedsam", "litemedsam.safetensors")
}

/// The folder to which `polycl fetch` has brought something that has this file; says so where there is none.
pub fn fetched(name: &str, file: &str) -> Option<PathBuf> {
    let cache = ["POLYCL_CACHE", "XDG_CACHE_HOME", "HOME"].into_iter().find_map(|variable| {
        let folder = PathBuf::from(std::env::var_os(variable).filter(|value| !value.is_empty())?);
        Some(match variable {
            "POLYCL_CACHE" => folder,
            "XDG_CACHE_HOME" => folder.join("polycl"),
            _ => folder.join(".cache/polycl"),
        })
    });
    let folder = cache?.join(name);
    if folder.join(file).is_file() {
        return Some(folder);
    }
    eprintln!("skipped: nothing in {}; polycl fetch {name} brings it", folder.display());
    None
}

/// A grid in LPS order about the origin.
pub fn grid(shape: [usize; 3], spacing: [f64; 3]) -> Space {
    let matrix3 = DMat3::from_diagonal(DVec3::new(-spacing[0], -spacing[1], spacing[2]));
    let middle = DVec3::new((shape[0] - 1) as f64 / 2.0, (shape[1] - 1) as f64 / 2.0, 0.0);
    Space::new(shape, DAffine3 { matrix3, translation: -(matrix3 * middle) })
}

/// Voxels by where they lie, in mm.
pub fn painted<T>(space: &Space, colour: impl Fn(DVec3) -> T) -> Volume<T> {
    let [nx, ny, _] = space.shape;
    let place = |at: usize| {
        let index = [at % nx, at / nx % ny, at / (nx * ny)].map(|i| i as f64);
        space.world_from_voxel.transform_point3(DVec3::from_array(index))
    };
    Volume { space: space.clone(), voxels: (0..space.voxels()).map(|at| colour(place(at))).collect() }
}

pub fn in_disc(place: DVec3, centre: [f64; 2], radius: f64) -> bool {
    (place.x - centre[0]).hypot(place.y - centre[1]) < radius
}

/// Every file below a folder and what is in it.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
            all.insert(path, Vec::new());
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

/// What is said where a command is refused with exit code 2 and changes no file. There is nothing in the
/// cache of weights then.
pub fn refused(folder: &Folder, arguments: &str) -> String {
    let before = contents(folder.path());
    let shown = folder.polycl_with(arguments, &[("POLYCL_CACHE", &folder.path().join("no_cache"))]);
    let code = shown.strip_prefix("exit 2\n");
    let said = code.unwrap_or_else(|| panic!("polycl {arguments}: {shown}"));
    let after = contents(folder.path());
    let changed: Vec<_> = after.iter().filter(|&(path, bytes)| before.get(path) != Some(bytes)).collect();
    assert!(changed.is_empty(), "polycl {arguments} left {:?}", changed.iter().map(|c| c.0));
    assert_eq!(before.len(), after.len(), "polycl {arguments} removed a file");
    format!("$ polycl {arguments}\n{said}")
}

/// The fields of a header that say where voxels lie.
pub fn geometry(file: &[u8]) -> Vec<u8> {
    [&file[76..108], &file[123..124], &file[252..328]].concat()
}

pub fn read(folder: &Folder, name: &str) -> Mask {
    nifti::read_mask(&folder.at(name)).unwrap()
}

pub fn bytes(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.at(name)).unwrap()
}

pub fn text(folder: &Folder, name: &str) -> String {
    String::from_utf8(bytes(folder, name)).unwrap()
}

pub fn dice(a: &Mask, b: &Mask, label: u16) -> f64 {
    let of = |mask: &Mask| mask.voxels.iter().filter(|&&l| l == label).count();
    let both = a.voxels.iter().zip(&b.voxels).filter(|&(&a, &b)| a == label && b == label).count();
    2.0 * both as f64 / (of(a) + of(b)) as f64
}

/// The rows of a table by the names of its columns.
pub fn rows(folder: &Folder, name: &str) -> Vec<BTreeMap<String, String>> {
    let table = text(folder, name);
    let mut lines = table.lines().map(|line| line.split(',').map(str::to_owned));
    let header: Vec<_> = lines.next().unwrap().collect();
    lines.map(|fields| header.iter().cloned().zip(fields).collect()).collect()
}
