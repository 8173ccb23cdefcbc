//! What a person reads on stderr: errors with their hints, notes, progress.

use indicatif::{ProgressBar, ProgressStyle};

/// Prints an error, what led to it, and its hint on a line of its own.
pub fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
    if let Some(hint) = error.downcast_ref::<polycl_volume::Error>().and_then(|e| e.hint.as_deref()) {
        eprintln!("hint: {hint}");
    }
}

/// One line of talk that is not a result.
pub fn note(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// A bar over `len` pieces of work with the time left; silent where stderr is no terminal.
pub fn progress(len: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}  {per_sec}  {eta} left")
        .expect("the template is a constant");
    ProgressBar::new(len).with_style(style).with_message(what.to_owned())
}
