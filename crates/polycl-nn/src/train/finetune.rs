//! Fine-tuning: a U-Net on the masks of a few patients.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use polycl_volume::dataset::split::{self, Budget, Split};
use polycl_volume::dataset::{Dataset, Origin, Scan};
use polycl_volume::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

use super::augment::{Augment, mirrored_classes};
use super::draw::{self, Example, Turn};
use super::parts;
use super::run::{Model, Organ, Run, RunCard, Seen, TEACHER, weights};
use super::teach::{Taught, Teacher, taught};
use super::weight::LabelWeight;
use super::{Checkpoints, Progress, Settings, State, Task, initialised, slices, train};
use crate::checkpoint::Checkpoint;
use crate::loss::SegmentationLoss;
use crate::net::{EncoderConfig, Net, Segmenter, SegmenterConfig};
use crate::select::SliceId;

/// The whole of a fine-tuning's `config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FinetuneConfig {
    /// The run whose encoder to begin with; from scratch without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PathBuf>,
    /// The network, where no run says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<Net>,
    /// What to segment; every organ of the data set where none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organs: Vec<String>,
    /// Labelled patients to use, validation included and those labelled by hand first …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cases: Option<usize>,
    /// … or the fraction of them; all of them without either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// … or who trains and who validates, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// The drawn slices of each case, by the store's numbers, as if no others had been drawn; slices that are known
    /// not to show the organs train beside them, all others do not. Whole masks without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<BTreeMap<String, Vec<usize>>>,
    /// Lets a first network, trained on the masks alone, draw within named ranges on scans without masks, and on slices
    /// left undrawn; a second one learns from it as well. On where there are such scans, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_train: Option<bool>,
    /// The cases that are drawn on so, as if they had no masks; all that have none, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranged: Option<Vec<String>>,
    /// Negative control: each of those scans has another one's ranges.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub permuted_ranges: bool,
    /// Whether one in five of the labelled patients does not train but chooses the best checkpoint; without it
    /// all train, and the last weights are the result.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub validate: bool,
    /// Only scans of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    pub loss: SegmentationLoss,
    /// The part of every batch that shows an organ; 0 takes slices as they come. Half without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreground: Option<f64>,
    /// Probability of dropout at the end of each block of the U-Net.
    pub dropout: f64,
    /// How much slices count that no person has drawn; left out where a person drew them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_weight: Option<LabelWeight>,
    /// Epochs for which the encoder stays as it was pre-trained.
    pub freeze: usize,
    /// The encoder's learning rate as a part of the decoder's; 1 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_rate: Option<f64>,
    /// Epochs without a better validation score, or without a lower training loss where nobody validates, after
    /// which training ends; 0 goes on to the last.
    pub patience: usize,
    pub augment: Augment,
    pub training: Settings,
}

/// Part of a batch that shows an organ.
const FOREGROUND: f64 = 0.5;
/// Steps an epoch: few labels need no fewer steps than many.
const STEPS: usize = 125;

/// What a fine-tuning is about to do, for the person who started it.
pub struct Plan {
    pub organs: Vec<String>,
    pub training_patients: usize,
    /// Scans of which no slice is drawn that shows the organ, though some do: they take no part.
    pub bare: usize,
    pub validation_patients: usize,
    pub slices: usize,
    /// Of which so many show an organ.
    pub shown: usize,
    /// Slices of the training scans that count for nothing.
    pub left_out: usize,
    /// Slices within named ranges that a first network will draw, and of how many scans.
    pub taught: (usize, usize),
    /// Whether all others count alike.
    pub alike: bool,
    /// Who drew the masks of the training scans.
    pub origins: Vec<Origin>,
    pub label_weight: Option<LabelWeight>,
    pub flip: bool,
    /// Whether flips were asked for and cannot be.
    pub unflipped: bool,
    /// Whether validation was asked for and cannot be.
    pub unvalidated: bool,
    /// Scans with masks that do not draw every organ, and so take no part.
    pub partial: usize,
}

