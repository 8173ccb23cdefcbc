//! Who works on a folder, told by locks of the operating system: they end with their holder, however it
//! ended, so that a crash never leaves a folder locked. A file system without locks has to do without, or, where
//! [`CLAIMS`] says so, each lock is a [`claim`](crate::claim) as well.

use std::fs::{File, TryLockError};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::claim::{Claim, Claims};
use crate::{Error, Kind, Result, Subject};

/// The environment variable that makes a claim of each lock, too: seconds after which one without a beat is over.
pub const CLAIMS: &str = "POLYCL_CLAIMS";

/// The file of a folder's lock that [`wait`] takes.
pub const FILE: &str = ".polycl.lock";

/// A folder is one process's as long as this lives. The lock's file goes with it, where the system can tell
/// a file from another of the same name; one that a crash has left means nothing.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// Given back before the file is unlocked.
    claim: Option<Claim>,
}

/// The claims of locks, where they are asked for.
fn claims() -> Result<Option<Claims>> {
    let Ok(text) = std::env::var(CLAIMS) else { return Ok(None) };
    let patience = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let patience = patience.filter(|patience| !patience.is_zero()).ok_or_else(|| {
        Error::new(Subject::Setting(CLAIMS.into()), Kind::Request, "a number of seconds above 0", text)
    })?;
    Ok(Some(Claims::new(patience)))
}

/// True if no process has, or shows signs of having, the claim that goes with a lock's file; whether one has died is
/// told by asking again.
///
/// # Errors
/// [`Kind::Io`]
pub fn is_unclaimed(path: &Path, claims: &mut Claims) -> Result<bool> {
    let (folder, name) = place(path);
    Ok(!folder.exists() || claims.take(folder, &name)?.is_some())
}

/// The folder and the name of the claim that goes with a lock's file.
fn place(path: &Path) -> (&Path, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    (folder.unwrap_or(Path::new(".")), name.trim_matches('.').to_owned())
}

/// Waits until no other process changes a folder, which is made if need be: for what takes a moment.
///
/// # Errors
/// [`Kind::Io`] where the folder cannot be written to.
pub fn wait(folder: &Path) -> Result<Lock> {
    let path = folder.join(FILE);
    if let Some(mut claims) = claims()? {
        // A process that is paused keeps a lock of the system for ever: the claim alone tells.
        let file = open(&path)?;
        let (folder, name) = place(&path);
        let claim = Some(claims.in_turn(folder, &name)?);
        return Ok(Lock { file, path, claim });
    }
    loop {
        let file = open(&path)?;
        match file.lock() {
            Err(e) if !without_locks(&e) => return Err(Error::io(&path, "lock it", &e)),
            _ => {}
        }
        let lock = Lock { file, path: path.clone(), claim: None };
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
    if let Some(mut claims) = claims()? {
        let file = open(&path)?;
        let (folder, name) = place(&path);
        let claim = claims.take_or_refuse(folder, &name).map_err(|error| error.about(work))?;
        return Ok(Lock { file, path, claim: Some(claim) });
    }
    loop {
        let Some(file) = file(&path)? else {
            let expected = "no other process at work here";
            return Err(Error::new(work, Kind::Request, expected, "another process at work")
                .hint("wait until it is done, or stop it"));
        };
        let lock = Lock { file, path: path.clone(), claim: None };
        if lock.holds() {
            return Ok(lock);
        }
    }
}

/// As [`file()`], for what many processes may do at once, but not beside one that has the file alone.
///
/// # Errors
/// As [`file()`].
pub fn shared(path: &Path) -> Result<Option<File>> {
    tried(path, File::try_lock_shared)
}

/// Locks a file, which is made if need be, for as long as the handle and its copies in other processes live; `None`
/// where another process has it.
///
/// # Errors
/// [`Kind::Io`] where the file cannot be written to.
pub fn file(path: &Path) -> Result<Option<File>> {
    tried(path, File::try_lock)
}

fn tried(
    path: &Path,
    lock: impl FnOnce(&File) -> std::result::Result<(), TryLockError>,
) -> Result<Option<File>> {
    let file = open(path)?;
    match lock(&file) {
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) if !without_locks(&e) => Err(Error::io(path, "lock it", &e)),
        _ => Ok(Some(file)),
    }
}

fn open(path: &Path) -> Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| File::options().create(true).truncate(false).read(true).write(true).open(path))
        .map_err(|e| Error::io(path, "write it", &e))
}

/// True where the file system has no locks to give: some have none at all, NFS may lack the service for them.
fn without_locks(error: &IoError) -> bool {
    const ENOLCK: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };
    error.kind() == ErrorKind::Unsupported || cfg!(unix) && error.raw_os_error() == Some(ENOLCK)
}

impl Lock {
    /// True once another process may have the work, because this one was paused for too long; asks no file.
    pub fn is_lost(&self) -> bool {
        self.claim.as_ref().is_some_and(Claim::is_lost)
    }

    /// Refuses to go on with work that another process has taken over, because this one was paused for too long.
    ///
    /// # Errors
    /// [`Kind::Request`]
    pub fn check(&self) -> Result<()> {
        let Some(claim) = self.claim.as_ref().filter(|claim| !claim.holds()) else { return Ok(()) };
        let (found, hint) = if claim.is_last() {
            (
                "a claim that was not renewed in time",
                "look whether the folder can be written to, and run it again",
            )
        } else if place(&self.path).0.exists() {
            (
                "another process that took it over",
                "leave it to that process: this one was paused for too long",
            )
        } else {
            ("a folder that is gone", "look whether another process did the work while this one was paused")
        };
        Err(Error::new(&self.path, Kind::Request, "work that is still this process's", found).hint(hint))
    }

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
        self.claim = None;
        // Taken away while it is locked, and only by who holds it; that it stays does no harm.
        if cfg!(unix) && self.holds() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
