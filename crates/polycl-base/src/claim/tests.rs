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
    /// Its file was created, or written anew.
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
        Ok(self.pass(|state| {
            let is_new = !state.files.contains_key(&number);
            if is_new {
                state.files.insert(number, String::new());
                state.told.push(Told::Beat { number, at: state.now });
            }
            is_new
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

/// Lets workers go on in the order of `schedule`, then all in turn, and gives all that happened.
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
        let mut taken = std::collections::BTreeSet::new();
        let mut beats: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut released = std::collections::BTreeSet::new();
        for event in &told {
            match *event {
                Told::Took { number, at, .. } => {
                    prop_assert!(taken.insert(number), "{number} was taken twice: {told:?}");
                    // Nobody takes what has always been alive.
                    let beats = beats.get(&(number - 1)).into_iter().flatten().copied();
                    let beats: Vec<u64> = beats.chain([at]).collect();
                    let over = number == 1
                        || released.contains(&(number - 1))
                        || beats.windows(2).any(|two| two[1] - two[0] >= patience);
                    prop_assert!(over, "{number} was taken too early: {told:?}");
                }
                // Whoever looks and finds that it holds is the only one.
                Told::Held { number } => {
                    let highest = beats.last_key_value().map(|(number, _)| *number);
                    prop_assert_eq!(Some(number), highest, "{:?}", told);
                }
                Told::Beat { number, at } => beats.entry(number).or_default().push(at),
                Told::Released { number } => {
                    released.insert(number);
                }
            }
        }
        let somebody = told.iter().any(|event| matches!(event, Told::Took { .. }));
        prop_assert!(somebody, "nobody took it");
    }
}

#[test]
fn one_has_it_and_the_next_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path()).unwrap();
    let mut claims = Claims::new(Duration::from_secs(2));
    let first = claims.take(folder.path(), "task").unwrap().unwrap();
    let mut others = Claims::new(Duration::from_secs(2));
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert!(others.take(folder.path(), "task").unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    let refused = Claims::new(Duration::from_secs(2)).take_or_refuse(folder.path(), "task").unwrap_err();
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

/// A cluster by the minute: workers that are slow, paused, killed and started again, and the operations that they ask of
/// the file system: the table of docs/clusters.md.
mod cluster {
    use std::cell::{Cell, RefCell};
    use std::collections::BinaryHeap;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    const PATIENCE: f64 = 60.0;
    const BEAT: f64 = 10.0;
    const LOOK: f64 = 0.5;

    /// The files of one task, and a worker's own clock.
    struct Place<'a> {
        files: &'a RefCell<BTreeMap<u64, String>>,
        asked: &'a Cell<u64>,
        now: f64,
    }

    impl Place<'_> {
        fn ask(&self) {
            self.asked.set(self.asked.get() + 1);
        }
    }

    impl Shelf for Place<'_> {
        fn numbers(&self) -> io::Result<Vec<u64>> {
            self.ask();
            Ok(self.files.borrow().keys().copied().collect())
        }

        fn read(&self, number: u64) -> io::Result<Option<String>> {
            self.ask();
            Ok(self.files.borrow().get(&number).cloned())
        }

        fn create(&self, number: u64) -> io::Result<bool> {
            self.ask();
            let mut files = self.files.borrow_mut();
            Ok(!files.contains_key(&number) && files.insert(number, String::new()).is_none())
        }

        fn write(&self, number: u64, text: &str) -> io::Result<()> {
            self.ask();
            self.files.borrow_mut().insert(number, text.to_owned());
            Ok(())
        }

        fn remove(&self, number: u64) {
            self.ask();
            self.files.borrow_mut().remove(&number);
        }

        fn now(&self) -> Duration {
            Duration::from_secs_f64(self.now)
        }
    }

    struct Worker {
        /// Its clock runs ahead by so much, and so much faster.
        ahead: f64,
        rate: f64,
        slowness: f64,
        /// Chances of a pause and of death in a minute of work.
        pause: f64,
        death: f64,
        first: usize,
        sights: BTreeMap<usize, Sight>,
        done: Vec<bool>,
        asleep: BTreeMap<usize, (f64, f64)>,
        /// The task at work, its number, the work left and the beat.
        at: Option<(usize, u64, f64, u64)>,
    }

    struct Outcome {
        hours: f64,
        taken_over: usize,
        wasted: f64,
        twice: usize,
        asked: u64,
        most_asked: u64,
    }

    fn simulate(workers: usize, tasks: usize, trouble: bool, seed: u64) -> Outcome {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut random = move || (rng.next_u32() >> 8) as f64 / f64::from(1 << 24);
        let files: Vec<_> = (0..tasks).map(|_| RefCell::new(BTreeMap::new())).collect();
        let length: Vec<f64> = (0..tasks).map(|_| 300.0 + 1200.0 * random()).collect();
        let (mut done, mut ends) = (vec![false; tasks], vec![0; tasks]);
        let fresh = |worker: usize, random: &mut dyn FnMut() -> f64| Worker {
            ahead: if trouble { 300.0 * random() } else { 0.0 },
            rate: if trouble { 0.99 + 0.02 * random() } else { 1.0 },
            slowness: if trouble && worker.is_multiple_of(10) { 3.0 } else { 1.0 },
            pause: if trouble && worker % 10 == 1 { 0.05 } else { 0.0 },
            death: if trouble && worker % 10 == 2 { 0.02 } else { 0.0 },
            first: (random() * tasks as f64) as usize,
            sights: BTreeMap::new(),
            done: vec![false; tasks],
            asleep: BTreeMap::new(),
            at: None,
        };
        let mut all: Vec<Worker> = (0..workers).map(|worker| fresh(worker, &mut random)).collect();
        let asked = Cell::new(0);
        let (mut taken_over, mut wasted, mut most_asked, mut minute) = (0, 0.0, 0, (0_u64, 0_u64));
        // Milliseconds, the earliest first.
        let mut events: BinaryHeap<(std::cmp::Reverse<u64>, usize)> = BinaryHeap::new();
        (0..workers).for_each(|worker| events.push((std::cmp::Reverse((1000.0 * random()) as u64), worker)));
        let mut end = 0.0;
        while let Some((std::cmp::Reverse(milliseconds), number)) = events.pop() {
            if done.iter().all(|done| *done) {
                break;
            }
            let now = milliseconds as f64 / 1000.0;
            end = now;
            if milliseconds / 60_000 != minute.0 {
                most_asked = most_asked.max(asked.get() - minute.1);
                minute = (milliseconds / 60_000, asked.get());
            }
            let worker = &mut all[number];
            let own_time = now * worker.rate + worker.ahead;
            let said = Said { process: number as u32, ..Said::default() };
            let wait = if let Some((task, claim, left, beat)) = worker.at.take() {
                let place = Place { files: &files[task], asked: &asked, now: own_time };
                if random() < worker.death * BEAT / 60.0 {
                    wasted += BEAT;
                    *worker = fresh(number, &mut random);
                    120.0
                } else if !holds(&place, claim).unwrap() {
                    // It was paused for too long.
                    wasted += length[task] - left;
                    0.0
                } else if left <= 0.0 {
                    asked.set(asked.get() + 1);
                    (done[task], worker.done[task]) = (true, true);
                    ends[task] += 1;
                    let text = text_of(&Said { beat: beat + 1, released: true, ..said });
                    place.write(claim, &text).unwrap();
                    0.0
                } else {
                    place.write(claim, &text_of(&Said { beat: beat + 1, ..said })).unwrap();
                    worker.at = Some((task, claim, left - BEAT / worker.slowness, beat + 1));
                    let pause = if random() < worker.pause * BEAT / 60.0 { 600.0 * random() } else { 0.0 };
                    BEAT + pause
                }
            } else {
                let mut wait = LOOK;
                for task in (0..tasks).map(|at| (at + worker.first) % tasks) {
                    if worker.done[task] || worker.asleep.get(&task).is_some_and(|(until, _)| now < *until) {
                        continue;
                    }
                    asked.set(asked.get() + 1);
                    if done[task] {
                        worker.done[task] = true;
                        continue;
                    }
                    let place = Place { files: &files[task], asked: &asked, now: own_time };
                    let mut sight = worker.sights.remove(&task);
                    let taken = take(&place, &mut sight, Duration::from_secs_f64(PATIENCE), &said).unwrap();
                    worker.sights.extend(sight.map(|sight| (task, sight)));
                    if let Some(claim) = taken {
                        taken_over += usize::from(claim > 1);
                        worker.at = Some((task, claim, length[task], 0));
                        wait = BEAT;
                        break;
                    }
                    let slept = worker.asleep.get(&task).map_or(LOOK, |(_, slept)| *slept);
                    let longer = (2.0 * slept).min(PATIENCE / 4.0);
                    worker.asleep.insert(task, (now + longer, longer));
                }
                wait
            };
            events.push((std::cmp::Reverse(milliseconds + (1000.0 * wait) as u64 + 1), number));
        }
        assert!(ends.iter().all(|ends| *ends >= 1), "a task was lost");
        let twice = ends.iter().filter(|ends| **ends > 1).count();
        Outcome {
            hours: end / 3600.0,
            taken_over,
            wasted: wasted / 3600.0,
            twice,
            asked: asked.get(),
            most_asked,
        }
    }

    #[test]
    fn no_task_is_lost_in_a_cluster_and_none_ends_twice() {
        for seed in 0..3 {
            let outcome = simulate(20, 60, true, seed);
            assert_eq!(outcome.twice, 0);
        }
    }

    fn grouped(number: u64) -> String {
        let digits = number.to_string();
        let groups: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
        groups.join(",")
    }

    #[test]
    fn a_cluster_of_200_workers_is_as_the_docs_say() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clusters.md");
        let docs = fs::read_to_string(page).unwrap();
        for (workers, trouble) in [(1, false), (20, false), (200, false), (200, true)] {
            let o = simulate(workers, 1000, trouble, 1);
            let row = format!(
                "| {workers} | {} | {:.2} | {} | {:.1} | {} | {} | {} |",
                if trouble { "yes" } else { "no" },
                o.hours,
                o.taken_over,
                o.wasted,
                o.twice,
                grouped(o.asked),
                grouped(o.most_asked)
            );
            assert!(docs.contains(&row), "{row}");
        }
    }
}
