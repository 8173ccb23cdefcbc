//! The parts of vision transformers, for inference alone: kernels on the CPU, burn's own operations
//! elsewhere. Tokens are the rows of whatever they come in, [B, N, C] or a map [B, H, W, C].

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Int, Tensor, TensorData};
use polycl_kernels::Shape;
use polycl_kernels::transformer::{self as kernels, Depthwise, Linear, Position, Windows};
pub use polycl_kernels::transformer::{Activation, Heads};

use super::backend::{dense, shape, tensor, values};
use super::{composed, serves};

/// The operations; the functions below say what they do. Absent tensors are stood in for by others.
#[backend_extension(Flex)]
pub trait Transformer: Backend {
    fn linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        has: Has,
        activation: Activation,
    ) -> FloatTensor<Self>;

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;

    fn depthwise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: usize,
        activation: Activation,
    ) -> FloatTensor<Self>;

    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        heads: Heads,
    ) -> FloatTensor<Self>;

    fn window_attention(
        qkv: FloatTensor<Self>,
        pooled: FloatTensor<Self>,
        outside: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        heads: Heads,
        windows: WindowSpec,
    ) -> FloatTensor<Self>;

    fn max_pool(x: FloatTensor<Self>, channels: usize) -> FloatTensor<Self>;

    fn rotate(
        x: FloatTensor<Self>,
        cosines: FloatTensor<Self>,
        sines: FloatTensor<Self>,
        turned: usize,
    ) -> FloatTensor<Self>;
}

/// Which of a linear layer's tensors there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Has {
    bias: bool,
    residual: bool,
}

/// The shapes of [`window_attention`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowSpec {
    side: usize,
    places: PlacesKind,
    pooled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum PlacesKind {
    None,
    Table,
    Relative,
}

impl Transformer for Flex {
    fn linear(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: FlexTensor,
        has: Has,
        activation: Activation,
    ) -> FlexTensor {
        let [x, weight, bias, residual] = [x, weight, bias, residual].map(dense);
        let sides = weight.shape();
        let layer = Linear {
            weight: values(&weight),
            bias: has.bias.then(|| values(&bias)),
            outputs: sides[0],
            inputs: sides[1],
            activation,
        };
        let y = kernels::linear(values(&x), layer, has.residual.then(|| values(&residual)));
        with_channels(&x, y, layer.outputs)
    }

    fn layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, epsilon: f32) -> FlexTensor {
        let [x, weight, bias] = [x, weight, bias].map(dense);
        let channels = weight.shape()[0];
        with_channels(&x, kernels::layer_norm(values(&x), values(&weight), values(&bias), epsilon), channels)
    }

    fn activate(x: FlexTensor, activation: Activation) -> FlexTensor {
        let x = dense(x);
        FlexTensor::from_data(TensorData::new(kernels::activate(values(&x), activation), x.shape()))
    }

    fn depthwise(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        stride: usize,
        activation: Activation,
    ) -> FlexTensor {
        let [x, weight, bias] = [x, weight, bias].map(dense);
        let layer = Depthwise { weight: values(&weight), bias: values(&bias), stride, activation };
        let output = layer.output(shape(&x));
        tensor(kernels::depthwise(values(&x), shape(&x), layer), [output.n, output.h, output.w, output.c])
    }

    fn attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, heads: Heads) -> FlexTensor {
        let [q, k, v] = [q, k, v].map(dense);
        let (queries, keys) = (q.shape()[1], k.shape()[1]);
        let y = kernels::attention(values(&q), values(&k), values(&v), queries, keys, heads);
        tensor(y, [q.shape()[0].max(k.shape()[0]), queries, v.shape()[2]])
    }

    fn window_attention(
        qkv: FlexTensor,
        pooled: FlexTensor,
        outside: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        heads: Heads,
        spec: WindowSpec,
    ) -> FlexTensor {
        let [qkv, pooled, outside, first, second] = [qkv, pooled, outside, first, second].map(dense);
        let position = match spec.places {
            PlacesKind::None => Position::None,
            PlacesKind::Table => Position::Table(values(&first)),
            PlacesKind::Relative => Position::Relative { y: values(&first), x: values(&second) },
        };
        let asked = spec.pooled.then(|| values(&pooled));
        let windows = Windows { side: spec.side, outside: values(&outside), position, pooled: asked };
        let y = kernels::window_attention(values(&qkv), shape(&qkv), heads, windows);
        with_channels(if spec.pooled { &pooled } else { &qkv }, y, heads.channels())
    }

    fn max_pool(x: FlexTensor, channels: usize) -> FlexTensor {
        let x = dense(x);
        let Shape { n, h, w, .. } = shape(&x);
        tensor(kernels::max_pool(values(&x), shape(&x), 0..channels), [n, h / 2, w / 2, channels])
    }

    fn rotate(x: FlexTensor, cosines: FlexTensor, sines: FlexTensor, turned: usize) -> FlexTensor {
        let [x, cosines, sines] = [x, cosines, sines].map(dense);
        let channels = *x.shape().last().expect("rows have channels");
        let y = kernels::rotate(values(&x), channels, values(&cosines), values(&sines), turned);
        with_channels(&x, y, channels)
    }
}

