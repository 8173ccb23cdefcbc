//! Fine-tuning: a U-Net on the masks of a few patients.

mod cohort;
mod config;
mod parts;
mod plan;
mod ranges;
mod regions;
mod teach;

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use polycl_base::{Error, Kind, Result, Watch};
use polycl_data::{Dataset, Origin};
use polycl_image::legend::IGNORED;
use polycl_metrics::dice;

use super::augment::mirrored_classes;
use super::draw::{self, Example, Turn};
use super::run::{Organ, Run, RunCard, RunKind, Seen, TEACHER, weights};
use super::{Begin, State, Task, initialised, slices, train};
use crate::checkpoint::Checkpoint;
use crate::loss::{NO_TARGET, SegmentationLoss};
use crate::net::{EncoderConfig, Net, Segmenter, SegmenterConfig};
use crate::select::SliceId;
use cohort::{examples, labelled, organs, split};
pub use config::FinetuneConfig;
use config::settings_make_sense;
pub use config::{AVERAGE, ENCODER_RATE, FOREGROUND, RATE, STEPS, WARMUP};
pub use plan::Plan;
use ranges::Ranges;
use regions::Channels;
use teach::{Taught, Teacher, inputs, taught};

/// Refuses what could not be fine-tuned so on `dataset`, without doing anything; whether an encoder fits is
/// not looked at.
///
/// # Errors
/// As [`finetune`].
pub fn check(dataset: &Dataset, config: &FinetuneConfig) -> Result<()> {
    settings_make_sense(dataset, config)?;
    Finetuning::new(dataset, config.clone()).map(drop)
}

/// Fine-tunes a U-Net on `dataset` and leaves the run in `out`. `watch` hears the [`Plan`] and each [`super::Epoch`].
///
/// # Errors
/// [`Kind::Request`] for what cannot be met with the data at hand, and [`Kind::Checkpoint`] for an encoder
/// that does not fit, before anything is written; [`Kind::Request`] for a training that diverges; what
/// reading the data set and writing the run can say.
pub fn finetune(
    dataset: &Dataset,
    config: &FinetuneConfig,
    out: &Path,
    begin: Begin,
    watch: &dyn Watch,
) -> Result<State> {
    fine_tuned(dataset, config, out, begin, watch, true)
}

fn fine_tuned(
    dataset: &Dataset,
    config: &FinetuneConfig,
    out: &Path,
    begin: Begin,
    watch: &dyn Watch,
    announced: bool,
) -> Result<State> {
    settings_make_sense(dataset, config)?;
    let pretrained = config.encoder.as_deref().map(RunCard::read).transpose()?;
    let mut encoder = encoder_config(config, pretrained.as_ref(), dataset)?;
    let mut task = Finetuning::new(dataset, config.clone())?;
    encoder.inputs = task.inputs();
    task.resolve(encoder.net);
    task.count_parts()?;
    let Channels { all, overlap } = &task.channels;
    let segmenter = SegmenterConfig { encoder, organs: all.len(), overlap: *overlap };
    // A masked autoencoder has pre-trained the decoder, too, all but what it ends with.
    let decoder = pretrained.as_ref().is_some_and(|card| matches!(card.model, RunKind::Autoencoder(_)));
    let card = task.card(segmenter, pretrained);
    let device = task.config.training.device.open().autodiff();
    let dropout = task.config.dropout;
    let mut model =
        initialised(task.config.training.seed, &device, || segmenter.init(&device).with_dropout(dropout));
    if let Some(run) = &config.encoder {
        let mut checkpoint = Checkpoint::read(&weights(run))?;
        if config.shuffled_encoder {
            checkpoint.shuffle(task.config.training.seed);
        }
        let checkpoint = checkpoint.seeing(encoder.inputs);
        checkpoint.load_part(&mut model, "encoder.")?;
        if decoder {
            checkpoint.load_part(&mut model, "decoder.blocks.")?;
        }
    }
    let mut run = Run::create(out, &card, &task.config, begin.resume)?;
    if announced {
        watch.partial(&task.summary());
    }
    if !task.taught.is_empty() {
        let taught = task.be_taught(&out.join(TEACHER), begin, watch);
        if let Some(state) = taught.inspect_err(|_| run.abandon())? {
            return Ok(state);
        }
        watch.note("the network itself learns from these masks, too");
    }
    train(&task, model, &task.config.training, &mut run, begin.save_every, watch)
}

