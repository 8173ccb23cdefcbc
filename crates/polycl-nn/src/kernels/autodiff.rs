//! The extension on Autodiff: the kernels' own backward passes.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex, TensorMetadata};
use polycl_kernels::{self as kernels, Adam, DiceLoss, Over, SourceGradient, Wanted};

use super::backend::{ConvSpec, ConvTensors, Kernels, SourceSpec, SourceTensors, dense, values};

#[derive(Debug)]
struct Read;
#[derive(Debug)]
struct Convolve;
#[derive(Debug)]
struct SoftDice;

impl Backward<Flex, 4> for Read {
    type State = (SourceTensors<Flex>, SourceSpec);

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = dense(gradients.consume::<Flex>(&ops.node));
        let (tensors, spec) = ops.state;
        let back = kernels::materialise_backward(tensors.source(spec), values(&gradient));
        register_source(gradients, ops.parents.map(|node| node.map(|node| node.id)), back, &tensors);
    }
}

impl Backward<Flex, 10> for Convolve {
    type State = (ConvTensors, ConvSpec);

    fn backward(self, ops: Ops<Self::State, 10>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = dense(gradients.consume::<Flex>(&ops.node));
        let (tensors, spec) = ops.state;
        let [a, b, c, d, e, f, g, h, weight, bias] = ops.parents.map(|node| node.map(|node| node.id));
        let sources = [[a, b, c, d], [e, f, g, h]];
        let tracked = |i: usize| sources[i].iter().any(Option::is_some);
        let wanted = Wanted {
            sources: [tracked(0), tracked(1) && spec.second.is_some()],
            weight: weight.is_some(),
            bias: bias.is_some() && spec.bias,
        };
        let weights = tensors.weights(spec);
        let back =
            kernels::convolve_backward(&tensors.sources(spec), weights, spec.conv, values(&gradient), wanted);
        for ((ids, back), tensors) in sources.into_iter().zip(back.sources).zip(&tensors.sources) {
            if let Some(back) = back {
                register_source(gradients, ids, back, tensors);
            }
        }
        register(gradients, weight, back.weight, &tensors.weight);
        register(gradients, bias, back.bias, &tensors.bias);
    }
}

impl Backward<Flex, 1> for SoftDice {
    /// Logits, target, weights, and which loss.
    type State = ([FlexTensor; 3], DiceLoss);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let upstream = dense(gradients.consume::<Flex>(&ops.node));
        let ([logits, target, weights], loss) = ops.state;
        let upstream = values(&upstream)[0];
        let [l, t, w] = [&logits, &target, &weights].map(values);
        let back = kernels::soft_dice_backward(l, t, w, loss, upstream);
        let [node] = ops.parents;
        register(gradients, node.map(|node| node.id), Some(back), &logits);
    }
}

/// Hands a gradient, where there is one, to the tensor that has asked for it.
fn register(gradients: &mut Gradients, node: Option<NodeId>, back: Option<Vec<f32>>, like: &FlexTensor) {
    if let (Some(node), Some(back)) = (node, back) {
        gradients
            .register::<Flex>(node, FlexTensor::from_data(burn::tensor::TensorData::new(back, like.shape())));
    }
}

/// The same for map, weight, bias and residual of a source.
fn register_source(
    gradients: &mut Gradients,
    nodes: [Option<NodeId>; 4],
    back: SourceGradient,
    tensors: &SourceTensors<Flex>,
) {
    let [map, weight, bias, residual] = nodes;
    register(gradients, map, Some(back.map), &tensors.map);
    register(gradients, weight, back.weight, &tensors.weight);
    register(gradients, bias, back.bias, &tensors.bias);
    register(gradients, residual, back.residual, &tensors.residual);
}

type Track<C> = Autodiff<Flex, C>;

/// The nodes that a source's gradients belong to, in the order of [`register_source`].
fn nodes<C: CheckpointStrategy>(source: &SourceTensors<Track<C>>) -> [NodeGuard; 4] {
    [source.map.node(), source.weight.node(), source.bias.node(), source.residual.node()]
}

fn inner<C: CheckpointStrategy>(source: SourceTensors<Track<C>>) -> SourceTensors<Flex> {
    SourceTensors {
        map: source.map.into_primitive(),
        moments: source.moments.into_primitive(),
        weight: source.weight.into_primitive(),
        bias: source.bias.into_primitive(),
        residual: source.residual.into_primitive(),
    }
    .contiguous()
}

impl<C: CheckpointStrategy> Kernels for Track<C> {
    fn read(source: SourceTensors<Self>, spec: SourceSpec) -> FloatTensor<Self> {
        let prepared = Read.prepare::<C>(nodes(&source)).compute_bound().stateful();
        let source = inner(source);
        let output = Flex::read(source.clone(), spec);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((source, spec), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn convolve(
        first: SourceTensors<Self>,
        second: SourceTensors<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        spec: ConvSpec,
    ) -> FloatTensor<Self> {
        let ([a, b, c, d], [e, f, g, h]) = (nodes(&first), nodes(&second));
        let nodes = [a, b, c, d, e, f, g, h, weight.node(), bias.node()];
        let prepared = Convolve.prepare::<C>(nodes).compute_bound().stateful();
        let tensors = ConvTensors {
            sources: [inner(first), inner(second)],
            weight: dense(weight.into_primitive()),
            bias: dense(bias.into_primitive()),
        };
        let ConvTensors { sources: [first, second], weight, bias } = tensors.clone();
        let output = Flex::convolve(first, second, weight, bias, spec);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((tensors, spec), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn moments(map: FloatTensor<Self>, over: Over) -> FloatTensor<Self> {
        Self::from_inner(Flex::moments(map.into_primitive(), over))
    }

    fn soft_dice(
        logits: FloatTensor<Self>,
        target: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        loss: DiceLoss,
    ) -> FloatTensor<Self> {
        let prepared = SoftDice.prepare::<C>([logits.node()]).compute_bound().stateful();
        let tensors = [logits, target, weights].map(|tensor| dense(tensor.into_primitive()));
        let [l, t, w] = tensors.clone();
        let output = Flex::soft_dice(l, t, w, loss);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((tensors, loss), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn adam(
        values: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: Adam,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, g, m, v] = [values, gradient, first, second].map(|tensor| tensor.into_primitive());
        let (x, m, v) = Flex::adam(x, g, m, v, step);
        (Self::from_inner(x), Self::from_inner(m), Self::from_inner(v))
    }
}
