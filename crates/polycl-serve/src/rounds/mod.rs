//! Rounds of training from the page: reviewed scans train a network, and it proposes masks for the others.

mod choice;
mod clock;
mod figures;
mod process;
mod progress;
mod propose;
mod record;
mod work;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use polycl_app::round::Scale;
use polycl_base::{Result, output};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::document::now;
use crate::export::{self, Which};
use crate::hub::To;
use crate::locked::locked;
use crate::refusal::{Answer, Refusal};
use clock::Clock;
use progress::Progress;
use record::{Record, Step};

pub use choice::{is_held_back, is_untouched};
pub use propose::{arrived, keep as keep_proposal};

/// Between looks at what people have done.
const TICK: Duration = Duration::from_millis(500);
/// Scans that a network needs at least.
const FEWEST: usize = 2;

/// A round that somebody asks for.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// The scans whose masks train.
    pub scans: Which,
    #[serde(default)]
    pub pretrain: bool,
    #[serde(default)]
    pub settings: Scale,
}

/// All rounds of a folder.
pub struct Rounds {
    folder: PathBuf,
    /// By number, the latest at the end.
    all: Mutex<Vec<Record>>,
    at_work: Mutex<Option<Arc<Work>>>,
    clock: Clock,
}

/// A round that is at work.
struct Work {
    number: u32,
    stop: AtomicBool,
    progress: Mutex<Progress>,
}

impl Rounds {
    /// The rounds that are on disk.
    ///
    /// # Errors
    /// As [`record::all`].
    pub fn open(out: &Path) -> Result<Self> {
        let folder = out.join("rounds");
        let all = Mutex::new(record::all(&folder)?);
        Ok(Self { folder, all, at_work: Mutex::default(), clock: Clock::default() })
    }

    fn record(&self, number: u32) -> Option<Record> {
        locked(&self.all).iter().find(|record| record.number == number).cloned()
    }

    /// Changes a record, on disk first.
    fn change(&self, number: u32, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut all = locked(&self.all);
        let Some(record) = all.iter_mut().find(|record| record.number == number) else { return Ok(()) };
        let mut changed = record.clone();
        change(&mut changed);
        changed.save(&self.folder)?;
        *record = changed;
        Ok(())
    }

    fn work(&self) -> Option<Arc<Work>> {
        locked(&self.at_work).clone()
    }

    /// True where a round is asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.work().is_some_and(|work| work.stop.load(Ordering::Relaxed))
    }

    /// The folder of a round's network, a run like any other.
    fn network(&self, number: u32) -> PathBuf {
        record::folder(&self.folder, number).join("network")
    }

    /// The number of the latest round that has a network.
    fn latest(&self) -> Option<u32> {
        let all = locked(&self.all);
        all.iter().rev().find(|record| record.step >= Step::Predict).map(|record| record.number)
    }

    /// The number of the round that can be gone on with.
    pub fn unfinished(&self) -> Option<u32> {
        let all = locked(&self.all);
        all.last().filter(|record| record.step != Step::Done).map(|record| record.number)
    }
}

/// Starts a round.
///
/// # Errors
/// `round_at_work`, `listing`, `too_few`, `no_program`, `no_such_scan`, `bad_settings`; what writing the masks says.
pub fn start(desk: &Arc<Desk>, asked: Asked) -> Answer<Value> {
    check(&asked.settings)?;
    let rounds = &desk.rounds;
    let work = Arc::new(Work::new(locked(&rounds.all).last().map_or(1, |last| last.number + 1)));
    take(desk, &work)?;
    // Its place is given back, whatever happens.
    let begin = std::panic::AssertUnwindSafe(|| begin(desk, work.number, &asked));
    let begun = std::panic::catch_unwind(begin).unwrap_or_else(|_| {
        Err(Refusal::conflict("failed", "The round could not begin, in a way that nobody foresaw."))
    });
    if let Err(refusal) = begun {
        *locked(&rounds.at_work) = None;
        return Err(refusal);
    }
    work::spawn(desk, work);
    Ok(state(desk))
}

/// Writes the masks that train and the record of a round, as one.
fn begin(desk: &Desk, number: u32, asked: &Asked) -> Answer<()> {
    let chosen = choice::reviewed(desk, &asked.scans)?;
    if chosen.len() < FEWEST {
        let message = format!("A network needs {FEWEST} reviewed scans on which something is drawn.");
        return Err(Refusal::conflict("too_few", message)
            .hint("draw the organs in some scans, and mark these as reviewed"));
    }
    let held_back = choice::held_back(desk, &chosen)?;
    let others = if asked.pretrain { choice::pretraining(desk, &chosen, &held_back) } else { Vec::new() };
    let ids = |entries: &[Arc<crate::folder::Entry>]| entries.iter().map(|entry| entry.id.clone()).collect();
    let record = Record {
        number,
        began: now(),
        step: Step::Import,
        pretrain: asked.pretrain,
        settings: asked.settings,
        organs: choice::organs(desk, &chosen)?.into_iter().collect(),
        trained: ids(&chosen),
        seen: ids(&others),
        held_back: ids(&held_back),
        ..Record::default()
    };
    let folder = record::folder(&desk.rounds.folder, number);
    output::folder_atomically(&folder, |folder| {
        export::training(desk, &folder.join("masks"), &chosen, &others)?;
        record.write(folder)
    })?;
    locked(&desk.rounds.all).push(record);
    Ok(())
}