/// Refuses what could not be fine-tuned so on `dataset`, without doing anything; whether an encoder fits is
/// not looked at.
///
/// # Errors
/// As [`finetune`].
pub fn check(dataset: &Dataset, config: &FinetuneConfig) -> Result<()> {
    settings_make_sense(dataset, config)?;
    Finetuning::new(dataset, config.clone()).map(drop)
}

fn settings_make_sense(dataset: &Dataset, config: &FinetuneConfig) -> Result<()> {
    super::check(&dataset.dir, &config.training)?;
    config.augment.check().map_err(|found| {
        Error::new(&dataset.dir, Kind::Request, "an augmentation that makes sense", found)
    })?;
    let parts =
        [("foreground", config.foreground.unwrap_or(FOREGROUND), 1.0), ("dropout", config.dropout, 0.95)];
    if let Some((name, found, most)) =
        parts.into_iter().find(|&(_, part, most)| !(0.0..=most).contains(&part))
    {
        let expected = format!("a {name} of 0 to {most}");
        return Err(Error::new(&dataset.dir, Kind::Request, expected, found.to_string()));
    }
    if let Some(rate) = config.encoder_rate.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
        let expected = "a part of the learning rate above 0 for the encoder";
        return Err(Error::new(&dataset.dir, Kind::Request, expected, rate.to_string())
            .hint("--freeze keeps the encoder as it is"));
    }
    Ok(())
}

