//! Work as a person watches it in a terminal: a bar with the time left, notes and partial results in words, Ctrl-C.

use std::any::Any;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use polycl_base::Watch;

use crate::{stop, talk, words};

/// A bar on stderr, silent where that is no terminal; it goes when this is dropped. From the first time that the work
/// asks whether to stop, Ctrl-C asks it to instead of ending the process.
pub struct Terminal {
    bar: ProgressBar,
    style: ProgressStyle,
}

impl Terminal {
    /// A bar over steps of work.
    pub fn new(task: &str) -> Self {
        Self::styled("{msg} {wide_bar} {pos}/{len}  {per_sec}  {eta} left", task)
    }

    /// A bar over bytes on their way from elsewhere, and a spinner until their number is known.
    pub fn bytes(task: &str) -> Self {
        let bytes = Self::styled("{msg} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left", task);
        bytes.bar.set_style(ProgressStyle::default_spinner());
        bytes.bar.enable_steady_tick(Duration::from_millis(200));
        bytes
    }

    fn styled(template: &str, task: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        let bar = ProgressBar::new(0).with_style(style.clone()).with_message(task.to_owned());
        Self { bar, style }
    }

    /// Says something above the bar, which is not drawn before the first step.
    fn above(&self, say: impl FnOnce()) {
        if self.bar.length() == Some(0) { say() } else { self.bar.suspend(say) }
    }
}

impl Watch for Terminal {
    fn task(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    fn step(&self, done: usize, of: usize) {
        if self.bar.length() == Some(0) {
            self.bar.disable_steady_tick();
            self.bar.set_style(self.style.clone());
        }
        // Another piece of work has begun, which takes another time.
        if (done as u64) < self.bar.position() {
            self.bar.reset();
        }
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
    }

    fn note(&self, text: &str) {
        self.above(|| talk::note(text));
    }

    fn partial(&self, result: &dyn Any) {
        self.above(|| words::partial(result));
    }

    fn stop(&self) -> bool {
        if let Err(error) = stop::listen() {
            self.note(&format!("note: signals cannot be caught, so Ctrl-C ends at once: {error}"));
        }
        stop::asked()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
