//! Ctrl-C, and SIGTERM from a machine's scheduler. Commands that ask [`asked`] end in order: they finish the
//! step or the scan at hand, keep what they have, say how to go on, and exit with [`EXIT`]. A second Ctrl-C
//! ends them at once. A repeated SIGTERM does not, for a scheduler and the study above may both send one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit code of what was asked to stop; a shell's own for Ctrl-C.
pub const EXIT: u8 = 130;

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on a signal asks to stop instead of ending the process.
pub fn listen() -> std::io::Result<()> {
    if ASKED.get().is_some() {
        return Ok(());
    }
    let asked = Arc::clone(ASKED.get_or_init(Arc::default));
    // In this order: the first signal passes the shutdown by and sets the flag.
    flag::register_conditional_shutdown(SIGINT, EXIT.into(), Arc::clone(&asked))?;
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&asked))?;
    }
    Ok(())
}

/// True if this process has been asked to stop.
pub fn asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}
