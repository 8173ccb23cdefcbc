//! How a study goes, on the terminal: what runs, what has come out so far, the time left.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::plan::Plan;
use super::scores;
use super::worker::Job;
use crate::talk;

pub struct Live {
    bars: MultiProgress,
    /// Over the work of all jobs, in slices.
    total: ProgressBar,
    /// One line for each job at work, by its name.
    running: Mutex<BTreeMap<String, ProgressBar>>,
    /// The lines of the table, the first of them the heads of the columns.
    table: Vec<ProgressBar>,
    scores: Mutex<scores::Sofar>,
}

impl Live {
    pub fn new(plan: &Plan) -> Self {
        let bars = MultiProgress::new();
        let lines = if std::io::stderr().is_terminal() { plan.arms.len() + 2 } else { 0 };
        let line = || {
            let style = ProgressStyle::with_template("{msg}").expect("the template is a constant");
            bars.add(ProgressBar::new(0).with_style(style))
        };
        let table: Vec<ProgressBar> = (0..lines).map(|_| line()).collect();
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %  {elapsed} gone, {eta} left")
            .expect("the template is a constant");
        let work = plan.jobs().into_iter().map(|job| plan.work(job)).sum();
        let total = bars.add(ProgressBar::new(work).with_style(style).with_message("study"));
        let scores = Mutex::new(scores::Sofar::default());
        let live = Self { bars, total, running: Mutex::default(), table, scores };
        live.show(plan);
        live
    }

    pub fn began(&self, name: &str) {
        let style = ProgressStyle::with_template("  {spinner} {msg}  {elapsed}").expect("a constant");
        let line = self.bars.add(ProgressBar::new_spinner().with_style(style).with_message(name.to_owned()));
        line.enable_steady_tick(std::time::Duration::from_millis(500));
        self.running.lock().expect("no thread panics over lines").insert(name.to_owned(), line);
    }

    pub fn ended(&self, plan: &Plan, job: Job, name: &str, error: Option<&anyhow::Error>) {
        if let Some(line) = self.running.lock().expect("no thread panics over lines").remove(name) {
            line.finish_and_clear();
        }
        self.total.inc(plan.work(job));
        let mut scores = self.scores.lock().expect("no thread panics over scores");
        let said = match (error, job) {
            (Some(error), _) => format!("FAILED {name}: {error:#}"),
            (None, Job::Encoder(_)) => name.to_owned(),
            (None, Job::Network(number)) => format!("{name}: {}", scores.add(plan, number)),
        };
        drop(scores);
        let done = self.total.position() as f64 / self.total.length().unwrap_or(1).max(1) as f64;
        self.bars.suspend(|| talk::note(format!("{:3.0} %  {said}", 100.0 * done)));
        self.show(plan);
    }

    /// Mean Dice so far of every method at every budget, on the first test.
    fn show(&self, plan: &Plan) {
        let rows = self.scores.lock().expect("no thread panics over scores").rows(plan);
        for (line, row) in self.table.iter().zip(rows) {
            line.set_message(row);
        }
    }

    pub fn finish(self) {
        self.table.iter().for_each(ProgressBar::finish_and_clear);
        self.total.finish_and_clear();
    }
}

impl Plan {
    /// All jobs, in no order.
    pub fn jobs(&self) -> Vec<Job> {
        let networks = (0..self.networks.len()).map(Job::Network);
        (0..self.encoders.len()).map(Job::Encoder).chain(networks).collect()
    }

    /// How much a job is, in slices that pass a network once.
    pub fn work(&self, job: Job) -> u64 {
        const TRAINING: usize = 3;
        let work = match job {
            Job::Encoder(number) => {
                let settings = &self.encoders[number].config.training;
                TRAINING * settings.epochs * settings.steps.unwrap_or(0) * self.config.images_per_step
            }
            Job::Network(number) => {
                let network = &self.networks[number];
                let settings = &network.config.training;
                // Without a number of steps, a guess that the first epochs will not take long to belie.
                let steps = settings.steps.unwrap_or(30);
                let tested = network.tests.iter().flat_map(|&test| {
                    let test = &self.tests[test];
                    let scans = &self.datasets[test.dataset].1.index.scans;
                    test.scans.iter().map(|&scan| scans[scan].slices)
                });
                // The decoder makes it twice as much, a refinement many times.
                let tests = tested.sum::<usize>() * if network.refine { 40 } else { 2 };
                let taught = 1 + usize::from(network.config.self_train == Some(true));
                2 * TRAINING * taught * settings.epochs * steps * settings.batch + tests
            }
        };
        work as u64
    }
}
