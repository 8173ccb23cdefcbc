//! One explicit training loop for every task: pre-training and fine-tuning differ in what a
//! [`Task`] plans, loads and minimises, never in how the loop goes.

mod augment;
mod draw;
mod events;
pub mod finetune;
pub mod pretrain;
mod record;
mod run;
mod views;
mod weight;

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use polycl_base::rng::{Purpose, rng};
use polycl_base::{Error, Kind, Result, Subject, Watch};
use polycl_data::{Dataset, Scan};
use rand::Rng;

use crate::net::averaged;
use crate::optim::{Adam, clip_scale, global_norm, warmed_up};
use crate::select::SliceId;
pub use augment::{Augment, mirrored_classes};
pub use record::{Begin, Epoch, LeftOut, Probe, Record, Settings, State, Within};
use run::Weights;
pub use run::{
    LOCK as RUN_LOCK, Organ, PaintedRegion, Run, RunCard, RunKind, Seen, TEACHER, read_log, weights,
};
pub use views::Views;
pub use weight::LabelWeight;

/// A task to train: everything in which one training differs from another.
pub trait Task: Sync {
    type Model: Module;
    type Item: Send + Sync;
    type Batch: Send;

    /// The learning rate where the settings name none.
    const RATE: f64;
    /// The part of the steps that warms up where the settings name none.
    const WARMUP: f64 = 0.0;
    /// Decay of the running mean of the weights where the settings do not say.
    const AVERAGE: f64 = 0.0;

    /// The items of a round through the data, as many in each, in the order they are used. An epoch is one
    /// round, or the several that its steps need.
    fn plan(&self, round: usize) -> Vec<Self::Item>;
    /// Reads a batch of a round; runs beside the step before it, on a thread of its own.
    fn load(&self, round: usize, items: &[Self::Item]) -> Result<Self::Batch>;
    /// The model as it enters `epoch`: the place to freeze and to thaw.
    fn enter(&self, epoch: usize, model: Self::Model) -> Self::Model {
        let _ = epoch;
        model
    }
    /// The slices that the plan leaves out, for the log.
    fn left_out(&self) -> Option<LeftOut> {
        None
    }
    /// A scalar as `[1]`, and the model as it goes on to the optimiser: what follows the trained weights
    /// without being trained itself (a momentum encoder, a queue) moves on here.
    fn loss(&self, model: Self::Model, batch: Self::Batch, device: &Device) -> (Self::Model, Tensor<1>);
    /// Factor of the learning rate for the parameter of this name.
    fn rate_of(&self, parameter: &str) -> f64 {
        let _ = parameter;
        1.0
    }
    /// A score of the model on data it does not train on, larger is better; `None` without such data.
    fn validate(&self, model: &Self::Model, device: &Device) -> Result<Option<f64>> {
        let _ = (model, device);
        Ok(None)
    }
    /// Reads off the model more than its loss tells.
    fn probe(&self, model: &Self::Model, device: &Device) -> Result<Option<Probe>> {
        let _ = (model, device);
        Ok(None)
    }
    /// Epochs without a better score, or without a lower loss where nothing gives a score, after which training
    /// ends; `None` goes on to the last.
    fn patience(&self) -> Option<usize> {
        None
    }
}

/// Steps whose loss is taken for that of an untrained network.
const FIRST: usize = 10;

/// Trains `model` until `settings.epochs`, from where `run` stands. Every epoch ends with a line in
/// the log and a checkpoint from which a killed run goes on bit for bit; within long ones there is one every
/// `save_every`. `watch` hears every step, and each [`Epoch`].
///
/// # Errors
/// [`Kind::Request`] where loss or gradients become infinite; what reading and writing can say.
pub fn train<T: Task>(
    task: &T,
    model: T::Model,
    settings: &Settings,
    run: &mut Run,
    save_every: Duration,
    watch: &dyn Watch,
) -> Result<State> {
    let device = settings.device.open().autodiff();
    let (saved, first) = (Instant::now(), (0.0, 0));
    let mut training = Training { task, settings, run: &mut *run, save_every, watch, device, saved, first };
    training.epochs(model).inspect_err(|_| run.abandon())
}

/// A training at work.
struct Training<'a, T: Task> {
    task: &'a T,
    settings: &'a Settings,
    run: &'a mut Run,
    save_every: Duration,
    watch: &'a dyn Watch,
    device: Device,
    /// When the last checkpoint was written.
    saved: Instant,
    /// The mean loss of the first steps, and of how many.
    first: (f64, usize),
}

