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

/// All packed files by name.
pub static FILES: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let packed = std::fs::read(reference().join("files.pack.gz")).unwrap();
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
});

/// The next run of bytes, whose length is written in `size` bytes before it.
fn take(rest: &mut &[u8], size: usize) -> Vec<u8> {
    let length = rest[..size].iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte));
    let data = rest[size..size + length].to_vec();
    *rest = &rest[size + length..];
    data
}

/// The files of one case, unpacked into a folder.
pub fn unpack(case: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, data) in FILES.iter() {
        if let Some(name) = name.strip_prefix(&format!("{case}/")) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, data).unwrap();
        }
    }
    assert!(folder.path().read_dir().unwrap().next().is_some(), "no files of {case}");
    folder
}