/// The pre-trained run's architecture, or the one asked for.
fn encoder_config(
    config: &FinetuneConfig,
    pretrained: Option<&RunCard>,
    dataset: &Dataset,
) -> Result<EncoderConfig> {
    let (Some(run), Some(card)) = (&config.encoder, pretrained) else {
        if config.shuffled_encoder {
            let expected = "an encoder, to which `shuffled_encoder` belongs";
            return Err(Error::new(&dataset.dir, Kind::Request, expected, "training from scratch")
                .hint("give --encoder, or leave the setting out"));
        }
        return Ok(EncoderConfig::published(config.net.unwrap_or_default()));
    };
    let encoder = card.model.encoder();
    if let Some(net) = config.net.filter(|&net| net != encoder.net) {
        let (expected, found) = (format!("an encoder of net {net}"), encoder.net.to_string());
        return Err(Error::new(run, Kind::Checkpoint, expected, found)
            .hint("leave --net out, to take the network of the encoder"));
    }
    card.check_inputs(run)?;
    card.check_intensities(run, &dataset.index.preprocess)?;
    Ok(encoder)
}

struct Finetuning<'a> {
    dataset: &'a Dataset,
    config: FinetuneConfig,
    organs: Vec<Organ>,
    /// The organs, or regions of them.
    channels: Channels,
    /// The classes after a flip; `None` where it is off.
    mirrored: Option<Vec<u8>>,
    /// True if flips were asked for and cannot be.
    unflipped: bool,
    /// Numbers of scans in the index.
    training: Vec<usize>,
    /// Scans for validation, drawn by hand alone.
    validation: Vec<usize>,
    /// The slices that train by what a person has drawn or named.
    examples: Vec<Example>,
    /// The slices within named ranges, and those beyond them, of scans that nobody has drawn.
    taught: Vec<Example>,
    /// Masks that the teacher has drawn there.
    masks: Taught,
    /// Scans with masks that do not draw every organ, and so take no part.
    partial: usize,
}

impl<'a> Finetuning<'a> {
    fn new(dataset: &'a Dataset, config: FinetuneConfig) -> Result<Self> {
        let organs = organs(dataset, &config.organs)?;
        let channels = Channels::of(dataset, &config.organs, &organs)?;
        let names: Vec<String> = organs.iter().map(|organ| organ.name.clone()).collect();
        let (usable, partial) = labelled(dataset, config.domain.as_deref(), &names)?;
        let split = split(dataset, &config, &usable, &names)?;
        let of = |patients: &[String]| -> Vec<usize> {
            let belongs = |&scan: &usize| patients.contains(&dataset.index.scans[scan].patient);
            usable.iter().copied().filter(belongs).collect()
        };
        let mirrored =
            mirrored_classes(&names).filter(|classes| config.augment.flip && channels.mirror_alike(classes));
        let unflipped = config.augment.flip && mirrored.is_none();
        let (mut training, mut validation) = (of(&split.train), of(&split.validation));
        // A patient who validates may have scans that no person has drawn.
        validation.retain(|&scan| dataset.index.scans[scan].is_truth(&names, config.accept_reviewed));
        if let Some(drawn) = &config.drawn {
            training.retain(|&scan| drawn.contains_key(&dataset.index.scans[scan].case));
        }
        let examples = examples(dataset, &config, &training, &names)?;
        let taught = taught(dataset, &config, &split, &names, &examples)?;
        if !taught.is_empty() {
            channels.paint_all(dataset, &organs)?;
        }
        let masks = Taught::default();
        Ok(Self {
            dataset,
            config,
            organs,
            channels,
            mirrored,
            unflipped,
            training,
            validation,
            examples,
            taught,
            masks,
            partial,
        })
    }

