//! One explicit training loop for every task: pre-training and fine-tuning differ in what a
//! [`Task`] plans, loads and minimises, never in how the loop goes.

mod augment;
mod draw;
mod events;
pub mod finetune;
mod parts;
pub mod pretrain;
mod run;
mod teach;
mod views;
mod weight;

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use polycl_volume::dataset::{Dataset, Scan};
use polycl_volume::rng::{Purpose, rng};
use polycl_volume::{Error, Kind, Result};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::device;
use crate::net::averaged;
use crate::optim::{Adam, Schedule, clip_scale, global_norm, warmed_up};
use crate::select::SliceId;
pub use augment::{Augment, mirrored_classes};
pub use pretrain::Probe;
pub use run::{Model, Organ, Run, RunCard, Seen, TEACHER, read_log, weights};
pub use views::Views;
pub use weight::LabelWeight;

/// What every training has in common; the `[training]` table of a run's `config.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub epochs: usize,
    /// Slices (or triplets) a step.
    pub batch: usize,
    /// Steps an epoch, for which the data are gone through again where they do not suffice; without
    /// it an epoch goes once through all whole batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Adam's learning rate at its highest; each task has a default of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub schedule: Schedule,
    /// The first part of all steps, in which the rate climbs to its highest; each task has a default of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<f64>,
    /// How much of the running mean of the weights (EMA), which is the result, each step keeps; 0 takes the weights
    /// as they are. Each task has a default of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// Largest Euclidean norm of all gradients together; 0 does not clip.
    pub clip: f64,
    pub seed: u64,
    pub device: device::Device,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 8,
            steps: None,
            rate: None,
            schedule: Schedule::Cosine,
            warmup: None,
            average: None,
            clip: 1.0,
            seed: 0,
            device: device::Device::Cpu,
        }
    }
}

/// What is trained: everything in which one training differs from another.
pub trait Task: Sync {
    type Model: Module;
    type Item: Send + Sync;
    type Batch: Send;

    /// The learning rate where the settings name none.
    const RATE: f64;
    /// The part of the steps that warms up where the settings name none.
    const WARMUP: f64 = 0.0;
    /// What the running mean of the weights keeps where the settings do not say.
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
    /// What the plan leaves out, for the log.
    fn left_out(&self) -> Option<LeftOut> {
        None
    }
    /// A scalar as `[1]`, and the model as it goes on to the optimiser: what follows the trained weights
    /// without being trained itself (a momentum encoder, a queue) moves on here.
    fn loss(&self, model: Self::Model, batch: Self::Batch, device: &Device) -> (Self::Model, Tensor<1>);
    /// What the learning rate is multiplied by for the parameter of this name.
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

/// What is logged of an epoch, one JSON line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Epochs finished, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch.
    pub loss: f64,
    /// Learning rate at the epoch's last step.
    pub rate: f64,
    /// What was left out, in pre-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Validation score, where there is validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Probes of the encoder, in pre-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Wall-clock seconds, validation included: the one column that differs between equal runs.
    pub seconds: f64,
}

/// Slices that could not be anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Without a valid partner.
    pub skipped: usize,
    /// Of which nobody has said whether they show the organ.
    pub unknown: usize,
}

/// What the loop tells whoever watches it.
pub enum Progress<'a> {
    /// The folder of the run whose progress follows: a teacher's, or the run itself again.
    Run(&'a Path),
    /// Slices that a teacher has looked at, and those in which it found what a person has seen there.
    Taught {
        slices: usize,
        kept: usize,
        of: usize,
    },
    Step {
        epoch: usize,
        step: usize,
        steps: usize,
        loss: f64,
    },
    Epoch(&'a Record),
}

/// Where a training stands; saved with the weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Epochs finished.
    pub epoch: usize,
    pub best: Option<f64>,
    /// The lowest loss of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest: Option<f64>,
    /// Epochs since the best score, or the lowest loss where nothing gives a score.
    pub stale: usize,
    /// What is done of the epoch after these; nothing between two epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// Whether the training ended because it was asked to.
    #[serde(skip)]
    pub stopped: bool,
}

/// The part of an epoch that is done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Within {
    pub steps: usize,
    /// The sum of their losses.
    pub loss: f64,
    pub seconds: f64,
}

