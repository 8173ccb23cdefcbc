//! Memories of frames, and the attention of the next frame to them.

use burn::tensor::Tensor;
use polycl_base::Result;

use super::config::{MemoryConfig, Sam2Config};
use super::hiera::{product, sum};
use super::position;
use crate::kernels::Conv;
use crate::kernels::transformer::{Activation, Heads, activate, attention, depthwise, rotate};
use crate::sam::layers::{Conv2d, LayerNorm, Linear, like};
use crate::weights::Weights;

/// A mask and the frame it is on become a memory.
#[derive(Debug, Clone)]
pub struct MemoryEncoder {
    /// Four convolutions that halve the sides, each followed by a norm and GELU.
    halve: Vec<(Conv2d, LayerNorm)>,
    widen: Linear,
    pix_feat_proj: Linear,
    fuser: Vec<CxBlock>,
    out_proj: Linear,
}

impl MemoryEncoder {
    pub fn load(weights: &mut Weights, name: &str, dim: usize, memory: MemoryConfig) -> Result<Self> {
        let conv = Conv { kernel: 3, stride: 2, padding: 1 };
        let mut halve = Vec::new();
        for i in 0..4 {
            let (from, to) = (4usize.pow(i), 4usize.pow(i + 1));
            let name = format!("{name}.mask_downsampler.encoder");
            let layer = Conv2d::load(weights, &format!("{name}.{}", 3 * i), [from, to], conv, true)?;
            halve.push((layer, LayerNorm::load(weights, &format!("{name}.{}", 3 * i + 1), to, 1e-6)?));
        }
        let block = |i: usize| CxBlock::load(weights, &format!("{name}.fuser.layers.{i}"), dim);
        let fuser = (0..2).map(block).collect::<Result<_>>()?;
        Ok(Self {
            halve,
            widen: Linear::load_conv(weights, &format!("{name}.mask_downsampler.encoder.12"), 256, dim)?,
            pix_feat_proj: Linear::load_conv(weights, &format!("{name}.pix_feat_proj"), dim, dim)?,
            fuser,
            out_proj: Linear::load_conv(weights, &format!("{name}.out_proj"), dim, memory.dim)?,
        })
    }

    /// An embedding [1, side, side, dim] and a mask [1, image, image, 1], scaled as memories want it →
    /// [1, side, side, memory dim].
    pub fn forward(
        &self,
        embedding: &Tensor<4>,
        mask: Tensor<4>,
        stage: &mut dyn FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        let halved = |x: Tensor<4>, (conv, norm): &(Conv2d, LayerNorm)| {
            activate(norm.forward(conv.forward(x)), Activation::Gelu)
        };
        let mask = self.widen.forward(self.halve.iter().fold(mask, halved));
        stage("mask", &mask);
        let x = self.pix_feat_proj.added(embedding.clone(), mask, Activation::None);
        stage("sum", &x);
        let x = self.fuser.iter().fold(x, |x, block| block.forward(x));
        stage("fuser", &x);
        self.out_proj.forward(x)
    }
}

/// A block of ConvNeXt (Liu et al. 2022).
#[derive(Debug, Clone)]
struct CxBlock {
    dwconv: (Tensor<4>, Tensor<1>),
    norm: LayerNorm,
    pwconv1: Linear,
    /// Times the layer's scale.
    pwconv2: Linear,
}