    /// Trains a teacher in the folder `run`, or goes on with it, and lets it draw; its state where it was stopped.
    fn be_taught(&mut self, run: &Path, begin: Begin, watch: &dyn Watch) -> Result<Option<State>> {
        // A teacher that an earlier version began goes on as it was.
        let begun = run.join("run.json").exists().then(|| RunCard::read(run)).transpose()?;
        let config = FinetuneConfig {
            self_train: Some(false),
            ranged: None,
            permuted_ranges: false,
            told_heights: begun.is_none_or(|card| card.model.encoder().inputs > 1),
            ..self.config.clone()
        };
        watch.note("a teacher learns from the drawn slices first");
        let begin = Begin { resume: run.exists(), ..begin };
        let state = fine_tuned(self.dataset, &config, run, begin, watch, false)?;
        if state.stopped {
            return Ok(Some(state));
        }
        let device = &self.config.training.device.open();
        let batch = self.config.training.batch;
        let mut taught = std::mem::take(&mut self.taught);
        let classes = &|id| Ok(self.slice(id)?.1);
        let (dataset, organs, drawn) = (self.dataset, &*self.organs, &*self.examples);
        let painted = &self.channels.painted();
        let RunKind::Segmenter(network) = RunCard::read(run)?.model else {
            return Err(Error::new(run, Kind::Checkpoint, "a teacher, which segments", "an encoder"));
        };
        let teacher = Teacher { dataset, organs, network, painted, drawn, classes, batch, device };
        let Some(masks) = teacher.draw(run, &mut taught, watch)? else {
            return Ok(Some(State { stopped: true, ..state }));
        };
        (self.taught, self.masks) = (taught, masks);
        Ok(None)
    }

    /// By its number through those that are drawn and those that are taught.
    fn example(&self, number: usize) -> &Example {
        self.examples.get(number).unwrap_or_else(|| &self.taught[number - self.examples.len()])
    }

    /// Writes into the settings what was left open, so that the run's file holds what was done.
    fn resolve(&mut self, net: Net) {
        self.config.net = Some(net);
        self.config.organs = self.channels.names();
        self.config.augment.flip = self.mirrored.is_some();
        self.config.foreground.get_or_insert(FOREGROUND);
        let training = &mut self.config.training;
        training.steps.get_or_insert(STEPS);
        training.rate.get_or_insert(RATE);
        training.warmup.get_or_insert(WARMUP);
        training.average.get_or_insert(AVERAGE);
        // Earlier versions knew no self-training and wrote nothing.
        self.config.self_train = (!self.taught.is_empty()).then_some(true);
        if self.origins().any(|origin| !origin.is_hand()) {
            self.config.label_weight.get_or_insert_default();
        }
    }

    /// Notes of how many parts each organ is, and each region.
    fn count_parts(&mut self) -> Result<()> {
        let parts = |which: &[u8]| parts::together(self.dataset, &self.examples, &self.organs, which);
        let of_organs =
            (1..=self.organs.len()).map(|class| parts(&[class as u8])).collect::<Result<Vec<_>>>()?;
        let regions = self.channels.all.iter().filter(|_| self.channels.overlap);
        let of_regions = regions.map(|region| parts(&region.classes)).collect::<Result<Vec<_>>>()?;
        self.organs.iter_mut().zip(of_organs).for_each(|(organ, parts)| organ.parts = parts);
        self.channels.all.iter_mut().zip(of_regions).for_each(|(region, parts)| region.parts = parts);
        Ok(())
    }

    /// The scans of which some slice trains by what a person has drawn.
    fn trained(&self) -> Vec<usize> {
        draw::scans(&self.examples)
    }

    /// The scans that train by their ranges alone.
    fn ranged(&self) -> Vec<usize> {
        let trained = self.trained();
        draw::scans(&self.taught).into_iter().filter(|scan| !trained.contains(scan)).collect()
    }

    /// Who drew the masks of the training scans.
    fn origins(&self) -> impl Iterator<Item = Origin> {
        self.training.iter().map(|&scan| self.dataset.index.scans[scan].origin)
    }

    fn card(&self, segmenter: SegmenterConfig, pretrained: Option<RunCard>) -> RunCard {
        let index = &self.dataset.index;
        let (organs, regions) = self.channels.in_masks(&self.organs);
        let mut card = RunCard {
            polycl_run: 1,
            model: RunKind::Segmenter(segmenter),
            preprocess: index.preprocess.clone(),
            organs,
            regions,
            flips: self.mirrored.is_some(),
            dataset: index.fingerprint(),
            training_cases: Seen::of(index, &self.trained()),
            validation_cases: Seen::of(index, &self.validation),
            pretraining_cases: Seen::of(index, &self.ranged()),
        };
        match pretrained {
            Some(RunCard {
                model: RunKind::Contrastive(_) | RunKind::Autoencoder(_),
                training_cases,
                ..
            }) => {
                card.pretraining_cases.extend(training_cases);
            }
            // An encoder that was fine-tuned before has seen those masks, too.
            Some(earlier) => {
                card.training_cases
                    .extend(earlier.training_cases.into_iter().chain(earlier.validation_cases));
                card.pretraining_cases.extend(earlier.pretraining_cases);
            }
            None => {}
        }
        card
    }

