//! The time that people spend on scans: while a tab has one open and asks something of it at least once a minute.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use polycl_base::output;

use crate::desk::Desk;
use crate::folder::Entry;
use crate::locked::locked;

/// The time after which a person who asks for nothing is taken to be away.
const AWAY: Duration = Duration::from_secs(60);
/// The time of work that a kill may cost.
const SAVE: Duration = Duration::from_secs(10);
const FILE: &str = "seconds";

#[derive(Default)]
pub struct Clock(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    /// Time that is not on disk yet, by scan.
    new: BTreeMap<String, Duration>,
    saved: Option<Instant>,
}

impl Clock {
    /// Counts a span of time for all scans that somebody works on.
    pub fn tick(&self, desk: &Desk, span: Duration) {
        let at_work =
            |id: &String| desk.hub.is_watched(id) && desk.opened(id).is_some_and(|scan| scan.idle() < AWAY);
        let is_due = {
            let mut counted = locked(&self.0);
            for id in desk.all_open().into_iter().filter(at_work) {
                *counted.new.entry(id).or_default() += span;
            }
            counted.saved.get_or_insert_with(Instant::now).elapsed() > SAVE
        };
        if is_due {
            self.save(desk);
        }
    }

    /// Writes what is not on disk yet; where that fails, it is tried again.
    pub fn save(&self, desk: &Desk) {
        let mut counted = locked(&self.0);
        counted.new.retain(|id, new| {
            let Ok(entry) = desk.entry(id) else { return false };
            let all = (stored(&entry) + *new).as_secs_f64().to_string();
            output::atomically(&entry.folder.join(FILE), |file| file.write_all(all.as_bytes())).is_err()
        });
        counted.saved = Some(Instant::now());
    }

    /// The time that was spent on a scan.
    pub fn of(&self, entry: &Entry) -> Duration {
        // In this order: what is saved meanwhile must not count twice.
        let counted = locked(&self.0);
        stored(entry) + counted.new.get(&entry.id).copied().unwrap_or_default()
    }
}

fn stored(entry: &Entry) -> Duration {
    let text = std::fs::read_to_string(entry.folder.join(FILE)).unwrap_or_default();
    text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Server, runtime};

    #[test]
    fn time_counts_while_somebody_has_a_scan_open() {
        runtime().block_on(async {
            let server = Server::new();
            let (id, _) = server.open("first", "a").await;
            let entry = server.desk.entry(&id).unwrap();
            let clock = Clock::default();
            let span = Duration::from_secs(30);
            clock.tick(&server.desk, span);
            assert_eq!(clock.of(&entry), Duration::ZERO);
            let listening = server.desk.hub.listen("a", Some(&id));
            clock.tick(&server.desk, span);
            clock.tick(&server.desk, span);
            assert_eq!(clock.of(&entry), 2 * span);
            clock.save(&server.desk);
            assert_eq!((clock.of(&entry), Clock::default().of(&entry)), (2 * span, 2 * span));
            drop(listening);
            clock.tick(&server.desk, span);
            assert_eq!(clock.of(&entry), 2 * span);
        });
    }
}
