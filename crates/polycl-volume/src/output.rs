//! Outputs appear whole or not at all: everything is written beside its target and renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Kind, Result};

/// Writes a file through `write` and renames it to `path` only once all bytes are on disk.
pub fn atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let failed = |e: &std::io::Error| Error::io(path, "write it", e);
    let parent = parent(path);
    std::fs::create_dir_all(parent).map_err(|e| failed(&e))?;
    let mut builder = tempfile::Builder::new();
    open_to(&mut builder, 0o666);
    let temporary = builder.prefix(PREFIX).suffix(SUFFIX).tempfile_in(parent).map_err(|e| failed(&e))?;
    let mut buffer = BufWriter::new(temporary.as_file());
    write(&mut buffer).and_then(|()| buffer.flush()).map_err(|e| failed(&e))?;
    drop(buffer);
    temporary.as_file().sync_all().map_err(|e| failed(&e))?;
    temporary.persist(path).map_err(|e| failed(&e.error))?;
    Ok(())
}

/// Fills a folder through `write`, which is given a temporary one, and renames it to `path` only
/// once that has succeeded. An empty folder that is there already stays what it is, be it a mount
/// point or reached by a link: it is filled from a temporary folder within.
///
/// # Errors
/// [`Kind::Request`] where `path` exists and is not an empty folder, [`Kind::Io`], and what
/// `write` returns, at the place where it would have been in `path`.
pub fn folder_atomically<T>(path: &Path, write: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    // By its kind alone: the message may hold the temporary name, which says nothing to a person.
    let failed = |e: std::io::Error| {
        Error::io(path, "write a folder", &e.kind().into()).hint("choose a place that can be written to")
    };
    // A link that leads nowhere is there, too.
    let there = path.symlink_metadata().is_ok();
    if there && !is_empty_folder(path) {
        return Err(Error::new(
            path,
            Kind::Request,
            "a new folder to write to",
            "something that is there already",
        )
        .hint("choose another name, or remove what is there"));
    }
    let parent = if there { path } else { parent(path) };
    std::fs::create_dir_all(parent).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    open_to(&mut builder, 0o777);
    let temporary = builder.prefix(PREFIX).suffix(SUFFIX).tempdir_in(parent).map_err(failed)?;
    let written = write(temporary.path()).map_err(|error| at_its_place(error, temporary.path(), path))?;
    if there {
        return move_entries(temporary.path(), path).map(|()| written).map_err(failed);
    }
    std::fs::rename(temporary.path(), path).map_err(failed)?;
    // Nothing is left at the temporary place.
    let _ = temporary.keep();
    Ok(written)
}

const PREFIX: &str = ".polycl-";
const SUFFIX: &str = ".partial";

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_empty_folder(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Moves everything in a folder to another of the same file system, or nothing.
fn move_entries(from: &Path, to: &Path) -> std::io::Result<()> {
    let names = std::fs::read_dir(from)?.map(|entry| Ok(entry?.file_name()));
    let mut moved: Vec<(PathBuf, PathBuf)> = Vec::new();
    for name in names.collect::<std::io::Result<Vec<_>>>()? {
        let (old, new) = (from.join(&name), to.join(&name));
        if let Err(e) = std::fs::rename(&old, &new) {
            // The error that is told is the first one, whether or not the way back is open.
            moved.iter().for_each(|(old, new)| drop(std::fs::rename(new, old)));
            return Err(e);
        }
        moved.push((old, new));
    }
    Ok(())
}

/// An error that names the place where a person looks for the file.
fn at_its_place(mut error: Error, temporary: &Path, path: &Path) -> Error {
    error.found = error.found.replace(&*temporary.to_string_lossy(), &path.to_string_lossy());
    match error.file.strip_prefix(temporary) {
        Ok(rest) if rest.as_os_str().is_empty() => error.file = path.to_path_buf(),
        Ok(rest) => error.file = path.join(rest),
        Err(_) => {}
    }
    error
}

/// What is made temporary is private to its owner unless the permissions are said; the system
/// narrows these by the umask.
fn open_to(builder: &mut tempfile::Builder, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = (builder, mode);
}
