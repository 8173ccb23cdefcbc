//! Zip files byte by byte, right and wrong.

use std::path::PathBuf;

use flate2::Crc;

/// A zip file of stored entries under `archive/`.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let name = format!("archive/{name}");
        let start = (file.len() as u32).to_le_bytes();
        let mut crc = Crc::new();
        crc.update(content);
        let size = (content.len() as u32).to_le_bytes();
        // From the version needed to the length of the extra field, the same in both places.
        let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        fields.extend(crc.sum().to_le_bytes());
        fields.extend([size, size].concat());
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0, 0]);
        file.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\x14\x00", &fields[..], &[0; 10], &start, name.as_bytes()].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (at, size) = (file.len() as u32, directory.len() as u32);
    file.extend(&directory);
    file.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count].concat());
    file.extend([size.to_le_bytes(), at.to_le_bytes()].concat());
    file.extend([0, 0]);
    file
}

/// A checkpoint of a pickle and one storage of `zeros` float32 zeros.
pub fn checkpoint(pickle: &[u8], zeros: usize) -> Vec<u8> {
    zip(&[("data.pkl", pickle), ("data/0", &vec![0; 4 * zeros])])
}

/// A file of its own in a folder that goes when it is dropped.
pub struct Scratch(tempfile::TempDir);

impl Default for Scratch {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Scratch {
    pub fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("weights.pth");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
