//! Several processes, on one computer or many, do the jobs of a study together: each takes what is free until all is done.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polycl_base::claim::{Claim, Claims};
use polycl_base::{Error, Watch};

use super::event::{Event, Failed};
use super::job::{self, Job};
use super::plan::StudyPlan;
use super::runner::{Runner, Ticket};
use super::standing::SoFar;
use super::task::{self, Task};

/// The claim of a task in its folder, and of the report in the study's.
const TASK: &str = "task";
const REPORT: &str = "report";
/// Between looks at the jobs at work here, and at those of others.
const PAUSE: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(500);

/// The end of one task.
pub enum Only {
    Done,
    /// Another process has it.
    Held,
    /// A task before it is not done.
    NeedsUnmet,
    Stopped,
}

/// Does one job, unless it is done, or is being done elsewhere.
///
/// # Errors
/// Those of the job's commands; claims that cannot be written.
pub fn only(
    plan: &Arc<StudyPlan>,
    job: Job,
    claims: &mut Claims,
    runner: &mut dyn Runner,
    watch: &dyn Watch,
) -> anyhow::Result<Only> {
    let folder = job.folder(plan);
    if task::is_done(plan, job) {
        return Ok(Only::Done);
    }
    if job.needs(plan).is_some_and(|before| !task::is_done(plan, before)) {
        return Ok(Only::NeedsUnmet);
    }
    let Some(claim) = claims.wait(folder, TASK, &|| watch.stop())? else {
        return Ok(if watch.stop() { Only::Stopped } else { Only::Held });
    };
    watch.partial(&Event::Began { name: job.name(plan) });
    let ticket = runner.submit(Task::new(plan, job)?);
    let mut cancelled = false;
    loop {
        if !cancelled && (watch.stop() || claim.is_lost()) {
            runner.cancel(ticket);
            cancelled = true;
        }
        match runner.poll(ticket) {
            None => std::thread::sleep(PAUSE),
            Some(Err(_)) if watch.stop() => return Ok(Only::Stopped),
            Some(Err(_)) if !claim.holds() => return Ok(Only::Held),
            Some(end) => {
                end?;
                let (event, _) = SoFar::default().ended(plan, job, Ok(()));
                watch.partial(&event);
                return Ok(Only::Done);
            }
        }
    }
}

/// Takes jobs that are free, some at a time, until all are done or have failed here; returns those that failed.
///
/// # Errors
/// Claims that cannot be written.
pub fn all(
    plan: &Arc<StudyPlan>,
    jobs: usize,
    claims: &mut Claims,
    runner: &mut dyn Runner,
    watch: &dyn Watch,
) -> anyhow::Result<Vec<Failed>> {
    let mut order = job::in_order(plan);
    // Many that begin at once need not all ask for the same.
    let first = RandomState::new().build_hasher().finish() as usize % order.len().max(1);
    order.rotate_left(first);
    let mut joined = Joined {
        plan,
        watch,
        order,
        asleep: BTreeMap::new(),
        trouble: None,
        running: Vec::new(),
        told: BTreeSet::new(),
        failed: BTreeMap::new(),
        scores: SoFar::default(),
    };
    let mut looked: Option<Instant> = None;
    loop {
        let has_room = joined.running.len() < jobs && !watch.stop();
        if has_room && looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            looked = Some(Instant::now());
            let is_over = joined.take(jobs, claims, runner)?;
            if let Some((_, error)) = joined.trouble.take_if(|_| is_over) {
                joined.give_up(runner);
                return Err(error.into());
            }
            if is_over {
                return Ok(joined.failed.into_values().collect());
            }
        }
        if joined.running.is_empty() && watch.stop() {
            return Ok(joined.failed.into_values().collect());
        }
        if joined.look(runner) {
            looked = None;
        } else {
            std::thread::sleep(PAUSE);
        }
    }
}

struct Joined<'a> {
    plan: &'a Arc<StudyPlan>,
    watch: &'a dyn Watch,
    order: Vec<Job>,
    /// Jobs that others have: when to look again, and how long it was let alone. Each look asks the file system thrice.
    asleep: BTreeMap<Job, (Instant, Duration)>,
    /// The first of the errors since a claim could be taken, and when it came.
    trouble: Option<(Instant, Error)>,
    running: Vec<(Job, Ticket, Claim)>,
    /// Jobs whose end was told to whoever watches.
    told: BTreeSet<Job>,
    failed: BTreeMap<Job, Failed>,
    scores: SoFar,
}

