//! Does all jobs of a study that are not done, a few at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use polycl_base::Watch;

use super::event::{Event, Failed};
use super::job::{self, Job};
use super::plan::StudyPlan;
use super::runner::{Runner, Ticket};
use super::standing::SoFar;
use super::task::Task;

/// Time between two looks at the jobs at work.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs `jobs` at a time until all have ended, or those at work after `watch` has asked to stop; returns those that
/// failed.
pub fn execute(
    plan: &Arc<StudyPlan>,
    jobs: usize,
    runner: &mut dyn Runner,
    watch: &dyn Watch,
) -> Vec<Failed> {
    let mut course = Course {
        plan,
        watch,
        waiting: job::in_order(plan),
        running: Vec::new(),
        pretrained: BTreeSet::new(),
        scores: SoFar::default(),
        failed: Vec::new(),
    };
    loop {
        while course.running.len() < jobs
            && let Some(job) = course.take()
        {
            course.begin(job, runner);
        }
        if course.running.is_empty() {
            return course.failed;
        }
        if !course.look(runner) {
            std::thread::sleep(PAUSE);
        }
    }
}

struct Course<'a> {
    plan: &'a Arc<StudyPlan>,
    watch: &'a dyn Watch,
    waiting: Vec<Job>,
    running: Vec<(Job, Ticket)>,
    /// Pre-trainings that are there, or failed.
    pretrained: BTreeSet<usize>,
    scores: SoFar,
    failed: Vec<Failed>,
}

impl Course<'_> {
    /// The next job whose encoder is there. One that has lost its encoder is taken, too, to be told as failed.
    fn take(&mut self) -> Option<Job> {
        if self.watch.stop() {
            return None;
        }
        let ready = |job: &Job| match job {
            Job::Pretraining(_) => true,
            Job::Finetuning(number) => {
                let pretraining = self.plan.finetunings[*number].pretraining;
                pretraining.is_none_or(|number| self.pretrained.contains(&number))
            }
        };
        let at = self.waiting.iter().position(ready)?;
        Some(self.waiting.remove(at))
    }

    fn begin(&mut self, job: Job, runner: &mut dyn Runner) {
        self.watch.partial(&Event::Began { name: job.name(self.plan) });
        match Task::new(self.plan, job) {
            Ok(task) => self.running.push((job, runner.submit(task))),
            Err(error) => self.end(job, Err(error)),
        }
    }

    /// Looks at every job at work; true if one has ended.
    fn look(&mut self, runner: &mut dyn Runner) -> bool {
        let before = self.running.len();
        for (job, ticket) in std::mem::take(&mut self.running) {
            if self.watch.stop() {
                runner.cancel(ticket);
            }
            match runner.poll(ticket) {
                None => self.running.push((job, ticket)),
                Some(end) => self.end(job, end),
            }
        }
        self.running.len() < before
    }

    fn end(&mut self, job: Job, end: anyhow::Result<()>) {
        // What was asked to stop has not failed.
        if end.is_err() && self.watch.stop() {
            return;
        }
        if let Job::Pretraining(number) = job {
            self.pretrained.insert(number);
        }
        let (event, failed) = self.scores.ended(self.plan, job, end);
        self.failed.extend(failed);
        self.watch.partial(&event);
    }
}
