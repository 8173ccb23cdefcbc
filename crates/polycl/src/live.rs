//! A study on the terminal: the jobs at work, the scores so far, the time left.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use polycl_app::study::{Event, Failed, JobEnd, Planned, Standing};
use polycl_base::{Watch, counted};

use crate::{stop, talk};

#[derive(Default)]
pub struct Live {
    /// There while jobs run.
    bars: Mutex<Option<Bars>>,
    /// The reason that signals are not heard.
    deaf: OnceLock<io::Error>,
}

impl Watch for Live {
    fn partial(&self, result: &dyn Any) {
        match result.downcast_ref::<Event>() {
            Some(Event::Planned(planned)) => announce(planned),
            Some(Event::Opened { work, standing }) => self.open(*work, standing),
            Some(Event::Over { failed }) => self.over(failed),
            Some(Event::Began { name }) => self.bars().iter_mut().for_each(|bars| bars.began(name)),
            Some(Event::Ended { name, end, work, standing }) => {
                self.bars().iter_mut().for_each(|bars| bars.ended(name, end, *work, standing));
            }
            None => {}
        }
    }

    fn stop(&self) -> bool {
        stop::asked() || self.deaf.get().is_some()
    }
}

impl Live {
    fn open(&self, work: u64, standing: &Standing) {
        match stop::listen() {
            Ok(()) => *self.bars() = Some(Bars::new(work, standing)),
            Err(error) => drop(self.deaf.set(error)),
        }
    }

    fn over(&self, failed: &[Failed]) {
        self.finish();
        for Failed { name, words } in failed {
            talk::error(&anyhow::anyhow!("{name}: {words}"));
        }
    }

    fn bars(&self) -> MutexGuard<'_, Option<Bars>> {
        self.bars.lock().expect("no thread panics over lines")
    }

    /// Takes all lines away.
    pub fn finish(&self) {
        if let Some(bars) = self.bars().take() {
            bars.finish();
        }
    }

    /// The error that kept signals from being heard, for which the study was ended.
    pub fn deaf(self) -> Option<io::Error> {
        self.deaf.into_inner()
    }
}

fn announce(planned: &Planned) {
    let Planned { methods, budgets, seeds, folds, pretrainings, finetunings, jobs } = planned;
    talk::note(format!(
        "{} × {} × {}{}: {} ({} done), {} ({} done), {jobs} at a time",
        counted(*methods, "method"),
        counted(*budgets, "budget"),
        counted(*seeds, "seed"),
        folds.map_or(String::new(), |folds| format!(" × {}", counted(folds, "fold"))),
        counted(pretrainings.all, "pre-training"),
        pretrainings.done,
        counted(finetunings.all, "fine-tuning"),
        finetunings.done,
    ));
}

struct Bars {
    all: MultiProgress,
    /// Over the work of all jobs, in slices.
    total: ProgressBar,
    /// One line for each job at work, by its name.
    running: BTreeMap<String, ProgressBar>,
    /// The lines of the table, the first of them the heads of the columns.
    table: Vec<ProgressBar>,
}

impl Bars {
    fn new(work: u64, standing: &Standing) -> Self {
        let all = MultiProgress::new();
        let lines = if io::stderr().is_terminal() { standing.methods.len() + 2 } else { 0 };
        let line = || {
            let style = ProgressStyle::with_template("{msg}").expect("the template is a constant");
            all.add(ProgressBar::new(0).with_style(style))
        };
        let table: Vec<ProgressBar> = (0..lines).map(|_| line()).collect();
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %  {elapsed} gone, {eta} left")
            .expect("the template is a constant");
        let total = all.add(ProgressBar::new(work).with_style(style).with_message("study"));
        let bars = Self { all, total, running: BTreeMap::new(), table };
        bars.show(standing);
        bars
    }

    fn began(&mut self, name: &str) {
        let style = ProgressStyle::with_template("  {spinner} {msg}  {elapsed}").expect("a constant");
        let line = self.all.add(ProgressBar::new_spinner().with_style(style).with_message(name.to_owned()));
        line.enable_steady_tick(Duration::from_millis(500));
        self.running.insert(name.to_owned(), line);
    }

    fn ended(&mut self, name: &str, end: &JobEnd, work: u64, standing: &Standing) {
        if let Some(line) = self.running.remove(name) {
            line.finish_and_clear();
        }
        self.total.inc(work);
        let said = match end {
            JobEnd::Failed(words) => format!("FAILED {name}: {words}"),
            JobEnd::Pretrained => name.to_owned(),
            JobEnd::Tested(tests) => format!("{name}: {}", dice(tests)),
        };
        let done = self.total.position() as f64 / self.total.length().unwrap_or(1).max(1) as f64;
        self.all.suspend(|| talk::note(format!("{:3.0} %  {said}", 100.0 * done)));
        self.show(standing);
    }

    fn show(&self, standing: &Standing) {
        for (line, row) in self.table.iter().zip(rows(standing)) {
            line.set_message(row);
        }
    }

    fn finish(self) {
        self.table.iter().for_each(ProgressBar::finish_and_clear);
        self.total.finish_and_clear();
    }
}

fn dice(tests: &[(String, Option<f64>)]) -> String {
    let said = |(test, dice): &(String, Option<f64>)| {
        let dice = dice.map_or("undefined".to_owned(), |dice| format!("{dice:.3}"));
        format!("{dice} {test}")
    };
    format!("Dice {}", tests.iter().map(said).collect::<Vec<_>>().join(", "))
}

/// The lines of a table: methods by budgets, and how many networks a mean is of.
fn rows(standing: &Standing) -> Vec<String> {
    let width = standing.methods.iter().map(|method| method.title.len()).max().unwrap_or(0);
    let budgets = standing.budgets.iter().map(|budget| format!("{budget:>12}"));
    let mut rows = vec![
        format!("mean Dice so far (networks), {}", standing.test),
        format!("{:width$}{}", "budget", budgets.collect::<String>()),
    ];
    for method in &standing.methods {
        let cells = method.cells.iter().map(|cell| {
            let said = cell.map_or("-".to_owned(), |mean| format!("{:.3} ({})", mean.dice, mean.networks));
            format!("{said:>12}")
        });
        rows.push(format!("{:width$}{}", method.title, cells.collect::<String>()));
    }
    rows
}
