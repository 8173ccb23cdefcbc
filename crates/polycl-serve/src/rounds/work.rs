//! A round at work: one step after the other, each gone on with after a stop or a kill.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use polycl_app::round::Round;

use super::process::{self, End, Rider, Wish};
use super::progress::Progress;
use super::record::{self, Record, Step};
use super::{Work, propose, tell};
use crate::desk::Desk;
use crate::locked::locked;
use crate::refusal::{Answer, Refusal};

/// The time after which a command goes on when nobody waits any more: people seldom ask once.
const REST: Duration = Duration::from_secs(1);
/// Between tries where another process is at work on a run, and the most tries: it ends with its server.
const RETRY: Duration = Duration::from_millis(500);
const TRIES: usize = 120;

/// Works on a round in a thread of its own.
pub fn spawn(desk: &Arc<Desk>, work: Arc<Work>) {
    let desk = Arc::clone(desk);
    std::thread::spawn(move || {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| go_through(&desk, &work)))
            .unwrap_or_else(|_| {
                Err(Refusal::conflict("failed", "The round failed in a way that nobody foresaw."))
            });
        if let Err(refusal) = ended {
            let text = refusal.message;
            desk.trouble(None, &format!("Training has failed: {text}"));
            let _ = desk.rounds.change(work.number, |record| record.error = Some(text));
        }
        *locked(&desk.rounds.at_work) = None;
        tell(&desk);
    });
}

/// Does what is left of a round, until somebody asks to stop.
fn go_through(desk: &Arc<Desk>, work: &Work) -> Answer<()> {
    while let Some(record) = desk.rounds.record(work.number) {
        *locked(&work.progress) = Progress::default();
        tell(desk);
        let done = match record.step {
            Step::Done => return Ok(()),
            Step::Predict => propose::to_all(desk, work)?,
            Step::Import | Step::Pretrain | Step::Finetune => command(desk, work, &record)?,
        };
        if !done {
            return Ok(());
        }
        // Whoever hears that a network predicts finds it there.
        if record.next() == Step::Predict {
            propose::load(desk, work.number)?;
        }
        desk.rounds.change(work.number, |record| record.step = record.next())?;
    }
    Ok(())
}

/// Runs the command of a step; false where it was stopped.
fn command(desk: &Desk, work: &Work, record: &Record) -> Answer<bool> {
    let folder = std::path::absolute(record::folder(&desk.rounds.folder, work.number))
        .unwrap_or_else(|_| record::folder(&desk.rounds.folder, work.number));
    let round = Round {
        folder: &folder,
        pretrained: record.pretrain,
        organs: &record.organs,
        scale: record.settings,
    };
    let words = match record.step {
        Step::Import => round.import(),
        Step::Pretrain => round.pretrain(),
        _ => round.finetune(),
    };
    let program: PathBuf = desk.request.program.clone().unwrap_or_else(|| PathBuf::from("polycl"));
    let watching = Watching { desk, work, waited: std::cell::Cell::new(None) };
    for _ in 0..TRIES {
        match process::run(&program, &words, &folder.join("log.txt"), &watching)? {
            End::Done | End::SomeFailed => return Ok(true),
            End::Stopped => return Ok(false),
            End::Failed(text) => return Err(Refusal::conflict("failed", text)),
            // A command of a server that was killed ends at its next step.
            End::Held => std::thread::sleep(RETRY),
        }
        if work.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
    }
    Err(Refusal::conflict("failed", "Another process is at work on the round."))
}

/// Steers the command of a step: people go first.
struct Watching<'a> {
    desk: &'a Desk,
    work: &'a Work,
    /// The last moment at which somebody waited.
    waited: std::cell::Cell<Option<Instant>>,
}

impl Rider for Watching<'_> {
    fn wish(&self) -> Wish {
        if self.work.stop.load(Ordering::Relaxed) {
            return Wish::Stop;
        }
        if self.desk.waited_for.load(Ordering::Relaxed) > 0 {
            self.waited.set(Some(Instant::now()));
            return Wish::Pause;
        }
        if self.waited.get().is_some_and(|at| at.elapsed() < REST) {
            return Wish::Pause;
        }
        Wish::Go
    }

    fn paused(&self, is_paused: bool) {
        locked(&self.work.progress).pause(is_paused);
        tell(self.desk);
    }

    fn hear(&self, line: &str) {
        locked(&self.work.progress).hear(line);
        tell(self.desk);
    }
}
