//! Locks that keep two processes apart and end with their holder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use polycl_base::{Kind, lock};

/// Another process that holds `folder`, and does so by the time this returns.
fn holder(folder: &Path) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "hold_for_ever"])
        .env("POLYCL_TEST_FOLDER", folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !folder.join("held").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

#[test]
#[ignore = "part of the test below"]
fn hold_for_ever() {
    if let Some(folder) = std::env::var_os("POLYCL_TEST_FOLDER").map(PathBuf::from) {
        let _lock = lock::hold(&folder, ".work.lock").unwrap();
        std::fs::write(folder.join("held"), "").unwrap();
        std::thread::sleep(Duration::from_secs(600));
    }
}

#[test]
fn the_second_process_is_refused_until_the_first_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = holder(folder.path());
    let error = lock::hold(folder.path(), ".work.lock").unwrap_err();
    assert_eq!((error.kind, error.file()), (Kind::Request, Some(folder.path())));
    assert!(error.hint.is_some(), "{error}");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(folder.path().join(".work.lock").exists(), "a crash leaves the file, which means nothing");
    drop(lock::hold(folder.path(), ".work.lock").unwrap());
    assert!(!cfg!(unix) || !folder.path().join(".work.lock").exists());
}

#[test]
fn what_is_not_there_yet_is_locked_beside() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("below/dataset");
    let first = lock::beside(&target).unwrap();
    assert_eq!(lock::beside(&target).unwrap_err().file(), Some(&*target));
    assert!(lock::beside(&target.with_file_name("other")).is_ok());
    drop(first);
    assert!(lock::beside(&target).is_ok());
    assert!(!target.exists());
}

#[test]
fn who_waits_gets_it_next() {
    let folder = tempfile::tempdir().unwrap();
    let (mut turns, turn) = (0, std::sync::Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let _lock = lock::wait(folder.path()).unwrap();
                let mut turn = turn.try_lock().expect("nobody else has the lock");
                *turn += 1;
                std::thread::sleep(Duration::from_millis(1));
            });
        }
    });
    turns += *turn.lock().unwrap();
    assert_eq!(turns, 8);
}
