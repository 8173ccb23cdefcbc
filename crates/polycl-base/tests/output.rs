//! Files and folders that appear whole, where and as a person asked for them.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use polycl_base::output::{atomically, folder_atomically, sweep};
use polycl_base::{Error, Kind, Result};

fn fill(folder: &Path) -> Result<()> {
    fs::create_dir(folder.join("below")).unwrap();
    atomically(&folder.join("file"), |file| file.write_all(b"text"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_empty_folder_is_filled_where_it_is_and_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, link) = (dir.path().join("folder"), dir.path().join("link"));
    fs::create_dir(&folder).unwrap();
    symlink(&folder, &link).unwrap();
    let before = fs::metadata(&folder).unwrap().ino();
    folder_atomically(&link, fill).unwrap();
    assert_eq!(names(&folder), ["below", "file"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    // The very same folder: a mount point could not have been replaced.
    assert_eq!(fs::metadata(&folder).unwrap().ino(), before);
    assert_eq!(folder_atomically(&link, fill).unwrap_err().kind, Kind::Request);
    symlink(dir.path().join("nowhere"), dir.path().join("dangling")).unwrap();
    assert_eq!(folder_atomically(&dir.path().join("dangling"), fill).unwrap_err().kind, Kind::Request);
}

#[test]
fn a_failure_leaves_nothing_and_names_the_final_place() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["new", "empty"] {
        let path = dir.path().join(name);
        let fail = |folder: &Path| -> Result<()> {
            fill(folder)?;
            let found = format!("no room for {}", folder.join("below").display());
            Err(Error::new(folder.join("file"), Kind::Io, "write it", found))
        };
        if name == "empty" {
            fs::create_dir(&path).unwrap();
        }
        let error = folder_atomically(&path, fail).unwrap_err();
        assert_eq!(error.file(), Some(&*path.join("file")));
        assert_eq!(error.found, format!("no room for {}", path.join("below").display()));
        assert!(!path.exists() || names(&path).is_empty());
    }
    assert_eq!(names(dir.path()), ["empty"]);
}

#[test]
fn what_a_kill_has_left_is_cleared_away_and_nothing_that_is_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let leave = || {
        fs::write(dir.path().join(".polycl-left.partial"), "half").unwrap();
        fs::create_dir(dir.path().join(".polycl-folder.partial")).unwrap();
        fs::write(dir.path().join(".polycl-folder.partial/.polycl-in.partial"), "half").unwrap();
        fs::write(dir.path().join("mine.partial"), "a person's").unwrap();
    };
    leave();
    atomically(&dir.path().join("file"), |file| {
        file.write_all(b"first half")?;
        let before = names(dir.path());
        assert!(before.iter().filter(|name| name.starts_with(".polycl-")).count() == 1, "{before:?}");
        sweep(dir.path());
        assert_eq!(names(dir.path()), before);
        file.write_all(b", second half")
    })
    .unwrap();
    assert_eq!(names(dir.path()), ["file", "mine.partial"]);
    leave();
    folder_atomically(&dir.path().join("folder"), |folder| {
        sweep(dir.path());
        fill(folder)
    })
    .unwrap();
    assert_eq!(names(dir.path()), ["file", "folder", "mine.partial"]);
    // In a folder that was empty but for that, too.
    let given = dir.path().join("given");
    fs::create_dir_all(given.join(".polycl-x.partial/below")).unwrap();
    folder_atomically(&given, fill).unwrap();
    assert_eq!(names(&given), ["below", "file"]);
}

#[test]
fn permissions_follow_the_umask() {
    for (umask, file, folder) in [("022", 0o644, 0o755), ("077", 0o600, 0o700), ("002", 0o664, 0o775)] {
        let dir = tempfile::tempdir().unwrap();
        // The umask is the process's own, so another process makes the files.
        let done = Command::new("sh")
            .args(["-c", "umask $1 && exec \"$0\" --exact --ignored make_files"])
            .arg(std::env::current_exe().unwrap())
            .arg(umask)
            .env("POLYCL_TEST_FOLDER", dir.path().join("made"))
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("made/file"), mode("made")), (file, folder), "umask {umask}");
    }
}

#[test]
#[ignore = "part of the test above"]
fn make_files() {
    if let Some(folder) = std::env::var_os("POLYCL_TEST_FOLDER") {
        folder_atomically(Path::new(&folder), fill).unwrap();
    }
}