    fn summary(&self) -> Plan {
        let patients = |scans: &[usize]| {
            let mut patients: Vec<_> = scans.iter().map(|&s| &self.dataset.index.scans[s].patient).collect();
            patients.sort_unstable();
            patients.dedup();
            patients.len()
        };
        let mut learnt_from = self.trained();
        learnt_from.extend(draw::scans(&self.taught));
        Plan {
            organs: self.channels.names(),
            training_patients: patients(&self.trained()),
            bare: self.training.iter().filter(|scan| !learnt_from.contains(scan)).count(),
            validation_patients: patients(&self.validation),
            slices: self.examples.len(),
            shown: self.examples.iter().filter(|example| !example.shows.is_empty()).count(),
            left_out: slices(self.dataset, &self.training).len()
                - self.examples.len()
                - self.taught.iter().filter(|example| self.training.contains(&example.id.scan)).count(),
            taught: (
                self.taught.iter().filter(|example| !example.shows.is_empty()).count(),
                draw::scans(&self.taught).len(),
            ),
            alike: self.examples.windows(2).all(|two| two[0].weight == two[1].weight),
            origins: self.origins().collect(),
            label_weight: self.config.label_weight,
            flip: self.mirrored.is_some(),
            unflipped: self.unflipped,
            unvalidated: self.validation.is_empty()
                && (self.config.validate
                    || self.config.split.as_ref().is_some_and(|split| !split.validation.is_empty())),
            partial: self.partial,
        }
    }

    /// One slice and its class map: 0 for background, then the organs in order, [`OPEN`] for what nobody annotated.
    fn slice(&self, id: SliceId) -> Result<(Vec<f32>, Vec<u8>)> {
        if let Some(classes) = self.masks.classes(id) {
            return Ok((self.dataset.image(id.scan, id.slice)?, classes));
        }
        let mask = self.dataset.mask(id.scan, id.slice)?;
        let class = |value: &u16| {
            let organ = self.organs.iter().position(|organ| organ.value == *value);
            let other = if *value == IGNORED { OPEN } else { 0 };
            organ.map_or(other, |class| class as u8 + 1)
        };
        Ok((self.dataset.image(id.scan, id.slice)?, mask.iter().map(class).collect()))
    }

    /// Maps that the network sees.
    fn inputs(&self) -> usize {
        if self.config.told_heights { 1 + self.organs.len() } else { 1 }
    }

    fn images<'b>(
        &self,
        slices: &'b [(Vec<f32>, Vec<u8>)],
        heights: impl ExactSizeIterator<Item = &'b [f32]>,
    ) -> TensorData {
        let seen = slices.iter().map(|(image, _)| image.as_slice()).zip(heights);
        inputs(seen, self.dataset.index.preprocess.size, self.inputs())
    }

    fn batch(&self, slices: &[(Vec<f32>, Vec<u8>)], examples: &[&Example]) -> Batch {
        let size = self.dataset.index.preprocess.size;
        let weights: Vec<f32> = examples.iter().map(|example| example.weight).collect();
        let Channels { all, overlap } = &self.channels;
        let background = (!overlap && all.len() > 1).then_some(&[0][..]);
        let channels =
            Vec::from_iter(background.into_iter().chain(all.iter().map(|channel| &*channel.classes)));
        let mut target = Vec::with_capacity(channels.len() * slices.len() * size * size);
        for (_, classes) in slices {
            for channel in &channels {
                let truth = |class: &u8| {
                    if *class == OPEN { NO_TARGET } else { f32::from(u8::from(channel.contains(class))) }
                };
                target.extend(classes.iter().map(truth));
            }
        }
        Batch {
            images: self.images(slices, examples.iter().map(|example| &*example.heights)),
            target: TensorData::new(target, [slices.len(), channels.len(), size, size]),
            weights: TensorData::new(weights, [slices.len()]),
        }
    }

    /// Dice of each organ or region in one scan, all slices together, at the network's resolution; those
    /// that neither truth nor prediction shows have none.
    fn dice(&self, model: &Segmenter, scan: usize, device: &Device) -> Result<Vec<Option<f64>>> {
        let (painted, of) = (self.channels.painted(), self.channels.by_class(self.organs.len()));
        let mut counts = vec![[0u64; 3]; self.channels.all.len()]; // prediction, truth, both
        let names: Vec<String> = self.organs.iter().map(|organ| organ.name.clone()).collect();
        let ranges = Ranges::own(&self.dataset.index.scans[scan]);
        for ids in slices(self.dataset, &[scan]).chunks(self.config.training.batch) {
            let slices = ids.iter().map(|&id| self.slice(id)).collect::<Result<Vec<_>>>()?;
            let heights: Vec<Vec<f32>> = ids.iter().map(|id| ranges.heights(&names, id.slice)).collect();
            let images = self.images(&slices, heights.iter().map(Vec::as_slice));
            let predicted = model.classes(Tensor::from_data(images, device))?;
            let truth = slices.iter().flat_map(|(_, classes)| classes);
            for (&predicted, &truth) in predicted.iter().zip(truth).filter(|(_, truth)| **truth != OPEN) {
                let predicted = &of[usize::from(painted[usize::from(predicted)])];
                predicted.iter().for_each(|&at| counts[at][0] += 1);
                for &at in &of[usize::from(truth)] {
                    counts[at][1] += 1;
                    counts[at][2] += u64::from(predicted.contains(&at));
                }
            }
        }
        Ok(counts.iter().map(|&[predicted, truth, both]| dice(both, predicted + truth)).collect())
    }
}

