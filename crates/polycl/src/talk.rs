//! What a person reads on stderr: errors with their hints, notes, progress.

use std::io::Write;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Outcome;

/// Prints an error, what led to it, and its hint on a line of its own.
pub fn error(error: &anyhow::Error) {
    note(format_args!("error: {error:#}"));
    if let Some(hint) = error.downcast_ref::<polycl_volume::Error>().and_then(|e| e.hint.as_deref()) {
        note(format_args!("hint: {hint}"));
    }
}

/// Lists the cases that failed, with the reasons, at the end, where a person looks.
pub fn failures(failed: &[(String, polycl_volume::Error)]) -> Outcome {
    if failed.is_empty() {
        return Outcome::Done;
    }
    note(format_args!("{} failed:", failed.len()));
    for (case, error) in failed {
        note(format_args!("  {case}: {error}"));
        if let Some(hint) = &error.hint {
            note(format_args!("    hint: {hint}"));
        }
    }
    Outcome::SomeFailed
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

/// A bar over `len` pieces of work with the time left; silent where stderr is no terminal.
pub fn progress(len: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}  {per_sec}  {eta} left")
        .expect("the template is a constant");
    ProgressBar::new(len).with_style(style).with_message(what.to_owned())
}

/// The same over bytes on their way from elsewhere.
pub fn transfer(bytes: u64, what: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left")
            .expect("the template is a constant");
    ProgressBar::new(bytes).with_style(style).with_message(what.to_owned())
}

/// Tells what is odd about a scan.
pub fn odd(scan: &str, found: &[String]) {
    found.iter().for_each(|text| note(format_args!("note: {scan}: {text}")));
}
