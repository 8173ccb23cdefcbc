//! Outputs appear whole or not at all: everything is written beside its target and renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::{Error, Kind, Result};

/// Writes a file through `write` and renames it to `path` only once all bytes are on disk.
pub fn atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let failed = |e: &std::io::Error| Error::io(path, "write it", e);
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| failed(&e))?;
    let temporary = tempfile::Builder::new()
        .prefix(".polycl-")
        .suffix(".partial")
        .tempfile_in(parent)
        .map_err(|e| failed(&e))?;
    let mut buffer = BufWriter::new(temporary.as_file());
    write(&mut buffer).and_then(|()| buffer.flush()).map_err(|e| failed(&e))?;
    drop(buffer);
    temporary.as_file().sync_all().map_err(|e| failed(&e))?;
    readable_by_all(temporary.as_file()).map_err(|e| failed(&e))?;
    temporary.persist(path).map_err(|e| failed(&e.error))?;
    Ok(())
}

/// Fills a folder through `write` and renames it to `path` only once that has succeeded.
///
/// # Errors
/// [`Kind::Request`] where `path` exists and is not an empty folder, [`Kind::Io`], and what
/// `write` returns.
pub fn folder_atomically<T>(path: &Path, write: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    // By its kind alone: the message may hold the temporary name, which says nothing to a person.
    let failed = |e: &std::io::Error| {
        Error::io(path, "write a folder", &e.kind().into()).hint("choose a place that can be written to")
    };
    if path.exists() && !is_empty_folder(path) {
        return Err(Error::new(
            path,
            Kind::Request,
            "a new folder to write to",
            "something that is there already",
        )
        .hint("choose another name, or remove what is there"));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| failed(&e))?;
    let temporary = tempfile::Builder::new()
        .prefix(".polycl-")
        .suffix(".partial")
        .tempdir_in(parent)
        .map_err(|e| failed(&e))?;
    let written = write(temporary.path())?;
    open_to_all(temporary.path()).map_err(|e| failed(&e))?;
    if path.exists() {
        std::fs::remove_dir(path).map_err(|e| failed(&e))?;
    }
    std::fs::rename(temporary.path(), path).map_err(|e| failed(&e))?;
    // Nothing is left at the temporary place.
    let _ = temporary.keep();
    Ok(written)
}

fn is_empty_folder(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Temporary folders are private to their owner; results follow the usual 0755.
fn open_to_all(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    }
    let _ = folder;
    Ok(())
}

/// Temporary files are private to their owner; results follow the usual 0644.
fn readable_by_all(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    let _ = file;
    Ok(())
}
