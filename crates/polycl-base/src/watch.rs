//! Who watches a piece of work, and may end it.

use std::any::Any;

/// Hears how a piece of work goes and says when to stop. A terminal, the log of a study and the page of a workbench
/// each implement it; `()` hears nothing and never stops.
pub trait Watch: Sync {
    /// Names the work at hand, for a person: a scan, an epoch and its loss.
    fn task(&self, text: &str) {
        let _ = text;
    }

    /// `done` of `of` equal steps of the task are done.
    fn step(&self, done: usize, of: usize) {
        let _ = (done, of);
    }

    /// One line that a person should read.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// A part of the result as soon as it is there, of a type that the work names: an epoch of a training, a
    /// propagated slice.
    fn partial(&self, result: &dyn Any) {
        let _ = result;
    }

    /// True asks the work to stop: it ends in order at its next step and keeps what can be gone on from.
    fn stop(&self) -> bool {
        false
    }
}

impl Watch for () {}

/// Tells all to another watch, and asks `stop` whether to stop.
pub struct Until<'a, F> {
    pub watch: &'a dyn Watch,
    pub stop: F,
}

impl<F: Fn() -> bool + Sync> Watch for Until<'_, F> {
    fn task(&self, text: &str) {
        self.watch.task(text);
    }

    fn step(&self, done: usize, of: usize) {
        self.watch.step(done, of);
    }

    fn note(&self, text: &str) {
        self.watch.note(text);
    }

    fn partial(&self, result: &dyn Any) {
        self.watch.partial(result);
    }

    fn stop(&self) -> bool {
        (self.stop)()
    }
}
