//! Who watches a piece of work, and may end it.

use std::any::Any;

/// Hears how a piece of work goes and says when to stop. A terminal, the log of a study and the page of a workbench
/// each implement it; `()` hears nothing and never stops.
pub trait Watch: Sync {
    /// Another watch, to which goes all that this one does not take itself.
    fn inner(&self) -> Option<&dyn Watch> {
        None
    }

    /// Names the work at hand, for a person: a scan, an epoch and its loss.
    fn task(&self, text: &str) {
        if let Some(watch) = self.inner() {
            watch.task(text);
        }
    }

    /// `done` of `of` equal steps of the task are done.
    fn step(&self, done: usize, of: usize) {
        if let Some(watch) = self.inner() {
            watch.step(done, of);
        }
    }

    /// One line that a person should read.
    fn note(&self, text: &str) {
        if let Some(watch) = self.inner() {
            watch.note(text);
        }
    }

    /// A part of the result as soon as it is there, of a type that the work names: an epoch of a training, a
    /// propagated slice.
    fn partial(&self, result: &dyn Any) {
        if let Some(watch) = self.inner() {
            watch.partial(result);
        }
    }

    /// True asks the work to stop: it ends in order at its next step and keeps what can be gone on from.
    fn stop(&self) -> bool {
        self.inner().is_some_and(Watch::stop)
    }
}

impl Watch for () {}

/// Tells all to another watch, and asks `stop` whether to stop.
pub struct Until<'a, F> {
    pub watch: &'a dyn Watch,
    pub stop: F,
}

impl<F: Fn() -> bool + Sync> Watch for Until<'_, F> {
    fn inner(&self) -> Option<&dyn Watch> {
        Some(self.watch)
    }

    fn stop(&self) -> bool {
        (self.stop)()
    }
}
