//! Work as a person watches it in a terminal: a bar with the time left, notes and partial results in words, Ctrl-C.

use std::any::Any;

use indicatif::{ProgressBar, ProgressStyle};
use polycl_base::Watch;

use crate::{stop, talk, words};

/// A bar on stderr, silent where that is no terminal; it goes when this is dropped.
pub struct Terminal(ProgressBar);

impl Terminal {
    /// A bar over steps of work.
    pub fn new(task: &str) -> Self {
        Self::styled("{msg} {wide_bar} {pos}/{len}  {per_sec}  {eta} left", task)
    }

    /// A bar over bytes on their way from elsewhere.
    pub fn bytes(task: &str) -> Self {
        Self::styled("{msg} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left", task)
    }

    /// As [`Self::new`] for work that can be stopped: from here on Ctrl-C asks instead of ending the process.
    pub fn that_stops(task: &str) -> anyhow::Result<Self> {
        use anyhow::Context;
        stop::listen().context("listening to signals")?;
        Ok(Self::new(task))
    }

    fn styled(template: &str, task: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        Self(ProgressBar::new(0).with_style(style).with_message(task.to_owned()))
    }
}

impl Watch for Terminal {
    fn task(&self, text: &str) {
        self.0.set_message(text.to_owned());
    }

    fn step(&self, done: usize, of: usize) {
        // Another piece of work has begun, which takes another time.
        if (done as u64) < self.0.position() {
            self.0.reset();
        }
        self.0.set_length(of as u64);
        self.0.set_position(done as u64);
    }

    fn note(&self, text: &str) {
        self.0.suspend(|| talk::note(text));
    }

    fn partial(&self, result: &dyn Any) {
        self.0.suspend(|| words::partial(result));
    }

    fn stop(&self) -> bool {
        stop::asked()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
