use std::collections::BTreeSet;

use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use polycl_nn::loss::{Pair, Pairs, info_nce, normalised};
use polycl_nn::net::{EncoderConfig, SegmenterConfig};
use polycl_nn::optim::Adam;
use polycl_nn::train::pretrain::{
    Byol, Method, MoCo, Momentum, Positional, PretrainConfig, SimClr, Threshold, TwoViews, masked_error,
    multi_negative, nt_xent, positional, prediction_loss, query_loss, reconstruction,
};

use crate::reference::{Reference, floats};

/// The cases of the losses, and one of them.
struct Case<'a> {
    reference: &'a Reference,
    name: &'a str,
}

impl Case<'_> {
    fn tensor<const D: usize>(&self, input: &str) -> Tensor<D> {
        self.reference.tensor(&format!("{}.{input}", self.name), &Device::flex().autodiff())
    }

    fn floats(&self, input: &str) -> Vec<f32> {
        floats(self.reference.data(&format!("{}.{input}", self.name)))
    }

    fn setting(&self, setting: &str) -> f32 {
        self.reference.case(self.name, setting).as_f64().unwrap() as f32
    }

    /// Compares the loss and its gradients with respect to the inputs.
    fn close<const N: usize, const D: usize>(
        &self,
        inputs: [&str; N],
        loss: impl FnOnce([Tensor<D>; N]) -> Tensor<1>,
    ) {
        let tensors = inputs.map(|input| self.tensor::<D>(input).require_grad());
        let value = loss(tensors.clone());
        let gradients = value.backward();
        self.reference.close(&format!("{}.loss", self.name), value.into_data());
        for (input, tensor) in inputs.iter().zip(tensors) {
            let gradient = tensor.grad(&gradients).unwrap().into_data();
            self.reference.close(&format!("{}.grad.{input}", self.name), gradient);
        }
    }
}

#[test]
fn every_case_of_the_losses() {
    let reference = Reference::open("pretraining/losses");
    let names: BTreeSet<&str> = reference.keys().filter_map(|key| key.split('.').next()).collect();
    assert_eq!(names.len(), 11);
    for name in names {
        let case = Case { reference: &reference, name };
        match name {
            "nt_xent" => case.close(["z"], |[z]| nt_xent(z, case.setting("temperature"))),
            "moco" => moco_loss(&case),
            "byol" => case.close(["p1", "p2"], |predicted| {
                prediction_loss(predicted, ["z1", "z2"].map(|target| case.tensor(target)))
            }),
            "positional" => case.close(["z"], |[z]| {
                let positions = case.floats("positions");
                positional(z, &positions, case.setting("threshold"), case.setting("temperature"))
            }),
            "masked_error" => case.close(["prediction"], |[painted]| {
                masked_error(painted, case.tensor::<4>("image"), case.tensor("mask"))
            }),
            _ if name.starts_with("info_nce") => case.close(["s"], |[s]| info_nce(s, given_pairs(&case))),
            _ if name.starts_with("multi_negative") => case.close(["a", "p", "n"], |embeddings| {
                multi_negative(embeddings, strategy_pairs(&case), case.setting("temperature"))
            }),
            _ => panic!("nothing to compare '{name}' with"),
        }
    }
}

fn moco_loss(case: &Case<'_>) {
    case.close(["q"], |[query]| {
        let keys = normalised(case.tensor("k"));
        query_loss(normalised(query), keys, case.tensor("queue"), case.setting("temperature"))
    });
}

/// The pairs that a case spells out.
fn given_pairs(case: &Case<'_>) -> Pairs {
    let [rows, columns] = case.tensor::<2>("positives").dims();
    let [positives, candidates] = ["positives", "candidates"].map(|input| case.floats(input));
    Pairs::new(rows, columns, |row, column| {
        match [&positives, &candidates].map(|flags| flags[row * columns + column] == 1.0) {
            [true, _] => Pair::Positive,
            [_, true] => Pair::Negative,
            _ => Pair::Ignored,
        }
    })
}

/// The pairs that PolyCL's strategy makes of slices of which scan and answer are known: anchors, positives
/// and negatives, in this order.
fn strategy_pairs(case: &Case<'_>) -> Pairs {
    let [scans, answers] = ["scans", "answers"].map(|input| case.floats(input));
    let strategy = case.reference.case(case.name, "strategy");
    let opposes = |a: usize, b: usize| {
        let (elsewhere, opposite) = (scans[a] != scans[b], answers[a] != answers[b]);
        match strategy.as_str().unwrap() {
            "scan" => elsewhere,
            "organ" => opposite,
            "mixed" => elsewhere && opposite,
            other => panic!("no strategy '{other}'"),
        }
    };
    let anchors = scans.len() / 3;
    Pairs::new(anchors, scans.len(), |anchor, other| match other {
        _ if other == anchors + anchor => Pair::Positive,
        _ if opposes(anchor, other) => Pair::Negative,
        _ => Pair::Ignored,
    })
}

/// Steps that the generator took.
const STEPS: usize = 4;