/// An epoch's mean loss and last learning rate.
struct Passed {
    loss: f64,
    rate: f64,
}

impl<T: Task> Training<'_, T> {
    fn epochs(&mut self, model: T::Model) -> Result<State> {
        let (task, settings) = (self.task, self.settings);
        let begins = settings.average.unwrap_or(T::AVERAGE) > 0.0;
        let (mut weights, mut adam, mut state) = self.run.resume(model, begins, &self.device)?;
        while state.epoch < settings.epochs && task.patience().is_none_or(|patience| state.stale < patience) {
            if self.watch.stop() {
                state.stopped = true;
                break;
            }
            let start = begun(&state);
            weights.model = task.enter(state.epoch, weights.model);
            let passed;
            (weights, passed) = self.epoch(weights, &mut adam, &mut state, start)?;
            let Some(Passed { loss, rate }) = passed else { break };
            let (valid, inner) = (weights.result().valid(), self.device.clone().inner());
            let score = task.validate(&valid, &inner)?;
            let probe = task.probe(&valid, &inner)?;
            state.within = None;
            state.epoch += 1;
            let better = score.is_some_and(|score| state.best.is_none_or(|best| score > best));
            if better {
                state.best = score;
            }
            let lower = state.lowest.is_none_or(|lowest| loss < lowest);
            if lower {
                state.lowest = Some(loss);
            }
            state.stale = if better || lower && score.is_none() { 0 } else { state.stale + 1 };
            let (left_out, seconds) = (task.left_out(), start.elapsed().as_secs_f64());
            let record = Record { epoch: state.epoch, loss, rate, left_out, score, probe, seconds };
            self.run.finish_epoch(&record, &weights, &adam, &state, better)?;
            self.saved = Instant::now();
            self.tell(record);
        }
        Ok(state)
    }

    /// Hands on an epoch, and warns after a quarter of a training in which nothing has been learnt.
    fn tell(&self, record: Record) {
        let (epoch, loss, of) = (record.epoch, record.loss, self.settings.epochs);
        self.watch.partial(&Epoch { run: self.run.dir.clone(), of, record });
        let (first, steps) = self.first;
        // A loss that rises is another matter: MoCo's queue fills at first.
        let same = (0.98 * first..1.02 * first).contains(&loss);
        if epoch == of.div_ceil(4) && epoch > 1 && steps == FIRST && same {
            self.watch.note(&format!(
                "warning: after a quarter of the steps, the loss is where it began ({first:.3}): the network has learnt nothing\n\
                 hint: give more steps or a higher --rate, and look for odd scans with `polycl inspect`"
            ));
        }
    }

    fn tell_step(&mut self, (epoch, step, steps): (usize, usize, usize), loss: f64) {
        if epoch == 0 && step == self.first.1 + 1 && step <= FIRST {
            let (mean, count) = self.first;
            self.first = (mean + (loss - mean) / (count + 1) as f64, count + 1);
        }
        let of = self.settings.epochs;
        self.watch.task(&format!("epoch {}/{of}  loss {loss:.4}", epoch + 1));
        self.watch.step(epoch * steps + step, of * steps);
    }

    /// Runs the steps left in an epoch; returns the model, and the epoch's record unless it was stopped
    /// within.
    fn epoch(
        &mut self,
        mut weights: Weights<T::Model>,
        adam: &mut Adam,
        state: &mut State,
        start: Instant,
    ) -> Result<(Weights<T::Model>, Option<Passed>)> {
        let (task, settings, epoch) = (self.task, self.settings, state.epoch);
        let plan = Rounds::new(task, epoch, settings);
        let steps = plan.batches.len();
        let rate_at = |step: usize| {
            let warmup = settings.warmup.unwrap_or(T::WARMUP);
            let (step, steps) = (epoch * steps + step, settings.epochs * steps);
            settings.rate.unwrap_or(T::RATE) * warmed_up(settings.schedule, warmup, step, steps)
        };
        let average = settings.average.unwrap_or(T::AVERAGE);
        let Within { steps: done, loss: mut sum, .. } = state.within.clone().unwrap_or_default();
        std::thread::scope(|scope| {
            for (step, batch) in (done..steps).zip(prefetch(scope, task, &plan, done)) {
                let seed = rng(settings.seed, Purpose::Dropout, [epoch as u64, step as u64]).next_u64();
                self.device.seed(seed);
                let (model, loss) = task.loss(weights.model, batch?, &self.device);
                let gradients = loss.backward();
                let loss = f64::from(loss.into_scalar::<f32>());
                let norm = global_norm(&model, &gradients);
                if !loss.is_finite() || !norm.is_finite() {
                    return Err(diverged(epoch, step, loss));
                }
                let rate_of = |parameter: &str| rate_at(step) * task.rate_of(parameter);
                weights.model = adam.step(model, &gradients, &rate_of, clip_scale(norm, settings.clip));
                weights.average = weights
                    .average
                    .map(|mean| averaged(mean, &weights.model, kept(average, epoch * steps + step + 1)));
                sum += loss;
                self.tell_step((epoch, step + 1, steps), loss);
                state.stopped = self.watch.stop();
                if state.stopped || self.saved.elapsed() >= self.save_every {
                    let seconds = start.elapsed().as_secs_f64();
                    state.within = Some(Within { steps: step + 1, loss: sum, seconds });
                    self.run.save(&weights, adam, state)?;
                    self.saved = Instant::now();
                }
                if state.stopped {
                    return Ok((weights, None));
                }
            }
            Ok((weights, Some(Passed { loss: sum / steps as f64, rate: rate_at(steps - 1) })))
        })
    }
}