/// The class of pixels that nobody annotated; organs have those below.
const OPEN: u8 = u8::MAX;

/// Images [B, 1, S, S], one-hot targets [B, C, S, S] and weights [B].
struct Batch {
    images: TensorData,
    target: TensorData,
    weights: TensorData,
}

impl Task for Finetuning<'_> {
    type Model = Segmenter;
    type Item = Turn;
    type Batch = Batch;

    const RATE: f64 = RATE;
    const WARMUP: f64 = WARMUP;
    const AVERAGE: f64 = AVERAGE;

    fn plan(&self, round: usize) -> Vec<Turn> {
        let foreground = self.config.foreground.unwrap_or(FOREGROUND);
        draw::round(&[&self.examples, &self.taught], foreground, self.config.training.seed, round)
    }

    fn load(&self, round: usize, turns: &[Turn]) -> Result<Batch> {
        let size = self.dataset.index.preprocess.size;
        let augmented = |turn: &Turn| {
            let id = self.example(turn.example).id;
            let (mut image, mut classes) = self.slice(id)?;
            let round = (turn.again as u64) << 32 | round as u64;
            let at = [round, id.counter()];
            let (mirrored, seed) = (self.mirrored.as_deref(), self.config.training.seed);
            self.config.augment.apply(&mut image, &mut classes, size, mirrored, seed, at);
            Ok((image, classes))
        };
        let slices = turns.iter().map(augmented).collect::<Result<Vec<_>>>()?;
        let examples: Vec<&Example> = turns.iter().map(|turn| self.example(turn.example)).collect();
        Ok(self.batch(&slices, &examples))
    }

    fn enter(&self, epoch: usize, mut model: Segmenter) -> Segmenter {
        if self.config.freeze > 0 {
            let frozen = epoch < self.config.freeze;
            model.encoder = if frozen { model.encoder.freeze() } else { model.encoder.unfreeze() };
        }
        model
    }

    fn loss(&self, model: Segmenter, batch: Batch, device: &Device) -> (Segmenter, Tensor<1>) {
        let logits = model.forward(Tensor::from_data(batch.images, device));
        let target = Tensor::from_data(batch.target, device);
        let weights = Tensor::from_data(batch.weights, device);
        let of = if self.channels.overlap { SegmentationLoss::of_regions } else { SegmentationLoss::forward };
        (model, of(self.config.loss, logits, target, weights))
    }

    fn rate_of(&self, parameter: &str) -> f64 {
        self.config.encoder_rate.filter(|_| parameter.starts_with("encoder.")).unwrap_or(ENCODER_RATE)
    }

    /// Mean Dice over the organs of each validation scan, then over the scans. It chooses the best
    /// checkpoint and is no result: `evaluate` scores in the scan's own grid.
    fn validate(&self, model: &Segmenter, device: &Device) -> Result<Option<f64>> {
        let mut scores = Vec::new();
        for &scan in &self.validation {
            let organs: Vec<f64> = self.dice(model, scan, device)?.into_iter().flatten().collect();
            if !organs.is_empty() {
                scores.push(organs.iter().sum::<f64>() / organs.len() as f64);
            }
        }
        Ok((!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64))
    }

    fn patience(&self) -> Option<usize> {
        Some(self.config.patience).filter(|&patience| patience > 0)
    }
}