/// Fine-tunes a U-Net on `dataset` and leaves the run in `out`.
///
/// # Errors
/// [`Kind::Request`] for what cannot be met with the data at hand, and [`Kind::Checkpoint`] for an encoder
/// that does not fit, before anything is written; [`Kind::Request`] for a training that diverges; what
/// reading the data set and writing the run can say.
pub fn finetune(
    dataset: &Dataset,
    config: &FinetuneConfig,
    out: &Path,
    (resume, checkpoints): (bool, Checkpoints<'_>),
    announce: &mut dyn FnMut(&Plan),
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<State> {
    settings_make_sense(dataset, config)?;
    let pretrained = config.encoder.as_deref().map(RunCard::read).transpose()?;
    let encoder = encoder_config(config, pretrained.as_ref(), dataset)?;
    let mut task = Finetuning::new(dataset, config.clone())?;
    task.resolve(encoder.net);
    task.count_parts()?;
    let segmenter = SegmenterConfig { encoder, organs: task.organs.len() };
    // A masked autoencoder has pre-trained the decoder, too, all but what it ends with.
    let decoder = pretrained.as_ref().is_some_and(|card| matches!(card.model, Model::Autoencoder(_)));
    let card = task.card(segmenter, pretrained);
    let device = task.config.training.device.open().autodiff();
    let dropout = task.config.dropout;
    let mut model =
        initialised(task.config.training.seed, &device, || segmenter.init(&device).with_dropout(dropout));
    if let Some(run) = &config.encoder {
        let checkpoint = Checkpoint::read(&weights(run))?;
        checkpoint.load_part(&mut model, "encoder.")?;
        if decoder {
            checkpoint.load_part(&mut model, "decoder.blocks.")?;
        }
    }
    let mut run = Run::create(out, &card, &task.config, resume)?;
    announce(&task.summary());
    if !task.taught.is_empty() {
        let taught = task.be_taught((&out.join(TEACHER), segmenter), checkpoints, watch);
        if let Some(state) = taught.inspect_err(|_| run.abandon())? {
            return Ok(state);
        }
        watch(Progress::Run(out));
    }
    train(&task, model, &task.config.training, &mut run, checkpoints, watch)
}

/// The pre-trained run's architecture, or the one asked for.
fn encoder_config(
    config: &FinetuneConfig,
    pretrained: Option<&RunCard>,
    dataset: &Dataset,
) -> Result<EncoderConfig> {
    let (Some(run), Some(card)) = (&config.encoder, pretrained) else {
        return Ok(EncoderConfig::published(config.net.unwrap_or_default()));
    };
    let encoder = card.model.encoder();
    if let Some(net) = config.net.filter(|&net| net != encoder.net) {
        let (expected, found) = (format!("an encoder of net {net}"), encoder.net.to_string());
        return Err(Error::new(run, Kind::Checkpoint, expected, found)
            .hint("leave out --net to take the one that was pre-trained"));
    }
    card.check_intensities(run, &dataset.index.preprocess)?;
    Ok(encoder)
}

struct Finetuning<'a> {
    dataset: &'a Dataset,
    config: FinetuneConfig,
    organs: Vec<Organ>,
    /// What a flip does to the classes; `None` where it is off.
    mirrored: Option<Vec<u8>>,
    /// Whether flips were asked for and cannot be.
    unflipped: bool,
    /// Numbers of scans in the index.
    training: Vec<usize>,
    /// Of scans drawn by hand alone.
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
        let names: Vec<String> = organs.iter().map(|organ| organ.name.clone()).collect();
        let (usable, partial) = labelled(dataset, config.domain.as_deref(), &names)?;
        let split = split(dataset, &config, &usable, &names)?;
        let of = |patients: &[String]| -> Vec<usize> {
            let belongs = |&scan: &usize| patients.contains(&dataset.index.scans[scan].patient);
            usable.iter().copied().filter(belongs).collect()
        };
        let mirrored = mirrored_classes(&names).filter(|_| config.augment.flip);
        let unflipped = config.augment.flip && mirrored.is_none();
        let (mut training, mut validation) = (of(&split.train), of(&split.validation));
        // A patient who validates may have scans that no person has drawn.
        validation.retain(|&scan| dataset.index.scans[scan].wholly_by_hand(&names));
        if let Some(drawn) = &config.drawn {
            training.retain(|&scan| drawn.contains_key(&dataset.index.scans[scan].case));
        }
        let examples = examples(dataset, &config, &training, &names)?;
        let taught = taught(dataset, &config, &split, &names, &examples)?;
        let masks = Taught::default();
        Ok(Self {
            dataset,
            config,
            organs,
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
    fn be_taught(
        &mut self,
        (run, network): (&Path, SegmenterConfig),
        checkpoints: Checkpoints<'_>,
        watch: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<State>> {
        let config = FinetuneConfig {
            self_train: Some(false),
            ranged: None,
            permuted_ranges: false,
            ..self.config.clone()
        };
        watch(Progress::Run(run));
        let how = (run.exists(), checkpoints);
        let state = finetune(self.dataset, &config, run, how, &mut |_| (), watch)?;
        if state.stopped {
            return Ok(Some(state));
        }
        let device = &self.config.training.device.open();
        let batch = self.config.training.batch;
        let mut taught = std::mem::take(&mut self.taught);
        let classes = &|id| Ok(self.slice(id)?.1);
        let (dataset, organs, drawn) = (self.dataset, &*self.organs, &*self.examples);
        let stop = checkpoints.stop;
        let teacher = Teacher { dataset, organs, network, drawn, classes, batch, device, stop };
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
        self.config.organs = self.organs.iter().map(|organ| organ.name.clone()).collect();
        self.config.augment.flip = self.mirrored.is_some();
        self.config.foreground.get_or_insert(FOREGROUND);
        let training = &mut self.config.training;
        training.steps.get_or_insert(STEPS);
        training.rate.get_or_insert(Self::RATE);
        training.warmup.get_or_insert(Self::WARMUP);
        training.average.get_or_insert(Self::AVERAGE);
        // Earlier versions knew no self-training and wrote nothing.
        self.config.self_train = (!self.taught.is_empty()).then_some(true);
        if self.origins().any(|origin| !origin.is_hand()) {
            self.config.label_weight.get_or_insert_default();
        }
    }

    /// Notes of how many parts each organ is.
    fn count_parts(&mut self) -> Result<()> {
        for (number, organ) in self.organs.iter_mut().enumerate() {
            let known = (organ.name.as_str(), organ.value);
            organ.parts = parts::of_organ(self.dataset, &self.examples, number, known)?;
        }
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
        let mut card = RunCard {
            polycl_run: 1,
            model: Model::Segmenter(segmenter),
            preprocess: index.preprocess.clone(),
            organs: self.organs.clone(),
            flips: self.mirrored.is_some(),
            dataset: index.fingerprint(),
            training_cases: Seen::of(index, &self.trained()),
            validation_cases: Seen::of(index, &self.validation),
            pretraining_cases: Seen::of(index, &self.ranged()),
        };
        match pretrained {
            Some(RunCard {
                model: Model::Contrastive(_) | Model::Autoencoder(_), training_cases, ..
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
            organs: self.organs.iter().map(|organ| organ.name.clone()).collect(),
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

    /// One slice and its class map: 0 for background, then the organs in order.
    fn slice(&self, id: SliceId) -> Result<(Vec<f32>, Vec<u8>)> {
        if let Some(classes) = self.masks.classes(id) {
            return Ok((self.dataset.image(id.scan, id.slice)?, classes));
        }
        let mask = self.dataset.mask(id.scan, id.slice)?;
        let class = |value: &u16| {
            self.organs.iter().position(|organ| organ.value == *value).map_or(0, |class| class as u8 + 1)
        };
        Ok((self.dataset.image(id.scan, id.slice)?, mask.iter().map(class).collect()))
    }

    fn images(&self, slices: &[(Vec<f32>, Vec<u8>)]) -> TensorData {
        let size = self.dataset.index.preprocess.size;
        let images: Vec<f32> = slices.iter().flat_map(|(image, _)| image).copied().collect();
        TensorData::new(images, [slices.len(), 1, size, size])
    }

    fn batch(&self, slices: &[(Vec<f32>, Vec<u8>)], weights: Vec<f32>) -> Batch {
        let size = self.dataset.index.preprocess.size;
        let channels = if self.organs.len() == 1 { vec![1] } else { (0..=self.organs.len() as u8).collect() };
        let mut target = Vec::with_capacity(channels.len() * slices.len() * size * size);
        for (_, classes) in slices {
            for channel in &channels {
                target.extend(classes.iter().map(|class| f32::from(u8::from(class == channel))));
            }
        }
        Batch {
            images: self.images(slices),
            target: TensorData::new(target, [slices.len(), channels.len(), size, size]),
            weights: TensorData::new(weights, [slices.len()]),
        }
    }

    /// Dice of each organ in one scan, all slices together, at the network's resolution; organs
    /// that neither truth nor prediction shows have none.
    fn dice(&self, model: &Segmenter, scan: usize, device: &Device) -> Result<Vec<Option<f64>>> {
        let mut counts = vec![[0u64; 3]; self.organs.len() + 1]; // prediction, truth, both
        for ids in slices(self.dataset, &[scan]).chunks(self.config.training.batch) {
            let slices = ids.iter().map(|&id| self.slice(id)).collect::<Result<Vec<_>>>()?;
            let images = Tensor::from_data(self.images(&slices), device);
            let predicted = crate::predict::classes(model.probabilities(images))?;
            let truth = slices.iter().flat_map(|(_, classes)| classes);
            for (&predicted, &truth) in predicted.iter().zip(truth) {
                counts[usize::from(predicted)][0] += 1;
                counts[usize::from(truth)][1] += 1;
                counts[usize::from(truth)][2] += u64::from(predicted == truth);
            }
        }
        let dice = |&[p, t, both]: &[u64; 3]| (p + t > 0).then(|| 2.0 * both as f64 / (p + t) as f64);
        Ok(counts[1..].iter().map(dice).collect())
    }
}

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

    const RATE: f64 = 2e-3;
    const WARMUP: f64 = 0.05;
    const AVERAGE: f64 = 0.99;

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
            let at = [round, (id.scan as u64) << 32 | id.slice as u64];
            let (mirrored, seed) = (self.mirrored.as_deref(), self.config.training.seed);
            self.config.augment.apply(&mut image, &mut classes, size, mirrored, seed, at);
            Ok((image, classes))
        };
        let slices = turns.iter().map(augmented).collect::<Result<Vec<_>>>()?;
        Ok(self.batch(&slices, turns.iter().map(|turn| self.example(turn.example).weight).collect()))
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
        (model, self.config.loss.forward(logits, target, Tensor::from_data(batch.weights, device)))
    }

    fn rate_of(&self, parameter: &str) -> f64 {
        self.config.encoder_rate.filter(|_| parameter.starts_with("encoder.")).unwrap_or(1.0)
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

/// The slices that count, with weights that are 1 in the mean: confidence decides how much a slice
/// counts beside others, never how large the steps are, and where all are 1 nothing changes.
fn examples(
    dataset: &Dataset,
    config: &FinetuneConfig,
    scans: &[usize],
    organs: &[String],
) -> Result<Vec<Example>> {
    let weight = config.label_weight.unwrap_or_default();
    let example = |id: SliceId| {
        let scan = &dataset.index.scans[id.scan];
        let shows = |organ: &String| scan.shows(organ, id.slice) == Some(true);
        Example {
            weight: weight.of(scan, organs, id.slice),
            shows: (0..organs.len()).filter(|&organ| shows(&organs[organ])).collect(),
            id,
        }
    };
    let mut examples: Vec<Example> = slices(dataset, scans).into_iter().map(example).collect();
    examples.retain(|example| example.weight > 0.0);
    if let Some(drawn) = &config.drawn {
        check_drawn(dataset, drawn, scans, &examples)?;
        examples.retain(|Example { id, .. }| {
            let scan = &dataset.index.scans[id.scan];
            let absent = |organ: &String| scan.shows(organ, id.slice) == Some(false);
            organs.iter().all(absent) || drawn[&scan.case].contains(&id.slice)
        });
    }
    let refused = |expected: String, found: &str, hint: &str| {
        Err(Error::new(&dataset.dir, Kind::Request, expected, found).hint(hint))
    };
    let named = organs.join(", ");
    if examples.is_empty() {
        let hint = "`polycl inspect` tells who drew the masks; --label-weight equal takes all slices";
        let expected = format!("slices in which somebody has drawn or looked for {named}");
        return refused(expected, "none that count", hint);
    }
    let unseen =
        (0..organs.len()).find(|organ| !examples.iter().any(|example| example.shows.contains(organ)));
    // Slices that a study draws by chance may miss one organ of several.
    let chance = config.drawn.is_some() && examples.iter().any(|example| !example.shows.is_empty());
    if let Some(unseen) = unseen.filter(|_| !chance) {
        let hint = "name an organ that the training scans show, or label more of them";
        return refused(format!("slices that show {}", organs[unseen]), "none among those that train", hint);
    }
    // A scan of which nothing is drawn shows a network its patient, and no organ.
    let shown: BTreeSet<usize> =
        examples.iter().filter(|example| !example.shows.is_empty()).map(|example| example.id.scan).collect();
    let bare = |scan: usize| {
        let scan = &dataset.index.scans[scan];
        let named = |organ: &String| (0..scan.slices).any(|slice| scan.shows(organ, slice) == Some(true));
        organs.iter().any(named)
    };
    examples.retain(|example| shown.contains(&example.id.scan) || !bare(example.id.scan));
    let mean = examples.iter().map(|example| f64::from(example.weight)).sum::<f64>() / examples.len() as f64;
    examples.iter_mut().for_each(|example| example.weight = (f64::from(example.weight) / mean) as f32);
    Ok(examples)
}

/// Refuses drawn slices of scans that do not train, and slices that are not drawn.
fn check_drawn(
    dataset: &Dataset,
    drawn: &BTreeMap<String, Vec<usize>>,
    scans: &[usize],
    examples: &[Example],
) -> Result<()> {
    let trains: BTreeSet<SliceId> = examples.iter().map(|example| example.id).collect();
    for (case, slices) in drawn {
        let refused = |expected: String, found: String| {
            Err(Error::new(&dataset.dir, Kind::Request, expected, found)
                .hint("[drawn] names cases that train and, from 0 at the feet, slices in which the organs are drawn"))
        };
        let Some(&scan) = scans.iter().find(|&&scan| dataset.index.scans[scan].case == *case) else {
            return refused("drawn slices of scans that train".to_owned(), format!("case '{case}'"));
        };
        if let Some(slice) = slices.iter().find(|&&slice| !trains.contains(&SliceId { scan, slice })) {
            return refused(format!("drawn slices of {case}"), format!("slice {slice}, which is none"));
        }
    }
    Ok(())
}

/// The organs asked for, or all, with their values in the data set.
fn organs(dataset: &Dataset, asked: &[String]) -> Result<Vec<Organ>> {
    let labels = &dataset.index.labels;
    let known = || labels.values().cloned().collect::<Vec<_>>().join(", ");
    if let Some(missing) = asked.iter().find(|name| !labels.values().any(|label| label == *name)) {
        let expected = format!("an organ '{missing}'");
        return Err(Error::new(&dataset.dir, Kind::Request, expected, format!("only {}", known())));
    }
    let wanted = |name: &String| asked.is_empty() || asked.contains(name);
    let organ = |(&value, name): (&u16, &String)| Organ { value, name: name.clone(), parts: None };
    let organs: Vec<Organ> = labels.iter().filter(|(_, name)| wanted(name)).map(organ).collect();
    if organs.is_empty() {
        return Err(Error::new(&dataset.dir, Kind::Request, "masks to learn from", "no label at all")
            .hint("give masks to `polycl import` with --labels"));
    }
    if organs.len() > 254 {
        let found = organs.len().to_string();
        return Err(Error::new(&dataset.dir, Kind::Request, "at most 254 organs", found)
            .hint("name those to segment by --organ"));
    }
    Ok(organs)
}

/// The scans whose masks draw every one of these organs, and how many have masks that do not.
fn labelled(dataset: &Dataset, domain: Option<&str>, organs: &[String]) -> Result<(Vec<usize>, usize)> {
    let mut scans = super::scans_of(dataset, domain, &[])?;
    scans.retain(|&scan| dataset.index.scans[scan].labelled());
    let with_masks = scans.len();
    scans.retain(|&scan| dataset.index.scans[scan].draws(organs));
    if scans.is_empty() {
        let expected = format!("scans with masks of {}", organs.join(", "));
        return Err(Error::new(&dataset.dir, Kind::Request, expected, "none")
            .hint("`polycl inspect` lists what is drawn; name fewer organs by --organ"));
    }
    let partial = with_masks - scans.len();
    Ok((scans, partial))
}

fn split(dataset: &Dataset, config: &FinetuneConfig, scans: &[usize], organs: &[String]) -> Result<Split> {
    if let Some(split) = &config.split {
        return named_split(dataset, config, split, scans);
    }
    let budget = match (config.cases, config.fraction) {
        (Some(_), Some(_)) => {
            return Err(Error::new(&dataset.dir, Kind::Request, "--cases or --fraction", "both"));
        }
        (Some(cases), None) => Budget::Cases(cases),
        (None, Some(fraction)) => Budget::Fraction(fraction),
        (None, None) => Budget::All,
    };
    let scans = || scans.iter().map(|&scan| &dataset.index.scans[scan]);
    let patients = |by_hand| -> Vec<String> {
        let trusted = |scan: &&Scan| scan.wholly_by_hand(organs) == by_hand;
        scans().filter(trusted).map(|scan| scan.patient.clone()).collect()
    };
    split::budget(&patients(true), &patients(false), budget, config.training.seed, config.validate)
        .map_err(|error| Error { file: dataset.dir.clone(), ..error })
}

/// A split by name, if its patients have masks, none is on both sides, and nothing else is asked for.
fn named_split(dataset: &Dataset, config: &FinetuneConfig, split: &Split, scans: &[usize]) -> Result<Split> {
    let refused = |expected: &str, found: String| {
        Err(Error::new(&dataset.dir, Kind::Request, expected, found)
            .hint("a [split] names patients of the data set: train = [...], validation = [...]"))
    };
    if config.cases.is_some() || config.fraction.is_some() {
        return refused("a split by name alone", "a number or fraction of patients, too".to_owned());
    }
    if split.train.is_empty() {
        return refused("somebody to train on", "nobody".to_owned());
    }
    if let Some(both) = split.train.iter().find(|patient| split.validation.contains(patient)) {
        return refused("patients that train or validate", format!("'{both}', who would do both"));
    }
    let labelled = |patient: &String| scans.iter().any(|&scan| dataset.index.scans[scan].patient == *patient);
    match split.train.iter().chain(&split.validation).find(|patient| !labelled(patient)) {
        Some(unknown) => refused("patients with masks of these organs", format!("'{unknown}', who has none")),
        None => Ok(split.clone()),
    }
}