/// Decay of the running mean in update `step`, counted from 1: less at first, so that the initial weights are
/// soon forgotten.
pub fn kept(average: f64, step: usize) -> f64 {
    average.min(step as f64 / (step as f64 + 9.0))
}

/// When the epoch would have begun, had it been gone through without a break.
fn begun(state: &State) -> Instant {
    let now = Instant::now();
    let spent = state.within.as_ref().and_then(|within| Duration::try_from_secs_f64(within.seconds).ok());
    spent.and_then(|spent| now.checked_sub(spent)).unwrap_or(now)
}

/// The batches of an epoch: ranges of the items of its rounds.
struct Rounds<I> {
    /// The number of each round, counted over all epochs, and its items.
    rounds: Vec<(usize, Vec<I>)>,
    /// The place in `rounds`, and which of its items.
    batches: Vec<(usize, Range<usize>)>,
}

impl<I> Rounds<I> {
    fn new<T: Task<Item = I>>(task: &T, epoch: usize, settings: &Settings) -> Self {
        let size = settings.batch;
        // Whole batches only, since batch norm makes little of a remainder; but never none.
        let of = |items: &[I]| -> Vec<Range<usize>> {
            let batch = |at: usize| at * size..((at + 1) * size).min(items.len());
            (0..(items.len() / size).max(1)).map(batch).collect()
        };
        // All rounds have as many items as the first.
        let count = settings.steps.map_or(1, |steps| steps.div_ceil(of(&task.plan(0)).len()));
        let rounds: Vec<_> = (epoch * count..(epoch + 1) * count).map(|r| (r, task.plan(r))).collect();
        let batches = rounds.iter().enumerate();
        let batches =
            batches.flat_map(|(at, (_, items))| of(items).into_iter().map(move |range| (at, range)));
        let batches = batches.take(settings.steps.unwrap_or(usize::MAX)).collect();
        Self { rounds, batches }
    }
}

