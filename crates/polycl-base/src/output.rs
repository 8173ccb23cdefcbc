//! Outputs appear whole or not at all: everything is written beside its target and renamed.
//!
//! What is being written is locked, so that a later process can tell it from what a killed one has left, and
//! clear the latter away.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::{Error, Kind, Result};

/// Writes a file through `write` and renames it to `path` only once all bytes are on disk.
pub fn atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    atomically_if(path, write, || Ok(()))
}

/// As [`atomically`], where `check` allows it once all bytes are on disk: that may take long enough to lose a lock meanwhile.
///
/// # Errors
/// As [`atomically`], and what `check` says.
pub fn atomically_if(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
    check: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let failed = |e: &std::io::Error| Error::io(path, "write it", e);
    let parent = parent(path);
    fs::create_dir_all(parent).map_err(|e| failed(&e))?;
    sweep_once(parent);
    let temporary = temporary_file(parent).map_err(|e| failed(&e))?;
    let mut buffer = BufWriter::new(temporary.as_file());
    write(&mut buffer).and_then(|()| buffer.flush()).map_err(|e| failed(&e))?;
    drop(buffer);
    temporary.as_file().sync_all().map_err(|e| failed(&e))?;
    check()?;
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
    sweep_once(parent(path));
    sweep(path);
    // A link that leads nowhere is there, too.
    let there = path.symlink_metadata().is_ok();
    if there && !is_empty_folder(path) {
        return Err(Error::new(
            path,
            Kind::Request,
            "a new folder to write to",
            "a file or folder that is there already",
        )
        .hint("choose another name, or remove what is there"));
    }
    let parent = if there { path } else { parent(path) };
    fs::create_dir_all(parent).map_err(failed)?;
    let (temporary, _lock) = temporary_folder(parent).map_err(failed)?;
    let written = write(temporary.path()).map_err(|error| at_its_place(error, temporary.path(), path))?;
    if there {
        return move_entries(temporary.path(), path).map(|()| written).map_err(failed);
    }
    fs::rename(temporary.path(), path).map_err(failed)?;
    // Nothing is left at the temporary place.
    let _ = temporary.keep();
    Ok(written)
}

const PREFIX: &str = ".polycl-";
const SUFFIX: &str = ".partial";

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A lock that a crash has left does not count.
fn is_empty_folder(path: &Path) -> bool {
    let mut names = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
    path.is_dir() && names.all(|name| is_lock(&name))
}

/// True for the name of a lock's file, or of a claim that goes with it.
pub fn is_lock(name: &std::ffi::OsStr) -> bool {
    let is_claim = |name: &str| name.starts_with(".polycl") && name.contains(".lock.claim-");
    has(name, ".polycl", ".lock") || name.to_str().is_some_and(is_claim)
}

fn has(name: &std::ffi::OsStr, prefix: &str, suffix: &str) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
}

/// A file that is swept away some time if it is not renamed.
pub(crate) fn temporary_file(parent: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    open_to(&mut builder, 0o666);
    builder.prefix(PREFIX).suffix(SUFFIX);
    loop {
        let temporary = builder.tempfile_in(parent)?;
        if kept(temporary.as_file(), temporary.path()) {
            return Ok(temporary);
        }
    }
}

/// The folder, and what keeps others from clearing it away.
fn temporary_folder(parent: &Path) -> std::io::Result<(tempfile::TempDir, Option<File>)> {
    let mut builder = tempfile::Builder::new();
    open_to(&mut builder, 0o777);
    builder.prefix(PREFIX).suffix(SUFFIX);
    loop {
        let temporary = builder.tempdir_in(parent)?;
        // Where folders cannot be opened, nobody else can clear them away either.
        let Ok(lock) = File::open(temporary.path()) else { return Ok((temporary, None)) };
        if kept(&lock, temporary.path()) {
            return Ok((temporary, Some(lock)));
        }
    }
}

/// Locks what has just been made, and tells whether nobody has cleared it away before.
fn kept(file: &File, path: &Path) -> bool {
    let locked = !cfg!(unix) || file.lock().is_ok();
    // Without locks nobody clears anything away.
    !locked || path.exists()
}

/// Clears away what killed processes have left of what they were writing into a folder.
pub fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| has(&entry.file_name(), PREFIX, SUFFIX)) {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // Some systems only lock what is open for writing, which a folder cannot be.
        let opened = File::options().read(true).write(!is_folder).open(&path);
        if !cfg!(unix) || !opened.as_ref().is_ok_and(|file| file.try_lock().is_ok()) {
            continue;
        }
        // What cannot be cleared away is in nobody's way.
        let _ = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

/// This process leaves nothing behind itself as long as it lives, so once is enough for a folder.
fn sweep_once(folder: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let first = SWEPT.lock().is_ok_and(|mut swept| swept.insert(folder.to_path_buf()));
    if first {
        sweep(folder);
    }
}

/// Moves everything in a folder to another of the same file system, or nothing.
fn move_entries(from: &Path, to: &Path) -> std::io::Result<()> {
    let names = fs::read_dir(from)?.map(|entry| Ok(entry?.file_name()));
    let mut moved: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut names = names.collect::<std::io::Result<Vec<_>>>()?;
    // In an order that is known, so that it is known, too, what a kill may leave out.
    names.sort();
    for name in names {
        let (old, new) = (from.join(&name), to.join(&name));
        if let Err(e) = fs::rename(&old, &new) {
            // The error that is told is the first one, whether or not the way back is open.
            moved.iter().for_each(|(old, new)| drop(fs::rename(new, old)));
            return Err(e);
        }
        moved.push((old, new));
    }
    Ok(())
}

/// An error that names the place where a person looks for the file.
fn at_its_place(mut error: Error, temporary: &Path, path: &Path) -> Error {
    error.found = error.found.replace(&*temporary.to_string_lossy(), &path.to_string_lossy());
    match error.file().map(|file| file.strip_prefix(temporary)) {
        Some(Ok(rest)) if rest.as_os_str().is_empty() => error.about(path),
        Some(Ok(rest)) => {
            let place = path.join(rest);
            error.about(place)
        }
        _ => error,
    }
}

/// Opens a temporary file to others, which is private to its owner otherwise; the system narrows these permissions
/// by the umask.
fn open_to(builder: &mut tempfile::Builder, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = (builder, mode);
}