/// Values of the same shape as `like` but for the last side.
fn with_channels(like: &FlexTensor, values: Vec<f32>, channels: usize) -> FlexTensor {
    let mut sides = like.shape();
    *sides.last_mut().expect("tokens have channels") = channels;
    FlexTensor::from_data(TensorData::new(values, sides))
}

/// activation(x Wᵀ + b + residual) of every token, W of [outputs, inputs]; a residual of fewer tokens
/// is added to each image's.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    residual: Option<Tensor<D>>,
    activation: Activation,
) -> Tensor<D> {
    if serves(&x) {
        let has = Has { bias: bias.is_some(), residual: residual.is_some() };
        let x = x.into_dispatch();
        let bias = bias.map_or_else(|| x.clone(), |bias| bias.clone().into_dispatch());
        let residual = residual.map_or_else(|| x.clone(), Tensor::into_dispatch);
        let weight = weight.clone().into_dispatch();
        return Tensor::from_dispatch(Dispatch::linear(x, weight, bias, residual, has, activation));
    }
    let mut sides = x.dims();
    let [outputs, inputs] = weight.dims();
    sides[D - 1] = outputs;
    let tokens = x.shape().num_elements() / inputs;
    let mut y = x.reshape([tokens, inputs]).matmul(weight.clone().transpose());
    if let Some(bias) = bias {
        y = y + bias.clone().unsqueeze();
    }
    let mut y = y.reshape(sides);
    if let Some(residual) = residual {
        y = y + residual;
    }
    activate(y, activation)
}

/// (x − μ) / √(σ² + ε) · weight + bias, over the channels of every token.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: &Tensor<1>,
    bias: &Tensor<1>,
    epsilon: f32,
) -> Tensor<D> {
    if serves(&x) {
        let (weight, bias) = (weight.clone().into_dispatch(), bias.clone().into_dispatch());
        return Tensor::from_dispatch(Dispatch::layer_norm(x.into_dispatch(), weight, bias, epsilon));
    }
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().square().mean_dim(D - 1);
    centred * (variance + epsilon).sqrt().recip() * weight.clone().unsqueeze() + bias.clone().unsqueeze()
}

pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    match activation {
        Activation::None => x,
        _ if serves(&x) => Tensor::from_dispatch(Dispatch::activate(x.into_dispatch(), activation)),
        Activation::Relu => burn::tensor::activation::relu(x),
        Activation::Gelu => burn::tensor::activation::gelu(x),
    }
}

/// activation(x ∗ W + b) for every channel by itself: [B, H, W, C], W of [C, 1, k, k] with k = 3 or 7,
/// padding k / 2.
pub fn depthwise(
    x: Tensor<4>,
    weight: &Tensor<4>,
    bias: &Tensor<1>,
    stride: usize,
    activation: Activation,
) -> Tensor<4> {
    let (weight, bias) = (weight.clone(), bias.clone());
    if serves(&x) {
        let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
        return Tensor::from_dispatch(Dispatch::depthwise(
            x.into_dispatch(),
            weight,
            bias,
            stride,
            activation,
        ));
    }
    let [channels, _, k, _] = weight.dims();
    let options = ConvOptions::new([stride; 2], [k / 2; 2], [1, 1], channels);
    activate(composed::nhwc(conv2d(composed::nchw(x), weight, Some(bias), options)), activation)
}

