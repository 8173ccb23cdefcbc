//! `polycl bench step`: the same work as `shared/bench/pytorch_step.py`, timed the same way; and
//! `polycl bench sam` and `sam2`, which time the halves of a Segment Anything network.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Distribution, Tensor};
use polycl_base::Result;
use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::loss::{ContrastiveLoss, SegmentationLoss};
use crate::net::{Contrastive, EncoderConfig, Net, SegmenterConfig};
use crate::optim::Adam;
use crate::sam::{Prompt, Sam};
use crate::sam2::{Place, Sam2, Track};
use crate::train::initialised;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    Supervised,
    Contrastive,
    Inference,
}

/// A step to time: `steps` times after `warmup` untimed ones.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub net: Net,
    pub work: Work,
    pub batch: usize,
    pub size: usize,
    pub steps: usize,
    pub warmup: usize,
    pub device: Device,
}

impl Step {
    /// Seconds of each timed step: float32, random input, dropout on, Adam included; for inference
    /// the forward pass alone.
    pub fn seconds(&self) -> Vec<f64> {
        match self.work {
            Work::Supervised => self.supervised(),
            Work::Contrastive => self.contrastive(),
            Work::Inference => self.inference(),
        }
    }

    fn supervised(&self) -> Vec<f64> {
        let device = self.device.open().autodiff();
        let model = initialised(0, &device, || self.segmenter().init(&device));
        let [images, target] = [0, 1].map(|_| self.random(&device));
        let target = target.greater_elem(0.7).float();
        let weights = Tensor::ones([target.dims()[0]], &device);
        self.train(model, |model| {
            SegmentationLoss::Dice.forward(model.forward(images.clone()), target.clone(), weights.clone())
        })
    }

    fn contrastive(&self) -> Vec<f64> {
        let device = self.device.open().autodiff();
        let config = EncoderConfig::published(self.net);
        let model = initialised(0, &device, || Contrastive::new(&config, &device));
        let images = [0, 1, 2].map(|_| self.random(&device));
        self.train(model, |model| {
            let [a, p, n] = model.triplet(images.clone());
            ContrastiveLoss::Cosine.forward(a, p, n, 0.1)
        })
    }

    fn inference(&self) -> Vec<f64> {
        let device = self.device.open();
        let model = initialised(0, &device, || self.segmenter().init(&device));
        let images = self.random(&device);
        self.time(|| drop(model.probabilities(images.clone()).into_data()), &device)
    }

    fn train<M: Module>(&self, model: M, loss: impl Fn(&M) -> Tensor<1>) -> Vec<f64> {
        let device = self.device.open();
        let (mut model, mut adam) = (Some(model), Adam::default());
        self.time(
            || {
                let now = model.take().expect("each step puts the model back");
                let gradients = loss(&now).backward();
                model = Some(adam.step(now, &gradients, &|_| 1e-4, 1.0));
            },
            &device,
        )
    }

    fn time(&self, step: impl FnMut(), device: &burn::tensor::Device) -> Vec<f64> {
        time([self.warmup, self.steps], step, device)
    }

    fn random(&self, device: &burn::tensor::Device) -> Tensor<4> {
        Tensor::random([self.batch, 1, self.size, self.size], Distribution::Uniform(0.0, 1.0), device)
    }

    fn segmenter(&self) -> SegmenterConfig {
        SegmenterConfig { encoder: EncoderConfig::published(self.net), organs: 1, overlap: false }
    }
}

/// Seconds that a network takes to embed one random image, `repeats` times.
pub fn embedding(sam: &Sam, repeats: [usize; 2], device: Device) -> Vec<f64> {
    let (side, device) = (sam.config.image, device.open());
    let image = Tensor::random([1, side, side, 3], Distribution::Uniform(0.0, 1.0), &device);
    time(repeats, || drop(sam.embed(image.clone()).into_data()), &device)
}

/// Seconds that it takes to decode `boxes` boxes on one embedding.
pub fn decoding(sam: &Sam, boxes: usize, repeats: [usize; 2], device: Device) -> Vec<f64> {
    let (side, device) = (sam.config.image, device.open());
    let image = Tensor::random([1, side, side, 3], Distribution::Uniform(0.0, 1.0), &device);
    let (embedding, size) = (sam.embed(image), side as f32);
    let prompt = |i: usize| Prompt::bounds([0.1, 0.2, 0.6 + 0.01 * i as f32, 0.7].map(|part| part * size));
    let prompts: Vec<Prompt> = (0..boxes).map(prompt).collect();
    time(repeats, || drop(sam.decode(&embedding, &prompts, false).logits.into_data()), &device)
}

/// Seconds that SAM 2 takes to encode a random frame, and to find an object on it with one drawn frame and
/// the fifteen before it to look back at.
///
/// # Errors
/// As [`Sam2::tracked`].
pub fn tracking(network: &Sam2, repeats: [usize; 2], device: Device) -> Result<[Vec<f64>; 2]> {
    let (side, device) = (network.config.image, device.open());
    let frame = Tensor::random([1, side, side, 3], Distribution::Uniform(0.0, 1.0), &device);
    let features = network.encode(frame.clone());
    let mask: Vec<f32> = (0..side * side).map(|i| f32::from(u8::from(i % side > side / 2))).collect();
    let mut track = Track::default();
    let drawn = network.drawn(&features, &mask)?;
    (1..16).for_each(|frame| track.restore(frame, false, drawn.clone()));
    track.condition(0, drawn);
    let place = Place { frame: 16, reverse: false, frames: 32 };
    let encode =
        || network.encode(frame.clone()).maps().into_iter().for_each(|map| drop(map.clone().into_data()));
    let encoding = time(repeats, encode, &device);
    let mut failed = None;
    let find = || failed = network.tracked(&features, &track, place, None).err().or(failed.take());
    let finding = time(repeats, find, &device);
    failed.map_or(Ok([encoding, finding]), Err)
}

/// Seconds of each timed step, after some that are not timed.
fn time([warmup, steps]: [usize; 2], mut step: impl FnMut(), device: &burn::tensor::Device) -> Vec<f64> {
    let mut seconds = Vec::with_capacity(steps);
    for i in 0..warmup + steps {
        let start = Instant::now();
        step();
        device.sync().expect("the device finishes what it began");
        if i >= warmup {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds
}