impl Joined<'_> {
    /// Takes what is free; true if nothing is left to do, here or elsewhere.
    fn take(&mut self, jobs: usize, claims: &mut Claims, runner: &mut dyn Runner) -> anyhow::Result<bool> {
        let mut left = false;
        for job in self.order.clone() {
            let folder = job.folder(self.plan);
            if self.told.contains(&job) {
                continue;
            }
            let is_mine = self.running.iter().any(|(own, ..)| *own == job);
            let is_asleep = self.asleep.get(&job).is_some_and(|(until, _)| Instant::now() < *until);
            if is_mine || is_asleep {
                left = true;
                continue;
            }
            if task::is_done(self.plan, job) {
                self.end(job, Ok(()));
                continue;
            }
            left = true;
            if self.running.len() >= jobs {
                continue;
            }
            match job.needs(self.plan) {
                Some(before) if self.failed.contains_key(&before) => {
                    self.end(job, Err(anyhow::anyhow!("the pre-training before it failed")));
                    continue;
                }
                Some(before) if !self.told.contains(&before) => continue,
                _ => {}
            }
            // A file system that is away for a moment is asked again.
            let claim = match claims.take(folder, TASK) {
                Ok(claim) => {
                    self.trouble = None;
                    claim
                }
                Err(error) => {
                    let (since, _) = self.trouble.get_or_insert_with(|| (Instant::now(), error));
                    if since.elapsed() > claims.patience() {
                        return Ok(true);
                    }
                    None
                }
            };
            let Some(claim) = claim else {
                let slept = self.asleep.get(&job).map_or(LOOK, |(_, slept)| *slept);
                let longer = (2 * slept).min(claims.patience() / 4);
                self.asleep.insert(job, (Instant::now() + longer, longer));
                continue;
            };
            // It may have been done between the two looks.
            if task::is_done(self.plan, job) {
                continue;
            }
            self.watch.partial(&Event::Began { name: job.name(self.plan) });
            match Task::new(self.plan, job) {
                Ok(task) => self.running.push((job, runner.submit(task), claim)),
                Err(error) => self.end(job, Err(error)),
            }
        }
        Ok(!left && self.running.is_empty())
    }

    /// Asks all jobs at work here to end, and waits until they have.
    fn give_up(&mut self, runner: &mut dyn Runner) {
        self.running.iter().for_each(|(_, ticket, _)| runner.cancel(*ticket));
        while let Some((job, ticket, claim)) = self.running.pop() {
            if runner.poll(ticket).is_none() {
                self.running.push((job, ticket, claim));
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Looks at the jobs at work here; true if one has ended.
    fn look(&mut self, runner: &mut dyn Runner) -> bool {
        let before = self.running.len();
        for (job, ticket, claim) in std::mem::take(&mut self.running) {
            let is_given_up = self.watch.stop() || claim.is_lost();
            if is_given_up {
                runner.cancel(ticket);
            }
            match runner.poll(ticket) {
                None => self.running.push((job, ticket, claim)),
                // Another process has it, or will have it.
                Some(Err(_)) if is_given_up || !claim.holds() => {}
                Some(end) => self.end(job, end),
            }
        }
        self.running.len() < before
    }

    fn end(&mut self, job: Job, end: anyhow::Result<()>) {
        if !self.told.insert(job) {
            return;
        }
        let (event, failed) = self.scores.ended(self.plan, job, end);
        self.failed.extend(failed.map(|failed| (job, failed)));
        self.watch.partial(&event);
    }
}

/// Lets one of all processes do the last work, if it is not done.
///
/// # Errors
/// Those of `work`; claims that cannot be written.
pub fn once<T>(
    out: &Path,
    claims: &mut Claims,
    is_done: impl Fn() -> Option<T>,
    work: impl FnOnce() -> anyhow::Result<T>,
    watch: &dyn Watch,
) -> anyhow::Result<Option<T>> {
    loop {
        if let Some(done) = is_done() {
            return Ok(Some(done));
        }
        if watch.stop() {
            return Ok(None);
        }
        if let Some(_claim) = claims.take(out, REPORT)? {
            return is_done().map_or_else(work, Ok).map(Some);
        }
        std::thread::sleep(LOOK);
    }
}
