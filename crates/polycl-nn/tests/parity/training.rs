use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use polycl_nn::loss::{ContrastiveLoss, SegmentationLoss};
use polycl_nn::net::{Contrastive, EncoderConfig, Net, Segmenter, SegmenterConfig, averaged, probabilities};
use polycl_nn::optim::{Adam, Schedule, clip_scale, global_norm, warmed_up};
use polycl_nn::train::kept;
use serde_json::Value;

use crate::networks::{contrastive, segmenter};
use crate::reference::Reference;

/// Ten steps of Adam; returns the trained model after comparing the losses.
fn ten_steps<M: Module>(reference: &Reference, mut model: M, loss: impl Fn(&M, usize) -> Tensor<1>) -> M {
    let (mut adam, mut losses) = (Adam::default(), Vec::new());
    for step in 0..10 {
        let value = loss(&model, step % 2);
        let gradients = value.backward();
        losses.push(value.into_scalar::<f32>());
        model = adam.step(model, &gradients, &|_| 1e-3, 1.0);
    }
    reference.close("losses", TensorData::new(losses, [10]));
    model
}

fn supervised(folder: &str, net: Net) {
    let device = Device::flex().autodiff();
    let (batches, initial) =
        (Reference::open("training/batches"), Reference::open(&format!("training/{folder}_initial")));
    let reference = Reference::open(&format!("training/{folder}_supervised"));
    let model = ten_steps(&reference, segmenter(net, &initial, &device), |model: &Segmenter, batch| {
        let logits = model.forward(batches.tensor(&format!("{batch}.image"), &device));
        let weights = Tensor::ones([logits.dims()[0]], &device);
        SegmentationLoss::Dice.forward(logits, batches.tensor(&format!("{batch}.mask"), &device), weights)
    });
    let image = batches.tensor::<4>("fixed.input", &Device::flex());
    reference.close("output", probabilities(model.valid().forward(image)).into_data());
    reference.close_module("weight.", &model, |_| true);
}

/// Ten steps of fine-tuning as it is by default: loss, warm-up and cosine, clipping, the running mean of the weights.
/// `see` makes what the network sees of images and their names.
fn by_recipe(reference: &Reference, mut model: Segmenter, see: impl Fn(Tensor<4>, &str) -> Tensor<4>) {
    let device = Device::flex().autodiff();
    let batches = Reference::open("training/batches");
    let (mut average, mut losses, mut adam) = (model.clone(), Vec::new(), Adam::default());
    for step in 0..10 {
        let batch = (step % 2).to_string();
        let logits = model.forward(see(batches.tensor(&format!("{batch}.image"), &device), &batch));
        let weights = Tensor::ones([logits.dims()[0]], &device);
        let mask = batches.tensor(&format!("{batch}.mask"), &device);
        let loss = SegmentationLoss::BatchDiceCrossEntropy.forward(logits, mask, weights);
        let gradients = loss.backward();
        losses.push(loss.into_scalar::<f32>());
        let scale = clip_scale(global_norm(&model, &gradients), 1.0);
        let rate = 2e-3 * warmed_up(Schedule::Cosine, 0.2, step, 10);
        model = adam.step(model, &gradients, &|_| rate, scale);
        average = averaged(average, &model, kept(0.99, step + 1));
    }
    reference.close("losses", TensorData::new(losses, [10]));
    reference.close_module("weight.", &model, |_| true);
    reference.close_module("average.", &average, |_| true);
    let image = see(batches.tensor::<4>("fixed.input", &Device::flex()), "fixed");
    reference.close("output", probabilities(model.valid().forward(image.clone())).into_data());
    reference.close("average_output", probabilities(average.valid().forward(image)).into_data());
}

#[test]
fn the_recipe() {
    let initial = Reference::open("training/unet_initial");
    let model = segmenter(Net::Unet, &initial, &Device::flex().autodiff());
    by_recipe(&Reference::open("training/unet_recipe"), model, |images, _| images);
}

/// A teacher, which sees heights beside images, from weights that do not know of heights.
#[test]
fn the_recipe_of_a_teacher() {
    let reference = Reference::open("training/unet_heights");
    let encoder =
        EncoderConfig { inputs: 2, widths: reference.widths(), ..EncoderConfig::published(Net::Unet) };
    let config = SegmenterConfig { encoder, organs: 1, overlap: false };
    let mut model = config.init(&Device::flex().autodiff()).with_dropout(0.0);
    reference.fill(&mut model, "initial.", |name| !name.starts_with("projection."));
    by_recipe(&reference, model, |images, name| {
        let heights: Vec<f32> = serde_json::from_value(reference.about("heights")[name].clone()).unwrap();
        let [count, _, height, width] = images.dims();
        let maps: Vec<f32> =
            heights.into_iter().flat_map(|at| std::iter::repeat_n(at, height * width)).collect();
        let maps = TensorData::new(maps, [count, 1, height, width]);
        let maps = Tensor::from_data(maps, &images.device());
        Tensor::cat(vec![images, maps], 1)
    });
}