/// softmax(q kᵀ · scale) v, head by head: [B, N, C] over keys [B, M, C] and values [B, M, V] → [B, N, V];
/// either side may be of one batch that all share.
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: Heads) -> Tensor<3> {
    if serves(&q) {
        let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
        return Tensor::from_dispatch(Dispatch::attention(q, k, v, heads));
    }
    let batch = q.dims()[0].max(k.dims()[0]);
    let (tokens, channels) = (q.dims()[1], v.dims()[2]);
    // Some queries at a time, lest the scores be too large for a device.
    let most = (SCORES / (batch * heads.count * k.dims()[1])).max(1);
    if tokens > most {
        let part = |first: usize| {
            let q = q.clone().narrow(1, first, most.min(tokens - first));
            attention(q, k.clone(), v.clone(), heads)
        };
        return Tensor::cat((0..tokens).step_by(most).map(part).collect(), 1);
    }
    let [q, k, v] = [q, k, v].map(|x| by_head(x, batch, heads.count));
    let scores = q.matmul(k.transpose()) * heads.scale;
    let y = burn::tensor::activation::softmax(scores, 3).matmul(v);
    y.swap_dims(1, 2).reshape([batch, tokens, channels])
}

/// Scores of queries and keys that are computed at a time, where there are no kernels.
const SCORES: usize = 1 << 25;

/// [B, N, C] → [batch, heads, N, C / heads]
fn by_head(x: Tensor<3>, batch: usize, heads: usize) -> Tensor<4> {
    let [own, tokens, channels] = x.dims();
    let x = x.reshape([own, tokens, heads, channels / heads]).swap_dims(1, 2);
    if own == batch { x } else { x.expand([batch, heads, tokens, channels / heads]) }
}

/// Addition to scores within a window; see [`Position`].
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one for each block of a network")]
pub enum Places {
    None,
    /// [heads, tokens, tokens]
    Table(Tensor<3>),
    /// Along y and along x, [2 side − 1, dim] each.
    Relative([Tensor<2>; 2]),
}

/// Attention within square windows of `side` of a map whose pixels hold query, key and value one after
/// the other: [B, H, W, 3 C] → [B, H, W, C]. Tokens beyond the map are `outside`, [3 C]. Queries that were
/// pooled, [B, H / 2, W / 2, C], stand in for the pixels' own, and so shape the result.
pub fn window_attention(
    qkv: Tensor<4>,
    pooled: Option<Tensor<4>>,
    outside: &Tensor<1>,
    places: &Places,
    heads: Heads,
    side: usize,
) -> Tensor<4> {
    if !serves(&qkv) {
        return composed_windows(qkv, pooled, outside, places, heads, side);
    }
    let qkv = qkv.into_dispatch();
    let absent = || outside.clone().into_dispatch();
    let (kind, first, second) = match places {
        Places::None => (PlacesKind::None, absent(), absent()),
        Places::Table(table) => (PlacesKind::Table, table.clone().into_dispatch(), absent()),
        Places::Relative([y, x]) => {
            (PlacesKind::Relative, y.clone().into_dispatch(), x.clone().into_dispatch())
        }
    };
    let spec = WindowSpec { side, places: kind, pooled: pooled.is_some() };
    let pooled = pooled.map_or_else(|| qkv.clone(), Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::window_attention(qkv, pooled, absent(), first, second, heads, spec))
}

/// A map cut into windows, [B · rows · columns, side², C], what lies beyond it filled in.
fn cut(x: Tensor<4>, side: usize, outside: Tensor<1>) -> Tensor<3> {
    let [b, h, w, channels] = x.dims();
    let [rows, columns] = [h, w].map(|length| length.div_ceil(side));
    let outside = outside.reshape([1, 1, 1, channels]);
    let mut x = x;
    if columns * side > w {
        x = Tensor::cat(vec![x, outside.clone().expand([b, h, columns * side - w, channels])], 2);
    }
    if rows * side > h {
        x = Tensor::cat(vec![x, outside.expand([b, rows * side - h, columns * side, channels])], 1);
    }
    let x = x.reshape([b, rows, side, columns, side * channels]).swap_dims(2, 3);
    x.reshape([b * rows * columns, side * side, channels])
}