/// What decides, beside the end of every epoch, when a training is saved.
#[derive(Clone, Copy)]
pub struct Checkpoints<'a> {
    /// The longest time between two; a step is finished first.
    pub every: Duration,
    /// Asked after every step whether to save and stop.
    pub stop: &'a dyn Fn() -> bool,
}

/// Trains `model` until `settings.epochs`, from where `run` stands. Every epoch ends with a line in
/// the log and a checkpoint from which a killed run goes on bit for bit; within long ones there are more.
///
/// # Errors
/// [`Kind::Request`] where loss or gradients become infinite; what reading and writing can say.
pub fn train<T: Task>(
    task: &T,
    model: T::Model,
    settings: &Settings,
    run: &mut Run,
    checkpoints: Checkpoints<'_>,
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<State> {
    let device = settings.device.open().autodiff();
    let saved = Instant::now();
    let mut training = Training { task, settings, run: &mut *run, checkpoints, watch, device, saved };
    training.epochs(model).inspect_err(|_| run.abandon())
}

/// A training at work.
struct Training<'a, 'w, T: Task> {
    task: &'a T,
    settings: &'a Settings,
    run: &'a mut Run,
    checkpoints: Checkpoints<'a>,
    watch: &'a mut (dyn FnMut(Progress<'_>) + 'w),
    device: Device,
    /// When the last checkpoint was written.
    saved: Instant,
}

/// An epoch's mean loss and last learning rate.
struct Passed {
    loss: f64,
    rate: f64,
}

impl<T: Task> Training<'_, '_, T> {
    fn epochs(&mut self, model: T::Model) -> Result<State> {
        let (task, settings) = (self.task, self.settings);
        let begins = settings.average.unwrap_or(T::AVERAGE) > 0.0;
        let (mut weights, mut adam, mut state) = self.run.resume(model, begins, &self.device)?;
        while state.epoch < settings.epochs && task.patience().is_none_or(|patience| state.stale < patience) {
            if (self.checkpoints.stop)() {
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
            (self.watch)(Progress::Epoch(&record));
        }
        Ok(state)
    }

    /// What is left of an epoch's steps; returns the model, and how the epoch went unless it was stopped
    /// within.
    fn epoch(
        &mut self,
        mut weights: Weights<T::Model>,
        adam: &mut Adam,
        state: &mut State,
        start: Instant,
    ) -> Result<(Weights<T::Model>, Option<Passed>)> {
        let (task, settings, epoch) = (self.task, self.settings, state.epoch);
        let plan = Plan::new(task, epoch, settings);
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
                (self.watch)(Progress::Step { epoch, step: step + 1, steps, loss });
                state.stopped = (self.checkpoints.stop)();
                if state.stopped || self.saved.elapsed() >= self.checkpoints.every {
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

/// What is trained, and the running mean of it where one is kept.
pub(crate) struct Weights<M> {
    pub(crate) model: M,
    pub(crate) average: Option<M>,
}

impl<M> Weights<M> {
    /// What training leaves: the mean where there is one.
    pub(crate) fn result(&self) -> &M {
        self.average.as_ref().unwrap_or(&self.model)
    }
}

/// What the running mean keeps in update `step`, counted from 1: less at first, so that the initial weights are
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
struct Plan<I> {
    /// The number of each round, counted over all epochs, and its items.
    rounds: Vec<(usize, Vec<I>)>,
    /// The place in `rounds`, and which of its items.
    batches: Vec<(usize, Range<usize>)>,
}

impl<I> Plan<I> {
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
    plan: &'scope Plan<T::Item>,
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
        return Err(Error::new(&dataset.dir, Kind::Request, expected, "nobody of that name"));
    }
    let scans = dataset.index.scans.iter().enumerate();
    let wanted = |scan: &Scan| scan.of_domain(domain) && !exclude.contains(&scan.patient);
    let found: Vec<usize> = scans.filter(|(_, scan)| wanted(scan)).map(|(number, _)| number).collect();
    if found.is_empty() {
        let expected = domain.map_or("scans".to_owned(), |domain| format!("scans of domain '{domain}'"));
        return Err(Error::new(&dataset.dir, Kind::Request, expected, "none")
            .hint("domains are named in the manifest that `polycl import` reads"));
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
    Error::new("training", Kind::Request, "finite numbers", found)
        .hint("begin again with a lower --rate; `polycl inspect` tells of odd scans")
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
        let plan = Plan::new(&Ten, epoch, &Settings { batch, steps, ..Settings::default() });
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
