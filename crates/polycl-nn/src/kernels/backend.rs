//! The extension's trait, and its implementation on Flex by the kernels.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, Flex, TensorMetadata, backend_extension};
use burn::tensor::TensorData;
use polycl_kernels::{
    self as kernels, Adam, Conv, DiceLoss, Dropout, Norm, Over, Resample, Shape, Source, Weights,
};

/// The normalisation of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormSpec {
    pub over: Over,
    pub epsilon: f32,
    /// True with a weight and a bias.
    pub affine: bool,
    /// True where the moments are given rather than the map's own.
    pub fixed: bool,
}

/// The operations on a map while it is read, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceSpec {
    pub norm: Option<NormSpec>,
    /// True where another map is added.
    pub residual: bool,
    /// Slope of LeakyReLU; 0 is ReLU, 1 nothing.
    pub slope: f32,
    pub dropout: Option<Dropout>,
    pub resample: Resample,
}

impl SourceSpec {
    pub const PLAIN: Self =
        Self { norm: None, residual: false, slope: 1.0, dropout: None, resample: Resample::No };
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvSpec {
    pub first: SourceSpec,
    pub second: Option<SourceSpec>,
    pub conv: Conv,
    pub bias: bool,
}

/// A source's tensors; what its [`SourceSpec`] does not speak of is not looked at.
#[derive(Debug, Clone, ExtensionType)]
pub struct SourceTensors<B: Backend> {
    pub map: FloatTensor<B>,
    pub moments: FloatTensor<B>,
    pub weight: FloatTensor<B>,
    pub bias: FloatTensor<B>,
    pub residual: FloatTensor<B>,
}

/// The operations; the functions of the module above say what they do.
#[backend_extension(Autodiff, Flex)]
pub trait Kernels: Backend {
    fn read(#[extension_type] source: SourceTensors<Self>, spec: SourceSpec) -> FloatTensor<Self>;

    fn convolve(
        #[extension_type] first: SourceTensors<Self>,
        #[extension_type] second: SourceTensors<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        spec: ConvSpec,
    ) -> FloatTensor<Self>;

    fn moments(map: FloatTensor<Self>, over: Over) -> FloatTensor<Self>;

    fn soft_dice(
        logits: FloatTensor<Self>,
        target: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        loss: DiceLoss,
    ) -> FloatTensor<Self>;

    fn adam(
        values: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: Adam,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl Kernels for Flex {
    fn read(source: SourceTensors<Self>, spec: SourceSpec) -> FlexTensor {
        let tensors = source.contiguous();
        let source = tensors.source(spec);
        tensor(kernels::materialise(source), sides(source.output()))
    }

    fn convolve(
        first: SourceTensors<Self>,
        second: SourceTensors<Self>,
        weight: FlexTensor,
        bias: FlexTensor,
        spec: ConvSpec,
    ) -> FlexTensor {
        let tensors = ConvTensors {
            sources: [first.contiguous(), second.contiguous()],
            weight: dense(weight),
            bias: dense(bias),
        };
        let sources = tensors.sources(spec);
        let (weights, mut input) = (tensors.weights(spec), sources[0].output());
        input.c = weights.channels_in;
        let output = spec.conv.output(input, weights.channels_out);
        tensor(kernels::convolve(&sources, weights, spec.conv), sides(output))
    }

    fn moments(map: FlexTensor, over: Over) -> FlexTensor {
        let map = dense(map);
        let shape = shape(&map);
        tensor(kernels::moments(values(&map), shape, over), [over.groups(shape.n), 2, shape.c])
    }

    fn soft_dice(logits: FlexTensor, target: FlexTensor, weights: FlexTensor, loss: DiceLoss) -> FlexTensor {
        let [logits, target, weights] = [logits, target, weights].map(dense);
        assert_eq!(weights.shape()[0], logits.shape()[0], "a weight for each image");
        tensor(vec![kernels::soft_dice(values(&logits), values(&target), values(&weights), loss)], [1])
    }

    fn adam(
        values: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        step: Adam,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [mut x, mut m, mut v] = [values, first, second].map(dense);
        // Copies only what somebody else holds as well.
        kernels::adam(
            x.storage_mut(),
            self::values(&dense(gradient)),
            m.storage_mut(),
            v.storage_mut(),
            step,
        );
        (x, m, v)
    }
}

/// A tensor from values in order.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The same tensor with its values in order from the first of its memory on.
pub fn dense(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.as_slice::<f32>().is_some_and(|values| values.len() == tensor.storage::<f32>().len());
    if whole { tensor } else { tensor.to_contiguous() }
}

/// The values of a [`dense`] tensor.
pub fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("the tensor was made dense")
}

/// The shape of a map [B, H, W, C].
pub fn shape(map: &FlexTensor) -> Shape {
    let shape = map.shape();
    Shape { n: shape[0], h: shape[1], w: shape[2], c: shape[3] }
}

fn sides(shape: Shape) -> [usize; 4] {
    [shape.n, shape.h, shape.w, shape.c]
}

impl SourceTensors<Flex> {
    pub fn contiguous(self) -> Self {
        Self {
            map: dense(self.map),
            moments: dense(self.moments),
            weight: dense(self.weight),
            bias: dense(self.bias),
            residual: dense(self.residual),
        }
    }

    pub fn source(&self, spec: SourceSpec) -> Source<'_> {
        let norm = spec.norm.map(|norm| Norm {
            moments: values(&self.moments),
            over: norm.over,
            weight: norm.affine.then(|| values(&self.weight)),
            bias: norm.affine.then(|| values(&self.bias)),
            epsilon: norm.epsilon,
            fixed: norm.fixed,
        });
        Source {
            map: values(&self.map),
            shape: shape(&self.map),
            norm,
            residual: spec.residual.then(|| values(&self.residual)),
            slope: spec.slope,
            dropout: spec.dropout,
            resample: spec.resample,
        }
    }
}

/// All tensors of a convolution.
#[derive(Debug, Clone)]
pub struct ConvTensors {
    pub sources: [SourceTensors<Flex>; 2],
    pub weight: FlexTensor,
    pub bias: FlexTensor,
}

impl ConvTensors {
    pub fn sources(&self, spec: ConvSpec) -> Vec<Source<'_>> {
        let second = spec.second.map(|second| self.sources[1].source(second));
        std::iter::once(self.sources[0].source(spec.first)).chain(second).collect()
    }

    pub fn weights(&self, spec: ConvSpec) -> Weights<'_> {
        let shape = self.weight.shape();
        Weights {
            values: values(&self.weight),
            bias: spec.bias.then(|| values(&self.bias)),
            channels_out: shape[0],
            channels_in: shape[1],
            kernel: shape[2],
        }
    }
}