impl CxBlock {
    fn load(weights: &mut Weights, name: &str, dim: usize) -> Result<Self> {
        let gamma = weights.values(&format!("{name}.gamma"), &[dim])?;
        let mut weight = weights.values(&format!("{name}.pwconv2.weight"), &[dim, 4 * dim])?;
        let mut bias = weights.values(&format!("{name}.pwconv2.bias"), &[dim])?;
        for ((row, bias), gamma) in weight.chunks_exact_mut(4 * dim).zip(&mut bias).zip(&gamma) {
            row.iter_mut().for_each(|value| *value *= gamma);
            *bias *= gamma;
        }
        let kernel = weights.tensor(&format!("{name}.dwconv.weight"), [dim, 1, 7, 7])?;
        Ok(Self {
            dwconv: (kernel, weights.tensor(&format!("{name}.dwconv.bias"), [dim])?),
            norm: LayerNorm::load(weights, &format!("{name}.norm"), dim, 1e-6)?,
            pwconv1: Linear::load(weights, &format!("{name}.pwconv1"), dim, 4 * dim)?,
            pwconv2: Linear::new(weights.upload(weight, [dim, 4 * dim]), Some(weights.upload(bias, [dim]))),
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (kernel, bias) = &self.dwconv;
        let y = self.norm.forward(depthwise(x.clone(), kernel, bias, 1, Activation::None));
        self.pwconv2.added(self.pwconv1.activated(y, Activation::Gelu), x, Activation::None)
    }
}

/// The frame looks at itself and at memories, layer by layer.
#[derive(Debug, Clone)]
pub struct MemoryAttention {
    layers: Vec<Layer>,
    norm: LayerNorm,
    turns: [Tensor<2>; 2],
    /// Addition to the frame, [1, side², dim].
    places: Tensor<3>,
}

impl MemoryAttention {
    pub fn load(weights: &mut Weights, name: &str, config: &Sam2Config) -> Result<Self> {
        let (side, dim) = (config.side(), config.decoder.dim);
        let layer = |i: usize| Layer::load(weights, &format!("{name}.layers.{i}"), dim, config.memory);
        let layers = (0..config.memory.layers).map(layer).collect::<Result<_>>()?;
        let places = position::of_pixels(side, dim).iter().map(|place| 0.1 * place).collect();
        let turns = position::turns(side, dim).map(|turns| weights.upload(turns, [side * side, dim / 2]));
        Ok(Self {
            layers,
            norm: LayerNorm::load(weights, &format!("{name}.norm"), dim, 1e-5)?,
            turns,
            places: weights.upload(places, [1, side * side, dim]),
        })
    }

    /// A frame that knows where its pixels are, [1, side², dim].
    pub fn placed(&self, frame: Tensor<3>) -> Tensor<3> {
        frame + self.places.clone()
    }

    /// A [`Self::placed`] frame after it has looked at memories [1, M, memory dim], whose places are
    /// `places`; the last `pointers` of them are no pixels.
    pub fn forward(
        &self,
        frame: Tensor<3>,
        memories: &Tensor<3>,
        places: Tensor<3>,
        pointers: usize,
        stage: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Tensor<3> {
        let mut x = frame;
        let placed = memories.clone() + places;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, memories, &placed, pointers, &self.turns);
            stage(&format!("layers.{i}"), &x);
        }
        self.norm.forward(x)
    }
}

#[derive(Debug, Clone)]
struct Layer {
    own: Turned,
    to_memories: Turned,
    norm1: LayerNorm,
    norm2: LayerNorm,
    norm3: LayerNorm,
    linear1: Linear,
    linear2: Linear,
}

impl Layer {
    fn load(weights: &mut Weights, name: &str, dim: usize, memory: MemoryConfig) -> Result<Self> {
        let norm =
            |weights: &mut Weights, i: usize| LayerNorm::load(weights, &format!("{name}.norm{i}"), dim, 1e-5);
        Ok(Self {
            own: Turned::load(weights, &format!("{name}.self_attn"), dim, dim)?,
            to_memories: Turned::load(weights, &format!("{name}.cross_attn_image"), dim, memory.dim)?,
            norm1: norm(weights, 1)?,
            norm2: norm(weights, 2)?,
            norm3: norm(weights, 3)?,
            linear1: Linear::load(weights, &format!("{name}.linear1"), dim, memory.mlp)?,
            linear2: Linear::load(weights, &format!("{name}.linear2"), memory.mlp, dim)?,
        })
    }

