//! Work as a person watches it in a terminal: a bar with the time left, notes and partial results in words, Ctrl-C.

use std::any::Any;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use polycl_base::Watch;

use crate::{steer, stop, talk, words};

/// The time between two lines about progress where stderr is no terminal, and where another process reads them.
const PAUSE: Duration = Duration::from_secs(60);
const SHORT_PAUSE: Duration = Duration::from_millis(500);

/// A bar on stderr, or a line now and then where that is no terminal; the bar goes when this is dropped. From the first
/// time that the work asks whether to stop, Ctrl-C asks it to instead of ending the process.
pub struct Terminal {
    bar: ProgressBar,
    style: ProgressStyle,
    drawn: Once,
    /// The last line about progress.
    told: Mutex<Instant>,
}

impl Terminal {
    /// A bar over steps of work.
    pub fn new(task: &str) -> Self {
        Self::styled("{msg} {wide_bar} {percent} %  {eta} left", task)
    }

    /// A bar over bytes on their way from elsewhere.
    pub fn bytes(task: &str) -> Self {
        let bytes = Self::styled("{msg} {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left", task);
        bytes.draw();
        bytes.bar.enable_steady_tick(Duration::from_millis(200));
        bytes
    }

    /// A spinner until it is known how much there is to do.
    fn styled(template: &str, task: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden())
            .with_style(ProgressStyle::default_spinner())
            .with_message(task.to_owned());
        Self { bar, style, drawn: Once::new(), told: Mutex::new(Instant::now()) }
    }

    /// Draws the bar from here on, in a terminal. What has no task and no step, such as a demo, has no bar.
    fn draw(&self) {
        self.drawn.call_once(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
    }

    /// Tells how far the work is, if that was not told lately.
    fn line(&self, done: usize, of: usize) {
        let mut told = self.told.lock().expect("no thread panics over a line");
        let pause = if steer::is_on() { SHORT_PAUSE } else { PAUSE };
        if told.elapsed() >= pause && done < of {
            *told = Instant::now();
            talk::note(format_args!("{}: {} % done", self.bar.message(), 100 * done / of));
        }
    }

    /// Says something above the bar.
    fn above(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }
}

impl Watch for Terminal {
    fn task(&self, text: &str) {
        self.draw();
        self.bar.set_message(text.to_owned());
    }

    fn step(&self, done: usize, of: usize) {
        self.draw();
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
        if self.bar.is_hidden() {
            self.line(done, of);
        }
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
        steer::is_on() && steer::is_stopped() || stop::asked()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
