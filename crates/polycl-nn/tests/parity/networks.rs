use burn::tensor::{Device, Tensor};
use polycl_nn::loss::{ContrastiveLoss, SegmentationLoss};
use polycl_nn::net::{Contrastive, EncoderConfig, Net, Segmenter, SegmenterConfig, probabilities};

use crate::reference::Reference;

pub fn segmenter(net: Net, weights: &Reference, device: &Device) -> Segmenter {
    let config = SegmenterConfig {
        encoder: EncoderConfig { widths: weights.widths(), ..EncoderConfig::published(net) },
        organs: 1,
        overlap: false,
    };
    let mut model = config.init(device).with_dropout(0.0);
    weights.fill(&mut model, "weight.", |name| !name.starts_with("projection."));
    model
}

pub fn contrastive(net: Net, weights: &Reference, device: &Device) -> Contrastive {
    let config = EncoderConfig { widths: weights.widths(), ..EncoderConfig::published(net) };
    let mut model = Contrastive::new(&config, device).with_dropout(0.0);
    weights.fill(&mut model, "weight.", |name| !name.starts_with("decoder."));
    model
}

/// Every stage of encoder and decoder; `device` decides whether batch norm trains.
fn stages(folder: &str, net: Net, file: &str, device: &Device) {
    let (weights, reference) = (Reference::open(&format!("{folder}/weights")), Reference::open(file));
    let model = segmenter(net, &weights, device);
    let image = reference.tensor::<4>("input", device);
    let maps = model.encoder.features(image.clone());
    for (i, map) in maps.iter().enumerate() {
        reference.close(&format!("stage.{i}"), map.to_nchw().into_data());
    }
    if reference.has("buffer.encoder.bn1.running_mean") {
        reference.close_module("buffer.", &model, |name| name.contains("running_"));
    }
    let (decoded, logits) = model.decoder.stages(maps);
    for (i, map) in decoded.into_iter().enumerate() {
        reference.close(&format!("decoder.{i}"), map.to_nchw().into_data());
    }
    reference.close("logits", logits.clone().into_data());
    reference.close("probability", probabilities(logits).into_data());
    reference.close("embedding", contrastive(net, &weights, device).forward(image).into_data());
}

#[test]
fn unet_stage_by_stage() {
    stages("unet", Net::Unet, "unet/forward", &Device::flex());
}

#[test]
fn resnet18_stage_by_stage_in_training() {
    stages("resnet18", Net::Resnet18, "resnet18/forward_train", &Device::flex().autodiff());
}

#[test]
fn resnet18_stage_by_stage_in_evaluation() {
    stages("resnet18", Net::Resnet18, "resnet18/forward_eval", &Device::flex());
}

fn gradients(folder: &str, net: Net) {
    let device = Device::flex().autodiff();
    let weights = Reference::open(&format!("{folder}/weights"));

    let reference = Reference::open(&format!("{folder}/segmenter_gradients"));
    let model = segmenter(net, &weights, &device);
    let image = reference.tensor::<4>("input", &device).require_grad();
    let mask = reference.tensor::<4>("mask", &device);
    let loss = SegmentationLoss::Dice.forward(
        model.forward(image.clone()),
        mask,
        Tensor::ones([image.dims()[0]], &device),
    );
    let gradients = loss.backward();
    reference.close("loss", loss.into_data());
    reference.close("grad.input", image.grad(&gradients).unwrap().into_data());
    reference.close_gradients("grad.", model, &gradients);

    let reference = Reference::open(&format!("{folder}/contrastive_gradients"));
    let model = contrastive(net, &weights, &device);
    let slices = ["anchor", "positive", "negative"];
    let embeddings = model.triplet(slices.map(|slice| reference.tensor(slice, &device)));
    for (slice, embedding) in slices.iter().zip(&embeddings) {
        reference.close(&format!("embedding.{slice}"), embedding.clone().into_data());
    }
    let [a, p, n] = embeddings;
    let loss = ContrastiveLoss::Cosine.forward(a, p, n, 0.1);
    let gradients = loss.backward();
    reference.close("loss", loss.into_data());
    if net == Net::Resnet18 {
        reference.close_module("buffer.", &model, |name| name.contains("running_"));
    }
    reference.close_gradients("grad.", model, &gradients);
}

#[test]
fn unet_gradients() {
    gradients("unet", Net::Unet);
}

#[test]
fn resnet18_gradients() {
    gradients("resnet18", Net::Resnet18);
}