    fn forward(
        &self,
        x: Tensor<3>,
        memories: &Tensor<3>,
        placed: &Tensor<3>,
        pointers: usize,
        turns: &[Tensor<2>; 2],
    ) -> Tensor<3> {
        let y = self.norm1.forward(x.clone());
        let x = self.own.forward(y.clone(), &y, &y, 0, turns, x);
        let y = self.norm2.forward(x.clone());
        let x = self.to_memories.forward(y, placed, memories, pointers, turns, x);
        let y = self.linear1.activated(self.norm3.forward(x.clone()), Activation::Relu);
        self.linear2.added(y, x, Activation::None)
    }
}

/// Attention of one head whose queries and keys are turned by where they are.
#[derive(Debug, Clone)]
struct Turned {
    q: Linear,
    k: Linear,
    /// Values are not projected before, but after they have been averaged, which is the same: weights of
    /// an average sum to one. So this is the projection of values and of the result in one.
    out: Linear,
    heads: Heads,
}

impl Turned {
    fn load(weights: &mut Weights, name: &str, dim: usize, from: usize) -> Result<Self> {
        let mut part = |part: &str, from: usize| -> Result<(Vec<f32>, Vec<f32>)> {
            let weight = weights.values(&format!("{name}.{part}_proj.weight"), &[dim, from])?;
            Ok((weight, weights.values(&format!("{name}.{part}_proj.bias"), &[dim])?))
        };
        let (q, k, v, out) = (part("q", dim)?, part("k", from)?, part("v", from)?, part("out", dim)?);
        let linear = |weight: Vec<f32>, bias: Vec<f32>, from: usize| {
            Linear::new(weights.upload(weight, [dim, from]), Some(weights.upload(bias, [dim])))
        };
        let unpaired = |(weight, bias): (Vec<f32>, Vec<f32>), from| {
            linear(position::unpaired(&weight, dim), position::unpaired(&bias, dim), from)
        };
        let bias = sum(product(&out.0, &v.1, [dim, dim, 1]), &out.1);
        Ok(Self {
            q: unpaired(q, dim),
            k: unpaired(k, from),
            out: linear(product(&out.0, &v.0, [dim, dim, from]), bias, from),
            heads: Heads::new(1, dim),
        })
    }

    /// The attention's result for the queries, added to the shortcut; the last `still` keys are not turned.
    fn forward(
        &self,
        queries: Tensor<3>,
        keys: &Tensor<3>,
        values: &Tensor<3>,
        still: usize,
        [cosines, sines]: &[Tensor<2>; 2],
        shortcut: Tensor<3>,
    ) -> Tensor<3> {
        let turned = |x: Tensor<3>, still: usize| {
            let count = x.dims()[1] - still;
            rotate(x, cosines, sines, count)
        };
        let q = turned(self.q.forward(queries), 0);
        let k = turned(self.k.forward(keys.clone()), still);
        let seen = attention(q, k, values.clone(), self.heads);
        self.out.added(seen, shortcut, Activation::None)
    }
}

/// Memories of frames and pointers to an object, as the attention wants them.
#[derive(Debug, Default)]
pub struct Bank {
    values: Vec<f32>,
    places: Vec<f32>,
    /// Number of tokens that are pointers.
    pub pointers: usize,
}

impl Bank {
    pub fn add(&mut self, values: impl IntoIterator<Item = f32>, places: impl IntoIterator<Item = f32>) {
        self.values.extend(values);
        self.places.extend(places);
        assert_eq!(self.values.len(), self.places.len(), "every value has a place");
    }

    /// [1, M, channels] each, on the device of another tensor.
    pub fn tensors<const D: usize>(self, channels: usize, other: &Tensor<D>) -> (Tensor<3>, Tensor<3>) {
        let shape = [1, self.values.len() / channels, channels];
        (like(self.values, shape, other), like(self.places, shape, other))
    }
}
