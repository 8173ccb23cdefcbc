//! How far the step of a round is, by the lines that its command says.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Lines that are kept for a person.
const LINES: usize = 6;

#[derive(Debug, Clone, Default)]
pub struct Progress {
    pub done: usize,
    pub of: usize,
    pub is_paused: bool,
    pub lines: VecDeque<String>,
    /// When the step was first heard of, and how far it was then.
    first: Option<(Instant, usize)>,
    /// The time for which it was paused since.
    paused: Duration,
    paused_at: Option<Instant>,
}

impl Progress {
    /// Hears a line: `epoch 1/20  loss 0.7: 12 % done`, or one for a person.
    pub fn hear(&mut self, line: &str) {
        match per_cent(line) {
            Some(done) => self.advance(done, 100),
            None if line.is_empty() || line.starts_with("next: ") => {}
            None => {
                self.lines.push_back(line.to_owned());
                if self.lines.len() > LINES {
                    self.lines.pop_front();
                }
            }
        }
    }

    pub fn advance(&mut self, done: usize, of: usize) {
        (self.done, self.of) = (done, of);
        if self.first.is_none_or(|(_, first)| done < first) {
            self.first = Some((Instant::now(), done));
            self.paused = Duration::ZERO;
        }
    }

    pub fn pause(&mut self, is_paused: bool) {
        self.paused += self.paused_at.take().map_or(Duration::ZERO, |at| at.elapsed());
        self.paused_at = is_paused.then(Instant::now);
        self.is_paused = is_paused;
    }

    /// The seconds that the step takes from here, as long as that can be told.
    pub fn seconds_left(&self) -> Option<u64> {
        let (at, first) = self.first?;
        let gone = self.done.checked_sub(first).filter(|gone| *gone > 0)?;
        let still = self.paused_at.map_or(Duration::ZERO, |at| at.elapsed());
        let worked = at.elapsed().saturating_sub(self.paused + still).as_secs_f64();
        Some((worked / gone as f64 * self.of.saturating_sub(self.done) as f64).ceil() as u64)
    }
}

fn per_cent(line: &str) -> Option<usize> {
    line.strip_suffix(" % done")?.rsplit_once(": ")?.1.parse().ok().filter(|done| *done <= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_how_far_a_command_is() {
        let mut progress = Progress::default();
        progress.hear("liver: 295 slices of 7 patients, 214 with liver");
        assert_eq!((progress.of, progress.seconds_left()), (0, None));
        progress.hear("epoch 1/20  loss 0.7123: 10 % done");
        assert_eq!((progress.done, progress.of, progress.seconds_left()), (10, 100, None));
        progress.first = Instant::now().checked_sub(Duration::from_secs(20)).map(|at| (at, 10));
        progress.hear("epoch 3/20  loss 0.5: 20 % done");
        assert_eq!(progress.seconds_left(), Some(161));
        // A pause does not count.
        progress.paused = Duration::from_secs(10);
        assert_eq!(progress.seconds_left(), Some(81));
        assert_eq!(progress.lines, ["liver: 295 slices of 7 patients, 214 with liver"]);
        (0..9).for_each(|number| progress.hear(&format!("note: {number}")));
        assert_eq!((progress.lines.len(), progress.lines[0].as_str()), (LINES, "note: 3"));
    }
}
