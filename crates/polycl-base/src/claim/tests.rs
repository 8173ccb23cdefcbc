use std::sync::{Condvar, Mutex};

use proptest::prelude::*;

use super::*;

/// Files in memory. Every operation waits until the schedule lets its worker go on; time passes with each.
struct Table {
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, String>,
    now: u64,
    /// The worker that may do one operation.
    turn: Option<usize>,
    /// Workers that wait for their turn, and those that have ended.
    waiting: Vec<bool>,
    ended: Vec<bool>,
    /// Everything that matters, in order.
    told: Vec<Told>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// A worker took a number, at a time.
    Took {
        worker: usize,
        number: u64,
        at: u64,
    },
    /// It looked, and held it still.
    Held {
        number: u64,
    },
    /// Its file was written anew.
    Beat {
        number: u64,
        at: u64,
    },
    Released {
        number: u64,
    },
}

struct Seat<'a> {
    table: &'a Table,
    worker: usize,
}

impl Seat<'_> {
    fn pass<T>(&self, operation: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.table.state.lock().unwrap();
        state.waiting[self.worker] = true;
        self.table.turned.notify_all();
        while state.turn != Some(self.worker) {
            state = self.table.turned.wait(state).unwrap();
        }
        state.now += 1;
        let done = operation(&mut state);
        (state.turn, state.waiting[self.worker]) = (None, false);
        self.table.turned.notify_all();
        done
    }
}

impl Shelf for Seat<'_> {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        Ok(self.pass(|state| state.files.keys().copied().collect()))
    }

    fn read(&self, number: u64) -> io::Result<Option<String>> {
        Ok(self.pass(|state| state.files.get(&number).cloned()))
    }

    fn create(&self, number: u64) -> io::Result<bool> {
        Ok(self.pass(|state| match state.files.entry(number) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(String::new());
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }))
    }

    fn write(&self, number: u64, text: &str) -> io::Result<()> {
        self.pass(|state| {
            state.files.insert(number, text.to_owned());
            state.told.push(Told::Beat { number, at: state.now });
        });
        Ok(())
    }

    fn remove(&self, number: u64) {
        self.pass(|state| state.files.remove(&number));
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.table.state.lock().unwrap().now)
    }
}

/// A worker that claims until it has had the work once, holds it for some beats, and gives it back.
fn work(seat: &Seat<'_>, patience: u64) {
    let said = Said { process: seat.worker as u32, ..Said::default() };
    let mut sight = None;
    for _ in 0..200 {
        let taken = take(seat, &mut sight, Duration::from_secs(patience), &said).unwrap();
        let Some(number) = taken else { continue };
        let tell = |told| seat.table.state.lock().unwrap().told.push(told);
        let at = seat.table.state.lock().unwrap().now;
        tell(Told::Took { worker: seat.worker, number, at });
        for beat in 1..4 {
            // Told in the operation itself, for others may come between.
            let held = seat.pass(|state| {
                let held = state.files.keys().max() == Some(&number);
                if held {
                    state.told.push(Told::Held { number });
                }
                held
            });
            if !held {
                return;
            }
            seat.write(number, &text_of(&Said { beat, ..said.clone() })).unwrap();
        }
        if holds(seat, number).unwrap() {
            seat.write(number, &text_of(&Said { beat: 9, released: true, ..said.clone() })).unwrap();
            tell(Told::Released { number });
        }
        return;
    }
}