/// Loads the batches after the first `done` in order on a thread of its own, at most two ahead of the training.
fn prefetch<'scope, T: Task>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    task: &'scope T,
    plan: &'scope Rounds<T::Item>,
    done: usize,
) -> mpsc::Receiver<Result<T::Batch>> {
    let (sender, receiver) = mpsc::sync_channel(2);
    scope.spawn(move || {
        for (at, range) in plan.batches.iter().skip(done) {
            let (round, items) = &plan.rounds[*at];
            // The receiver hangs up when training fails; there is nothing left to load for then.
            if sender.send(task.load(*round, &items[range.clone()])).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A model whose parameters come from `seed` alone. burn draws them at first use, so all are
/// touched here, in order.
pub(crate) fn initialised<M: Module>(seed: u64, device: &Device, build: impl FnOnce() -> M) -> M {
    device.seed(rng(seed, Purpose::Weights, [0, 0]).next_u64());
    let model = build();
    model.visit(&mut Touch);
    model
}

struct Touch;

impl ModuleVisitor for Touch {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

/// Refuses settings under which nothing could be trained.
fn check(dataset: &Path, settings: &Settings) -> Result<()> {
    let usable = settings.epochs > 0 && settings.batch > 0 && settings.steps != Some(0);
    if !usable {
        let found = format!("{} epochs of batches of {}", settings.epochs, settings.batch);
        return Err(Error::new(dataset, Kind::Request, "at least one epoch, step and slice", found));
    }
    let rate = settings.rate.unwrap_or(1.0);
    if !(rate > 0.0 && rate.is_finite() && settings.clip >= 0.0) {
        let found = format!("a rate of {rate} and a clip of {}", settings.clip);
        return Err(Error::new(
            dataset,
            Kind::Request,
            "a learning rate above 0, a clip of 0 or more",
            found,
        ));
    }
    let shares = [settings.warmup, settings.average].map(Option::unwrap_or_default);
    if !shares.iter().all(|share| (0.0..1.0).contains(share)) {
        let expected = "a warmup and an average of 0 or more and below 1";
        let found = format!("{} and {}", shares[0], shares[1]);
        return Err(Error::new(dataset, Kind::Request, expected, found));
    }
    Ok(())
}

/// The scans of one domain, or all, without those of some patients.
fn scans_of(dataset: &Dataset, domain: Option<&str>, exclude: &[String]) -> Result<Vec<usize>> {
    let patients = dataset.index.patients();
    if let Some(unknown) = exclude.iter().find(|patient| !patients.contains(patient.as_str())) {
        let expected = format!("a patient '{unknown}' to leave out");
        return Err(Error::new(&dataset.dir, Kind::Request, expected, "no patient of that name"));
    }
    let scans = dataset.index.scans.iter().enumerate();
    let wanted = |scan: &Scan| scan.of_domain(domain) && !exclude.contains(&scan.patient);
    let found: Vec<usize> = scans.filter(|(_, scan)| wanted(scan)).map(|(number, _)| number).collect();
    if found.is_empty() {
        let expected = domain.map_or("scans".to_owned(), |domain| format!("scans of domain '{domain}'"));
        return Err(Error::new(&dataset.dir, Kind::Request, expected, "no such scan")
            .hint("name domains in the manifest that `polycl import` reads"));
    }
    Ok(found)
}

/// Every slice of some scans, in order.
fn slices(dataset: &Dataset, scans: &[usize]) -> Vec<SliceId> {
    let of = |&scan: &usize| (0..dataset.index.scans[scan].slices).map(move |slice| SliceId { scan, slice });
    scans.iter().flat_map(of).collect()
}

fn diverged(epoch: usize, step: usize, loss: f64) -> Error {
    let found = format!("loss {loss} or gradients without bound in epoch {}, step {}", epoch + 1, step + 1);
    Error::new(Subject::Work("training"), Kind::Request, "finite numbers", found)
        .hint("train again with a lower --rate, and look for odd scans with `polycl inspect`")
}

#[cfg(test)]
mod tests {
    use burn::nn::Linear;

    use super::*;

    /// Ten items, told apart by the round they are of.
    struct Ten;

    impl Task for Ten {
        type Model = Linear;
        type Item = (usize, usize);
        type Batch = ();

        const RATE: f64 = 1.0;

        fn plan(&self, round: usize) -> Vec<(usize, usize)> {
            (0..10).map(|item| (round, item)).collect()
        }

        fn load(&self, _: usize, _: &[(usize, usize)]) -> Result<()> {
            Ok(())
        }

        fn loss(&self, model: Linear, (): (), device: &Device) -> (Linear, Tensor<1>) {
            (model, Tensor::zeros([1], device))
        }
    }

    fn items(epoch: usize, batch: usize, steps: Option<usize>) -> Vec<Vec<(usize, usize)>> {
        let plan = Rounds::new(&Ten, epoch, &Settings { batch, steps, ..Settings::default() });
        let batches = plan.batches.iter().map(|(at, range)| plan.rounds[*at].1[range.clone()].to_vec());
        batches.collect()
    }

    #[test]
    fn an_epoch_goes_through_the_data_once_or_as_often_as_its_steps_need() {
        assert_eq!(items(2, 4, None).concat(), Vec::from_iter((0..8).map(|item| (2, item))), "whole batches");
        assert_eq!(items(0, 16, None), [Vec::from_iter((0..10).map(|item| (0, item)))], "but never none");
        assert_eq!(items(3, 5, Some(1)).concat(), Vec::from_iter((0..5).map(|item| (3, item))));
        // Three steps, two of them a round: rounds 2 and 3 are the second epoch's.
        let many = items(1, 5, Some(3));
        assert_eq!(many.iter().map(|batch| batch[0]).collect::<Vec<_>>(), [(2, 0), (2, 5), (3, 0)]);
        assert!(many.iter().all(|batch| batch.len() == 5));
    }
}
