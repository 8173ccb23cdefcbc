use burn::tensor::{Device, Tensor};
use polycl_nn::loss::{ContrastiveLoss, NO_TARGET, SegmentationLoss};

use crate::reference::Reference;

#[test]
fn contrastive() {
    let device = Device::flex().autodiff();
    let reference = Reference::open("losses/contrastive");
    let cases = [
        ("cosine_t0.1", ContrastiveLoss::Cosine),
        ("cosine_t0.5", ContrastiveLoss::Cosine),
        ("cosine_overflow", ContrastiveLoss::Cosine),
        ("euclidean", ContrastiveLoss::Euclidean),
        ("euclidean_equal", ContrastiveLoss::Euclidean),
    ];
    for (case, loss) in cases {
        let names = ["anchor", "positive", "negative"];
        let inputs =
            names.map(|name| reference.tensor::<2>(&format!("{case}.{name}"), &device).require_grad());
        let [a, p, n] = inputs.clone();
        let temperature = reference.case(case, "temperature").as_f64().unwrap_or(1.0) as f32;
        let value = loss.forward(a, p, n, temperature);
        let gradients = value.backward();
        reference.close(&format!("{case}.loss"), value.into_data());
        for (name, input) in names.iter().zip(inputs) {
            reference.close(&format!("{case}.grad.{name}"), input.grad(&gradients).unwrap().into_data());
        }
    }
}

#[test]
fn segmentation() {
    let device = Device::flex().autodiff();
    let reference = Reference::open("losses/segmentation");
    let cases = [
        (SegmentationLoss::Dice, "dice_sigmoid", vec!["", "_one_empty", "_all_empty"]),
        (SegmentationLoss::DiceCrossEntropy, "dice_bce", vec!["", "_one_empty", "_all_empty", "_large"]),
        (SegmentationLoss::Dice, "dice_softmax", vec!["", "_one_empty", "_large"]),
        (SegmentationLoss::DiceCrossEntropy, "dice_cross_entropy", vec!["", "_one_empty", "_large"]),
    ];
    for (loss, name, suffixes) in cases {
        for case in suffixes.into_iter().map(|suffix| format!("{name}{suffix}")) {
            if !reference.has(&format!("{case}.logits")) {
                panic!("no reference for {case}");
            }
            let logits = reference.tensor::<4>(&format!("{case}.logits"), &device).require_grad();
            let [images, channels, ..] = logits.dims();
            let weights = Tensor::ones([images], &device);
            let value = loss.forward(logits.clone(), target(&reference, &case, channels), weights);
            let gradients = value.backward();
            reference.close(&format!("{case}.loss"), value.into_data());
            reference.close(&format!("{case}.grad.logits"), logits.grad(&gradients).unwrap().into_data());
        }
    }
}

/// The one-hot target [B, C, H, W] of a case, from its mask or from its classes.
fn target(reference: &Reference, case: &str, channels: usize) -> Tensor<4> {
    let device = Device::flex().autodiff();
    if reference.has(&format!("{case}.target")) {
        return reference.tensor(&format!("{case}.target"), &device);
    }
    let classes = reference.tensor::<3>(&format!("{case}.classes"), &device).unsqueeze_dim::<4>(1);
    let channel = |c: usize| classes.clone().equal_elem(c as f32).float();
    Tensor::cat((0..channels).map(channel).collect(), 1)
}

#[test]
fn dice_over_a_batch() {
    let device = Device::flex().autodiff();
    let reference = Reference::open("losses/batch_dice");
    for kind in ["sigmoid", "softmax"] {
        for suffix in ["", "_even", "_few", "_few_even", "_empty", "_empty_even", "_large"] {
            let case = format!("{kind}{suffix}");
            let logits = reference.tensor::<4>(&format!("{case}.logits"), &device).require_grad();
            let target = reference.tensor::<4>(&format!("{case}.target"), &device);
            let weights = reference.tensor::<1>(&format!("{case}.weights"), &device);
            let value = SegmentationLoss::BatchDiceCrossEntropy.forward(logits.clone(), target, weights);
            let gradients = value.backward();
            reference.close(&format!("{case}.loss"), value.into_data());
            reference.close(&format!("{case}.grad.logits"), logits.grad(&gradients).unwrap().into_data());
        }
    }
}

/// Regions that overlap have a sigmoid each, as nnU-Net trains them, whatever is left out.
#[test]
fn regions_that_overlap() {
    let device = Device::flex().autodiff();
    let reference = Reference::open("losses/regions");
    let losses =
        [("batch", SegmentationLoss::BatchDiceCrossEntropy), ("image", SegmentationLoss::DiceCrossEntropy)];
    for kind in ["all_known", "few", "none", "large", "some", "whole", "all"] {
        for (suffix, (over, loss)) in
            ["", "_uneven"].into_iter().flat_map(|suffix| losses.map(|loss| (suffix, loss)))
        {
            let case = format!("{kind}{suffix}_{over}");
            let logits = reference.tensor::<4>(&format!("{case}.logits"), &device).require_grad();
            let classes = reference.tensor::<3>(&format!("{case}.classes"), &device).unsqueeze_dim::<4>(1);
            let region = |region: usize| classes.clone().greater_elem(region as f32).float();
            let target = Tensor::cat((0..logits.dims()[1]).map(region).collect(), 1);
            let open = classes.equal_elem(255.0).expand(target.dims());
            let target = target.mask_fill(open, NO_TARGET);
            let weights = reference.tensor::<1>(&format!("{case}.weights"), &device);
            let value = loss.of_regions(logits.clone(), target, weights);
            let gradients = value.backward();
            reference.close(&format!("{case}.loss"), value.into_data());
            reference.close(&format!("{case}.grad.logits"), logits.grad(&gradients).unwrap().into_data());
        }
    }
}

/// What nnU-Net's rule for its label `ignore` gives: one organ by the kernel, several by burn's operations.
#[test]
fn what_nobody_annotated_is_left_out() {
    let device = Device::flex().autodiff();
    let reference = Reference::open("losses/ignored");
    let losses =
        [("batch", SegmentationLoss::BatchDiceCrossEntropy), ("image", SegmentationLoss::DiceCrossEntropy)];
    let cases =
        ["sigmoid", "softmax"].into_iter().flat_map(|kind| ["some", "whole", "all"].map(|what| (kind, what)));
    for (kind, what) in cases {
        for (suffix, (over, loss)) in
            ["", "_uneven"].into_iter().flat_map(|suffix| losses.map(|loss| (suffix, loss)))
        {
            let case = format!("{kind}_{what}{suffix}_{over}");
            let logits = reference.tensor::<4>(&format!("{case}.logits"), &device).require_grad();
            let classes = reference.tensor::<3>(&format!("{case}.classes"), &device).unsqueeze_dim::<4>(1);
            let channels = if kind == "sigmoid" { 1..2 } else { 0..3 };
            let channel = |c: usize| classes.clone().equal_elem(c as f32).float();
            let target = Tensor::cat(channels.map(channel).collect(), 1);
            let open = classes.equal_elem(255.0).expand(target.dims());
            let target = target.mask_fill(open, NO_TARGET);
            let weights = reference.tensor::<1>(&format!("{case}.weights"), &device);
            let value = loss.forward(logits.clone(), target, weights);
            let gradients = value.backward();
            reference.close(&format!("{case}.loss"), value.into_data());
            reference.close(&format!("{case}.grad.logits"), logits.grad(&gradients).unwrap().into_data());
        }
    }
}