/// Takes the steps with Adam and compares losses, the first gradients, and everything after the last.
/// `step` gives the module as it goes on to the optimiser, and the loss, for the batch of a number.
fn four_steps<M: Module>(reference: &Reference, mut model: M, step: impl Fn(M, usize) -> (M, Tensor<1>)) {
    let rate = reference.about("adam")["lr"].as_f64().unwrap();
    let (mut adam, mut losses) = (Adam::default(), Vec::new());
    for number in 0..STEPS {
        let loss;
        (model, loss) = step(model, number % 2);
        let gradients = loss.backward();
        losses.push(loss.into_scalar::<f32>());
        if number == 0 {
            first_gradients(reference, model.clone(), &gradients);
        }
        model = adam.step(model, &gradients, &|_| rate, 1.0);
    }
    reference.close("losses", TensorData::new(losses, [STEPS]));
    assert_eq!(adam.moments.len(), count(reference, "gradient."), "{:?}", adam.moments.keys());
    reference.close_module("weight.", &model, |_| true);
}

/// PyTorch has gradients of what is trained, and of nothing else.
fn first_gradients<M: Module>(reference: &Reference, model: M, gradients: &Gradients) {
    let trained = |name: &str| reference.has(&format!("gradient.{name}"));
    reference.close_gradients_of("gradient.", model, gradients, trained);
}

fn count(reference: &Reference, prefix: &str) -> usize {
    reference.keys().filter(|key| key.starts_with(prefix)).count()
}

/// Compares a method that learns from two views, whose dropout `still` turns off.
fn two_views<M: TwoViews>(name: &str, method: Method, still: impl Fn(M) -> M) {
    let reference = Reference::open(&format!("pretraining/{name}_{method}"));
    let batches = Reference::open("pretraining/batches");
    let (device, config) = (Device::flex().autodiff(), config(&reference, method));
    let mut model = still(M::new(&encoder(&reference), &config, &device));
    reference.fill(&mut model, "initial.", |_| true);
    four_steps(&reference, model, |model, batch| {
        let views = ["first", "second"].map(|view| batches.tensor(&format!("{batch}.{view}"), &device));
        model.step(views, &floats(batches.data(&format!("{batch}.positions"))), &config)
    });
}

/// What the generator says that it did.
fn config(reference: &Reference, method: Method) -> PretrainConfig {
    let number = |what: &str| reference.about(what).as_f64();
    let queue = if method == Method::Moco { reference.data("initial.queue").shape()[0] } else { 1 };
    PretrainConfig {
        method,
        temperature: number("temperature").map(|temperature| temperature as f32),
        momentum: number("momentum").map(|rate| Momentum { rate, queue }),
        positional: number("threshold").map(|threshold| Threshold { threshold: threshold as f32 }),
        ..PretrainConfig::default()
    }
}

fn encoder(reference: &Reference) -> EncoderConfig {
    let net = serde_json::from_value(reference.about("net").clone()).unwrap();
    EncoderConfig { widths: reference.widths(), ..EncoderConfig::published(net) }
}

fn simclr(net: &str) {
    two_views::<SimClr>(net, Method::Simclr, |mut model| {
        model.encoder = model.encoder.with_dropout(0.0);
        model
    });
}

fn moco(net: &str) {
    two_views::<MoCo>(net, Method::Moco, |mut model| {
        model.encoder = model.encoder.with_dropout(0.0);
        model.key.encoder = model.key.encoder.with_dropout(0.0);
        model
    });
}

fn byol(net: &str) {
    two_views::<Byol>(net, Method::Byol, |mut model| {
        model.encoder = model.encoder.with_dropout(0.0);
        model.target.encoder = model.target.encoder.with_dropout(0.0);
        model
    });
}

fn positions(net: &str) {
    two_views::<Positional>(net, Method::Positional, |mut model| {
        model.encoder = model.encoder.with_dropout(0.0);
        model
    });
}

fn autoencoder(net: &str) {
    let reference = Reference::open(&format!("pretraining/{net}_autoencoder"));
    let batches = Reference::open("pretraining/batches");
    let device = Device::flex().autodiff();
    let config = SegmenterConfig { encoder: encoder(&reference), organs: 1, overlap: false };
    let mut model = config.init(&device).with_dropout(0.0);
    reference.fill(&mut model, "initial.", |_| true);
    four_steps(&reference, model, |model, batch| {
        let [image, hidden] =
            ["first", "mask"].map(|part| batches.tensor(&format!("{batch}.{part}"), &device));
        let loss = reconstruction(&model, image, hidden);
        (model, loss)
    });
}

#[test]
fn unet_simclr() {
    simclr("unet");
}

#[test]
fn unet_moco() {
    moco("unet");
}

#[test]
fn unet_byol() {
    byol("unet");
}

#[test]
fn unet_positional() {
    positions("unet");
}

#[test]
fn unet_autoencoder() {
    autoencoder("unet");
}

#[test]
fn resnet18_simclr() {
    simclr("resnet18");
}

#[test]
fn resnet18_moco() {
    moco("resnet18");
}

#[test]
fn resnet18_byol() {
    byol("resnet18");
}

#[test]
fn resnet18_positional() {
    positions("resnet18");
}

#[test]
fn resnet18_autoencoder() {
    autoencoder("resnet18");
}
