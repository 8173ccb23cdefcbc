//! A command that another process has begun and steers through standard input: lines pause it at its next step and let it
//! go on, and the end of the input asks it to stop in order. Whoever began it may die at any moment, and it ends then, too.

use std::io::BufRead;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use polycl_app::round::{GO, PAUSE, STEERED};

use crate::stop;

/// The time after which a paused command looks whether a signal asks it to stop.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reins {
    Go,
    Pause,
    Stop,
}

struct Steered {
    reins: Mutex<Reins>,
    pulled: Condvar,
}

static STEER: Steered = Steered { reins: Mutex::new(Reins::Go), pulled: Condvar::new() };

/// True if another process steers this one.
pub fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| {
        let on = std::env::var_os(STEERED).is_some();
        if on {
            std::thread::spawn(follow);
        }
        on
    })
}

/// Waits while the command is paused; true if it is asked to stop.
pub fn is_stopped() -> bool {
    let mut reins = STEER.reins.lock().unwrap_or_else(PoisonError::into_inner);
    while *reins == Reins::Pause && !stop::asked() {
        (reins, _) = STEER.pulled.wait_timeout(reins, LOOK).unwrap_or_else(PoisonError::into_inner);
    }
    *reins == Reins::Stop
}

fn follow() {
    let pull = |reins| {
        *STEER.reins.lock().unwrap_or_else(PoisonError::into_inner) = reins;
        STEER.pulled.notify_all();
    };
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            PAUSE => pull(Reins::Pause),
            GO => pull(Reins::Go),
            _ => {}
        }
    }
    pull(Reins::Stop);
}