fn check(scale: &Scale) -> Answer<()> {
    let Scale { size, epochs, steps, batch } = *scale;
    let within = |value: Option<u32>, most: u32| value.is_none_or(|value| (1..=most).contains(&value));
    let sound = size.is_none_or(|size| size % 32 == 0) && within(size, 1024);
    if !sound || !within(epochs, 10_000) || !within(steps, 100_000) || !within(batch, 256) {
        let message = "A size is a multiple of 32 up to 1024; epochs, steps and batch are at least 1.";
        return Err(Refusal::senseless("bad_settings", message));
    }
    Ok(())
}

/// Takes the place of the round at work.
fn take(desk: &Desk, work: &Arc<Work>) -> Answer<()> {
    if desk.request.program.is_none() {
        let message = "This server does not know the program that trains.";
        return Err(Refusal::conflict("no_program", message).hint("run `polycl serve`"));
    }
    if !desk.is_listed() {
        return Err(Refusal::conflict("listing", "The folder is still being read.").hint("wait a moment"));
    }
    let mut place = locked(&desk.rounds.at_work);
    if place.is_some() {
        return Err(Refusal::conflict("round_at_work", "A round is at work already.")
            .hint("wait until it is done, or stop it"));
    }
    *place = Some(Arc::clone(work));
    Ok(())
}

/// True if the latest round was stopped, and would be the same if it were begun now.
///
/// # Errors
/// A refusal where a document cannot be read.
pub fn goes_on(desk: &Desk, asked: &Asked) -> Answer<bool> {
    let Some(record) = desk.rounds.unfinished().and_then(|number| desk.rounds.record(number)) else {
        return Ok(false);
    };
    if record.error.is_some() || record.pretrain != asked.pretrain || record.settings != asked.settings {
        return Ok(false);
    }
    let chosen = choice::reviewed(desk, &asked.scans)?;
    let chosen: BTreeSet<String> = chosen.iter().map(|entry| entry.id.clone()).collect();
    Ok(chosen == record.trained)
}

/// Asks the round at work to stop in order; it can be gone on with.
///
/// # Errors
/// `no_round`
pub fn stop(desk: &Desk) -> Answer<()> {
    let work = desk.rounds.work().ok_or_else(|| Refusal::conflict("no_round", "No round is at work."))?;
    work.stop.store(true, Ordering::Relaxed);
    Ok(())
}

/// Goes on with the latest round, which was stopped, has failed or was cut off.
///
/// # Errors
/// `no_round`, `round_at_work`, `listing`, `no_program`; what the disk says.
pub fn resume(desk: &Arc<Desk>) -> Answer<Value> {
    let number = desk
        .rounds
        .unfinished()
        .ok_or_else(|| Refusal::conflict("no_round", "No round was left unfinished."))?;
    let work = Arc::new(Work::new(number));
    take(desk, &work)?;
    if let Err(error) = desk.rounds.change(number, |record| record.error = None) {
        *locked(&desk.rounds.at_work) = None;
        return Err(error.into());
    }
    work::spawn(desk, work);
    Ok(state(desk))
}

/// The round at work, or the latest where it can be gone on with; null where all are done.
pub fn state(desk: &Desk) -> Value {
    let rounds = &desk.rounds;
    let work = rounds.work();
    let number = work.as_ref().map(|work| work.number).or_else(|| rounds.unfinished());
    let Some(record) = number.and_then(|number| rounds.record(number)) else { return Value::Null };
    let progress = work.as_ref().map(|work| locked(&work.progress).clone()).unwrap_or_default();
    json!({
        "round": record.number,
        "step": record.step,
        "steps": record.steps(),
        "running": work.is_some(),
        "paused": progress.is_paused,
        "done": progress.done,
        "of": progress.of,
        "seconds_left": progress.seconds_left(),
        "lines": progress.lines,
        "error": record.error,
    })
}

/// All rounds with their figures, for the page.
pub fn table(desk: &Desk) -> Value {
    let all = locked(&desk.rounds.all).clone();
    let rounds: Vec<Value> = all.iter().map(|record| figures::told(desk, record, &all)).collect();
    let held_back = all.last().map(|record| choice::still_held_back(desk, record)).unwrap_or_default();
    json!({"now": state(desk), "rounds": rounds, "held_back": held_back, "trains": desk.request.program.is_some()})
}

fn tell(desk: &Desk) {
    desk.hub.tell(To::All, "round", &state(desk));
}

/// Looks after the rounds until the server stops: the newest network is there to predict with, time at work is counted,
/// and what people make of predictions is measured.
pub fn keep(desk: &Arc<Desk>) {
    if desk.trained().is_none()
        && let Some(number) = desk.rounds.latest()
        && let Err(error) = propose::load(desk, number)
    {
        desk.trouble(None, &error.to_string());
    }
    std::thread::scope(|scope| {
        // Measuring takes minutes: time goes on beside it.
        scope.spawn(|| {
            while !desk.stopping.load(Ordering::Relaxed) {
                desk.rounds.clock.tick(desk, TICK);
                std::thread::sleep(TICK);
            }
            desk.rounds.clock.save(desk);
        });
        let mut measured = figures::Measuring::default();
        while !desk.stopping.load(Ordering::Relaxed) {
            if desk.waited_for.load(Ordering::Relaxed) == 0 && measured.next(desk) {
                tell(desk);
            }
            std::thread::sleep(TICK);
        }
    });
}

/// Ends what is at work, and waits for that.
pub fn end(desk: &Desk) {
    while let Some(work) = desk.rounds.work() {
        work.stop.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Work {
    fn new(number: u32) -> Self {
        Self { number, stop: AtomicBool::new(false), progress: Mutex::default() }
    }
}
