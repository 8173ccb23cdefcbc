//! Processes that are waited for, paused and stopped.

#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Sends a signal such as `STOP`.
pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} $0"), &id]).status().unwrap().success());
}

/// The longest that anything is waited for, on a machine that has other work.
const MOST: Duration = Duration::from_secs(300);

/// The end of a process, which must come.
pub fn ended(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + MOST;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > until => {
                child.kill().unwrap();
                panic!("it did not end");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Waits for what must become so.
pub fn until(is_so: impl Fn() -> bool) {
    let until = Instant::now() + MOST;
    while !is_so() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
}
