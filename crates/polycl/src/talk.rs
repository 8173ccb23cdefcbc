//! The talk for a person on stderr: errors with their hints, and notes.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use polycl_base::told;

use crate::ended::Ended;

/// True while the demo says itself which command comes next.
static GUIDED: AtomicBool = AtomicBool::new(false);

/// Names the command that a person runs next, without the leading `polycl`.
pub fn next(command: impl std::fmt::Display) {
    if !GUIDED.load(Ordering::Relaxed) {
        note(format_args!("next: polycl {command}"));
    }
}

/// From here on [`next`] is silent.
pub fn guide() {
    GUIDED.store(true, Ordering::Relaxed);
}

/// Prints an error, what led to it, and its hint on a line of its own.
pub fn error(error: &anyhow::Error) {
    note(format_args!("error: {}", told(error.as_ref())));
    if let Some(hint) = error.downcast_ref::<polycl_base::Error>().and_then(|e| e.hint.as_deref()) {
        note(format_args!("hint: {hint}"));
    }
}

/// Lists the cases that failed, with the reasons, at the end, where a person looks.
pub fn failures(failed: &[(String, polycl_base::Error)]) -> Ended {
    if failed.is_empty() {
        return Ended::Done;
    }
    note(format_args!("{} failed:", failed.len()));
    for (case, error) in failed {
        note(format_args!("  {case}: {error}"));
        if let Some(hint) = &error.hint {
            note(format_args!("    hint: {hint}"));
        }
    }
    Ended::SomeFailed
}

/// Results, to stdout. A reader who has seen enough and closed the pipe (`| head`) is no error.
pub fn data(text: impl std::fmt::Display) {
    let mut stdout = std::io::stdout().lock();
    // What else can fail here, a full disk behind a redirection, has nowhere better to be told.
    if let Err(error) = write!(stdout, "{text}").and_then(|()| stdout.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        note(format_args!("error: could not write to stdout: {error}"));
    }
}

/// One line of talk that is not a result. Where nobody listens any more, as after the terminal is closed, the
/// work goes on.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