#[test]
fn the_mean_forgets_the_first_weights_soon_and_keeps_what_it_is_told_later() {
    assert_eq!(kept(0.99, 1), 0.1);
    assert_eq!(kept(0.99, 891), 0.99);
    assert_eq!(kept(0.99, 100_000), 0.99);
    assert_eq!(kept(0.0, 5), 0.0);
}

fn unsupervised(folder: &str, net: Net) {
    let device = Device::flex().autodiff();
    let (batches, initial) =
        (Reference::open("training/batches"), Reference::open(&format!("training/{folder}_initial")));
    let reference = Reference::open(&format!("training/{folder}_contrastive"));
    let model = ten_steps(&reference, contrastive(net, &initial, &device), |model: &Contrastive, batch| {
        let [a, p, n] = model.triplet(
            ["anchor", "positive", "negative"]
                .map(|slice| batches.tensor(&format!("{batch}.{slice}"), &device)),
        );
        ContrastiveLoss::Cosine.forward(a, p, n, 0.1)
    });
    let image = batches.tensor::<4>("fixed.input", &Device::flex());
    reference.close("output", model.valid().forward(image).into_data());
    reference.close_module("weight.", &model, |_| true);
}

#[test]
fn unet_supervised() {
    supervised("unet", Net::Unet);
}

#[test]
fn unet_contrastive() {
    unsupervised("unet", Net::Unet);
}

#[test]
fn resnet18_supervised() {
    supervised("resnet18", Net::Resnet18);
}

#[test]
fn resnet18_contrastive() {
    unsupervised("resnet18", Net::Resnet18);
}

fn schedules() -> Value {
    serde_json::from_str(include_str!("../reference/schedule/schedule.json")).unwrap()
}

#[test]
fn cosine_annealing_with_and_without_restarts() {
    let reference = schedules();
    for setting in reference["annealing"].as_array().unwrap() {
        let (base, minimum) = (setting["base"].as_f64().unwrap(), setting["minimum"].as_f64().unwrap());
        let period = setting["period"].as_u64().unwrap() as usize;
        for (step, rate) in setting["rates"].as_array().unwrap().iter().take(period + 1).enumerate() {
            let ours = minimum + (base - minimum) * Schedule::Cosine.factor(step, period);
            assert!(
                (ours - rate.as_f64().unwrap()).abs() < 1e-12 * base.max(1.0),
                "{setting} step {step}: {ours}"
            );
        }
    }
    let doubling = |setting: &&Value| setting["factor"] == 2;
    let restarts: Vec<&Value> = reference["restarts"].as_array().unwrap().iter().filter(doubling).collect();
    assert!(!restarts.is_empty());
    for setting in restarts {
        let (base, minimum) = (setting["base"].as_f64().unwrap(), setting["minimum"].as_f64().unwrap());
        let steps = 7 * setting["period"].as_u64().unwrap() as usize;
        for (step, rate) in setting["rates"].as_array().unwrap().iter().take(steps).enumerate() {
            let ours = minimum + (base - minimum) * Schedule::Restarts.factor(step, steps);
            assert!(
                (ours - rate.as_f64().unwrap()).abs() < 1e-12 * base.max(1.0),
                "{setting} step {step}: {ours}"
            );
        }
    }
}

#[test]
fn clipping_by_global_norm() {
    let device = Device::flex().autodiff();
    for case in schedules()["clipping"].as_array().unwrap() {
        let floats = |value: &Value| -> Vec<f32> {
            value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
        };
        let before: Vec<Vec<f32>> = case["before"].as_array().unwrap().iter().map(floats).collect();
        // A linear layer per tensor, whose weight receives exactly that tensor as its gradient.
        let layers: Vec<Linear> =
            before.iter().map(|g| LinearConfig::new(1, g.len()).with_bias(false).init(&device)).collect();
        let products = layers.iter().zip(&before).map(|(layer, gradient)| {
            let gradient = Tensor::<1>::from_floats(gradient.as_slice(), &device).unsqueeze::<2>();
            (layer.weight.val() * gradient).sum()
        });
        let gradients = products.reduce(|a, b| a + b).unwrap().backward();
        let norm = global_norm(&layers, &gradients);
        assert!((norm - case["norm"].as_f64().unwrap()).abs() < 1e-5 * norm, "{norm}");
        let scale = clip_scale(norm, case["limit"].as_f64().unwrap());
        for (before, after) in before.iter().zip(case["after"].as_array().unwrap()) {
            for (before, after) in before.iter().zip(floats(after)) {
                assert!((f64::from(*before) * scale - f64::from(after)).abs() < 1e-6);
            }
        }
    }
}
