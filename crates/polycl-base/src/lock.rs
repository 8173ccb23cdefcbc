//! Who works on a folder, told by locks of the operating system: they end with their holder, however it
//! ended, so that a crash never leaves a folder locked. A file system without locks has to do without.

use std::fs::{File, TryLockError};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use crate::{Error, Kind, Result};

/// The file of a folder's lock that [`wait`] takes.
pub const FILE: &str = ".polycl.lock";

/// A folder is one process's as long as this lives. The lock's file goes with it, where the system can tell
/// a file from another of the same name; one that a crash has left means nothing.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Waits until no other process changes a folder, which is made if need be: for what takes a moment.
///
/// # Errors
/// [`Kind::Io`] where the folder cannot be written to.
pub fn wait(folder: &Path) -> Result<Lock> {
    let path = folder.join(FILE);
    loop {
        let file = open(&path)?;
        match file.lock() {
            Err(e) if !without_locks(&e) => return Err(Error::io(&path, "lock it", &e)),
            _ => {}
        }
        let lock = Lock { file, path: path.clone() };
        if lock.holds() {
            return Ok(lock);
        }
    }
}

/// Takes a folder, which is made if need be, for work that may take long; `name` is that of the lock's file
/// in it.
///
/// # Errors
/// [`Kind::Request`] where another process holds it, at the folder's place; [`Kind::Io`] where the folder
/// cannot be written to.
pub fn hold(folder: &Path, name: &str) -> Result<Lock> {
    take(folder.join(name), folder)
}

/// As [`hold`] for a file or folder that may not be there yet: the lock's file lies beside it.
///
/// # Errors
/// As [`hold`], at the place of the file or folder.
pub fn beside(target: &Path) -> Result<Lock> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    take(target.with_file_name(format!(".{name}.polycl.lock")), target)
}

fn take(path: PathBuf, work: &Path) -> Result<Lock> {
    loop {
        let Some(file) = file(&path)? else {
            let expected = "no other process at work here";
            return Err(Error::new(work, Kind::Request, expected, "another process at work")
                .hint("wait until it is done, or stop it"));
        };
        let lock = Lock { file, path: path.clone() };
        if lock.holds() {
            return Ok(lock);
        }
    }
}

/// Locks a file, which is made if need be, for as long as the handle and its copies in other processes live; `None`
/// where another process has it.
///
/// # Errors
/// [`Kind::Io`] where the file cannot be written to.
pub fn file(path: &Path) -> Result<Option<File>> {
    let file = open(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) if !without_locks(&e) => Err(Error::io(path, "lock it", &e)),
        _ => Ok(Some(file)),
    }
}

fn open(path: &Path) -> Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| File::options().create(true).truncate(false).write(true).open(path))
        .map_err(|e| Error::io(path, "write it", &e))
}

/// True where the file system has no locks to give: some have none at all, NFS may lack the service for them.
fn without_locks(error: &IoError) -> bool {
    const ENOLCK: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };
    error.kind() == ErrorKind::Unsupported || cfg!(unix) && error.raw_os_error() == Some(ENOLCK)
}

impl Lock {
    /// True while the locked file still has its name; a holder before may have taken it away.
    #[cfg(unix)]
    fn holds(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let place = |data: std::fs::Metadata| (data.dev(), data.ino());
        let (named, own) = (self.path.metadata().map(place), self.file.metadata().map(place));
        named.is_ok_and(|named| own.is_ok_and(|own| named == own))
    }

    #[cfg(not(unix))]
    fn holds(&self) -> bool {
        true
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Taken away while it is locked, and only by who holds it; that it stays does no harm.
        if cfg!(unix) && self.holds() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