fn composed_windows(
    qkv: Tensor<4>,
    pooled: Option<Tensor<4>>,
    outside: &Tensor<1>,
    places: &Places,
    heads: Heads,
    side: usize,
) -> Tensor<4> {
    let c = heads.channels();
    let whole = cut(qkv.clone(), side, outside.clone());
    let [windows, tokens, _] = whole.dims();
    let part = |i: usize| by_head(whole.clone().narrow(2, i * c, c), windows, heads.count);
    let (k, v) = (part(1), part(2));
    let (q, [b, h, w, _], side) = match pooled {
        Some(pooled) => {
            let cut = cut(pooled.clone(), side / 2, outside.clone().narrow(0, 0, c));
            (by_head(cut, windows, heads.count), pooled.dims(), side / 2)
        }
        None => (part(0), qkv.dims(), side),
    };
    let scores = q.clone().matmul(k.transpose()) * heads.scale;
    let scores = match places {
        Places::None => scores,
        Places::Table(table) => scores + table.clone().unsqueeze(),
        Places::Relative([y, x]) => {
            let q = q.reshape([windows * heads.count, side, side, heads.dim]);
            let by_y = q.clone().matmul(relative(y, side).unsqueeze()); // [., y, x, key y]
            let by_x = q.swap_dims(1, 2).matmul(relative(x, side).unsqueeze()).swap_dims(1, 2);
            let both = by_y.unsqueeze_dim::<5>(4) + by_x.unsqueeze_dim::<5>(3);
            scores + both.reshape([windows, heads.count, tokens, tokens])
        }
    };
    let y = burn::tensor::activation::softmax(scores, 3).matmul(v).swap_dims(1, 2); // [., tokens, heads, dim]
    let [rows, columns] = [h, w].map(|length| length.div_ceil(side));
    let y = y.reshape([b, rows, columns, side, side * c]).swap_dims(2, 3);
    y.reshape([b, rows * side, columns * side, c]).narrow(1, 0, h).narrow(2, 0, w)
}

/// The largest of every 2×2 pixels, for the first `channels` channels of a map with even sides:
/// [B, H, W, C] → [B, H / 2, W / 2, channels].
pub fn max_pool(x: Tensor<4>, channels: usize) -> Tensor<4> {
    if serves(&x) {
        return Tensor::from_dispatch(Dispatch::max_pool(x.into_dispatch(), channels));
    }
    let [b, h, w, _] = x.dims();
    let x = x.narrow(3, 0, channels);
    let x = x.reshape([b * h / 2, 2, w * channels]).max_dim(1);
    x.reshape([b * h / 2 * (w / 2), 2, channels]).max_dim(1).reshape([b, h / 2, w / 2, channels])
}

/// Tokens of complex numbers, real parts before imaginary ones, [1, N, C], turned by the angles whose
/// cosines and sines are [M, C / 2]: token n by row n modulo M. Tokens from `turned` on, a multiple of M,
/// stay as they are.
pub fn rotate(x: Tensor<3>, cosines: &Tensor<2>, sines: &Tensor<2>, turned: usize) -> Tensor<3> {
    let (cosines, sines) = (cosines.clone(), sines.clone());
    if serves(&x) {
        let [cosines, sines] = [cosines, sines].map(Tensor::into_dispatch);
        return Tensor::from_dispatch(Dispatch::rotate(x.into_dispatch(), cosines, sines, turned));
    }
    let ([_, tokens, channels], [period, half]) = (x.dims(), cosines.dims());
    let part = |first| x.clone().narrow(1, 0, turned).narrow(2, first, half);
    let [re, im] = [part(0), part(half)].map(|part| part.reshape([turned / period, period, half]));
    let (cosines, sines): (Tensor<3>, Tensor<3>) = (cosines.unsqueeze(), sines.unsqueeze());
    let new_re = re.clone() * cosines.clone() - im.clone() * sines.clone();
    let new = Tensor::cat(vec![new_re, re * sines + im * cosines], 2).reshape([1, turned, channels]);
    if turned == tokens { new } else { Tensor::cat(vec![new, x.narrow(1, turned, tokens - turned)], 1) }
}

/// Rows of a table for every query and key along one axis, [query, dim, key].
fn relative(table: &Tensor<2>, side: usize) -> Tensor<3> {
    let rows: Vec<i32> = (0..side).flat_map(|q| (0..side).map(move |k| (q + side - 1 - k) as i32)).collect();
    let rows = Tensor::<1, Int>::from_data(rows.as_slice(), &table.device());
    let dim = table.dims()[1];
    table.clone().select(0, rows).reshape([side, side, dim]).swap_dims(1, 2)
}
