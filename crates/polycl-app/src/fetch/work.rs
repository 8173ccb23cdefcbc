use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Result, lock};

use super::catalogue::Item;

/// The folder in which an item is put together, beside its place in the cache. It goes with this value; what a
/// killed attempt has left is removed by the next. The download alone stays, for that to go on.
pub struct Work {
    folder: PathBuf,
    partial: PathBuf,
}

fn folder(item: &Item, cache: &Path) -> PathBuf {
    cache.join(format!(".{}.new", item.name))
}

/// Clears away what was killed just after its item had landed, unless somebody is at work.
pub fn sweep(item: &Item, cache: &Path) {
    let left = folder(item, cache);
    if left.exists()
        && let Ok(_lock) = lock::hold(cache, lock::FILE)
    {
        // What cannot be removed is in nobody's way.
        let _ = std::fs::remove_dir_all(left);
    }
}

impl Work {
    /// The names are an item's own: only one polycl at a time works in a cache.
    pub fn new(item: &Item, cache: &Path) -> Result<Self> {
        let work =
            Self { folder: folder(item, cache), partial: cache.join(format!("{}.partial", item.wheel)) };
        match std::fs::remove_dir_all(&work.folder) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io(&work.folder, "remove it", &e));
            }
            _ => {}
        }
        work.make(&work.files())?;
        work.make(&work.wheels())?;
        Ok(work)
    }

    fn make(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "make it", &e))
    }

    /// The folder that is to become the item's.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// The folder in which pip puts a wheel.
    pub fn wheels(&self) -> PathBuf {
        self.folder.join("wheels")
    }

    /// The wheel, as far as it has come.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// True if an error is one of the cache itself, which no other place to download from mends.
    pub fn owns(&self, error: &Error) -> bool {
        error.file().is_some_and(|file| file.starts_with(&self.folder) || file == self.partial)
    }

    /// Forgets the download.
    pub fn discard(&self) -> Result<()> {
        match std::fs::remove_file(&self.partial) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(&self.partial, "remove it", &e)),
            _ => Ok(()),
        }
    }

    /// Puts the files in their place, where damaged ones may be.
    pub fn land(self, folder: &Path) -> Result<()> {
        let failed = |e: std::io::Error| Error::io(folder, "write it", &e);
        let old = self.folder.join("old");
        if folder.symlink_metadata().is_ok() {
            std::fs::rename(folder, &old).map_err(failed)?;
        }
        std::fs::rename(self.files(), folder).map_err(|e| {
            // The error that is told is the first one, whether or not the way back is open.
            let _ = std::fs::rename(&old, folder);
            failed(e)
        })?;
        self.discard()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
