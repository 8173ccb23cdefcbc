use std::path::{Path, PathBuf};

/// A folder in memory that is this process's own, for readers that want files.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of this name, empty.
    ///
    /// # Panics
    /// Where there cannot be one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let folder = base.join(format!("polycl-fuzz-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        Self(folder)
    }

    /// A path in the folder, whose parents exist.
    ///
    /// # Panics
    /// Where there cannot be one.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("room for a folder");
        path
    }

    /// Writes a file and says where it is.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, bytes).expect("room for a file");
        path
    }
}