/// What happened when workers went on in the order of `schedule`, and then all in turn.
fn run(workers: usize, patience: u64, schedule: &[usize]) -> Vec<Told> {
    let state = State { waiting: vec![false; workers], ended: vec![false; workers], ..State::default() };
    let table = Table { state: Mutex::new(state), turned: Condvar::new() };
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let table = &table;
            scope.spawn(move || {
                work(&Seat { table, worker }, patience);
                table.state.lock().unwrap().ended[worker] = true;
                table.turned.notify_all();
            });
        }
        for wish in schedule.iter().copied().chain(0..) {
            let mut state = table.state.lock().unwrap();
            // All wait or have ended before the next goes on: nothing happens but by the schedule.
            while state.turn.is_some() || (0..workers).any(|at| !state.waiting[at] && !state.ended[at]) {
                state = table.turned.wait(state).unwrap();
            }
            let able: Vec<usize> = (0..workers).filter(|&at| !state.ended[at]).collect();
            if able.is_empty() {
                break;
            }
            state.turn = Some(able[wish % able.len()]);
            table.turned.notify_all();
        }
    });
    table.state.into_inner().unwrap().told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_work_is_done_twice_and_none_is_lost(
        workers in 2_usize..5,
        patience in 3_u64..40,
        schedule in prop::collection::vec(0_usize..60, 0..400),
    ) {
        // One of them may have many turns in a row: the others are paused meanwhile.
        let schedule: Vec<usize> = schedule.into_iter().flat_map(|wish| vec![wish % 5; 1 + wish / 5]).collect();
        let told = run(workers, patience, &schedule);
        let mut last = 0;
        let mut beats: BTreeMap<u64, u64> = BTreeMap::new();
        let mut released = std::collections::BTreeSet::new();
        for event in &told {
            match *event {
                Told::Took { number, at, .. } => {
                    prop_assert!(number > last, "{number} after {last}: {told:?}");
                    // Nobody takes what is alive.
                    let over = number == 1
                        || released.contains(&(number - 1))
                        || beats.get(&(number - 1)).is_none_or(|beat| at - beat >= patience);
                    prop_assert!(over, "{number} was taken too early: {told:?}");
                    last = number;
                }
                // Whoever looks and finds that it holds is the only one.
                Told::Held { number } => prop_assert!(number >= last, "{number} held after {last}: {told:?}"),
                Told::Beat { number, at } => { beats.insert(number, at); }
                Told::Released { number } => { released.insert(number); }
            }
        }
        prop_assert!(told.iter().any(|event| matches!(event, Told::Took { .. })));
    }
}

#[test]
fn one_has_it_and_the_next_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path()).unwrap();
    let mut claims = Claims::new(Duration::from_millis(300));
    let first = claims.take(folder.path(), "task").unwrap().unwrap();
    let mut others = Claims::new(Duration::from_millis(300));
    let until = Instant::now() + Duration::from_millis(700);
    while Instant::now() < until {
        assert!(others.take(folder.path(), "task").unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    let refused = Claims::new(Duration::from_millis(300)).take_or_refuse(folder.path(), "task").unwrap_err();
    assert!(refused.found.contains(&std::process::id().to_string()), "{refused}");
    // Other work in the folder is other work.
    assert!(others.take(folder.path(), "report").unwrap().is_some());
    assert!(!first.is_lost());
    drop(first);
    assert!(others.take(folder.path(), "task").unwrap().is_some());
}

#[test]
fn what_a_process_leaves_that_died_is_over_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path(), "task", Instant::now());
    // A clock that is five minutes off plays no part, nor does a file without a word in it.
    for text in [text_of(&Said { host: "n1".into(), process: 1, ..Said::default() }), String::new()] {
        let next = highest(&files).unwrap().map_or(1, |number| number + 1);
        assert!(files.create(next).unwrap());
        files.write(next, &text).unwrap();
        let off = std::time::SystemTime::now() + Duration::from_secs(300);
        File::options().write(true).open(files.file(next)).unwrap().set_modified(off).unwrap();
        let mut claims = Claims::new(Duration::from_millis(200));
        assert!(claims.take(folder.path(), "task").unwrap().is_none());
        std::thread::sleep(Duration::from_millis(250));
        let claim = claims.take(folder.path(), "task").unwrap().unwrap();
        assert_eq!(claim.number, next + 1);
    }
    // Old files do not pile up.
    assert!(files.numbers().unwrap().len() <= 2);
}

#[test]
fn a_holder_that_was_paused_has_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut claims = Claims::new(Duration::from_millis(200));
    let paused = claims.take(folder.path(), "task").unwrap().unwrap();
    let files = Files::new(folder.path(), "task", Instant::now());
    assert!(files.create(paused.number + 1).unwrap());
    let until = Instant::now() + Duration::from_secs(5);
    while !paused.is_lost() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    // It gives nothing back that is not its own.
    let before = files.read(paused.number).unwrap();
    drop(paused);
    assert_eq!(files.read(1).unwrap(), before);
}
