//! DICOM files that `polycl-image/tests/reference/dicom/make.py` has packed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

/// The folder of what `make.py` wrote.
pub fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../polycl-image/tests/reference/dicom")
}

/// The folder of what `dicom-structures/make.py` wrote.
pub fn structures() -> PathBuf {
    reference().with_file_name("dicom-structures")
}

/// All packed files by name.
pub static FILES: LazyLock<BTreeMap<String, Vec<u8>>> =
    LazyLock::new(|| packed(&reference().join("files.pack.gz")));

/// The same of segmentations, and of the series that they were drawn on.
pub static SEGMENTATIONS: LazyLock<BTreeMap<String, Vec<u8>>> =
    LazyLock::new(|| packed(&structures().join("seg.pack.gz")));

/// The files of a pack by name.
pub fn packed(pack: &Path) -> BTreeMap<String, Vec<u8>> {
    let packed = std::fs::read(pack).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    let mut files = BTreeMap::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let name = take(&mut rest, 2);
        let data = take(&mut rest, 4);
        files.insert(String::from_utf8(name).unwrap(), data);
    }
    files
}

/// The next run of bytes, whose length is written in `size` bytes before it.
fn take(rest: &mut &[u8], size: usize) -> Vec<u8> {
    let length = rest[..size].iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte));
    let data = rest[size..size + length].to_vec();
    *rest = &rest[size + length..];
    data
}

/// The files of one case, unpacked into a folder.
pub fn unpack(case: &str) -> TempDir {
    unpack_from(&FILES, case)
}

/// The files of one case of a pack, unpacked into a folder.
pub fn unpack_from(files: &BTreeMap<String, Vec<u8>>, case: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, data) in files {
        if let Some(name) = name.strip_prefix(&format!("{case}/")) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, data).unwrap();
        }
    }
    assert!(folder.path().read_dir().unwrap().next().is_some(), "no files of {case}");
    folder
}
