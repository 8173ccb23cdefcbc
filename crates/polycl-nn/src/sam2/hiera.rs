//! SAM 2's image encoder: Hiera, whose stages see less and less finely, and a neck that brings the last
//! two together (Ryali et al. 2023; Bolya et al. 2023 for positions within windows).

use burn::tensor::Tensor;
use polycl_base::Result;

use super::config::HieraConfig;
use crate::kernels::Conv;
use crate::kernels::transformer::{Activation, Heads, Places, attention, max_pool, window_attention};
use crate::sam::layers::{Conv2d, LayerNorm, Linear};
use crate::weights::Weights;

#[derive(Debug, Clone)]
pub struct Hiera {
    patch_embed: Conv2d,
    /// [1, image / 4, image / 4, dim]
    pos_embed: Tensor<4>,
    blocks: Vec<Block>,
    /// Number of the last block of each stage.
    ends: [usize; 4],
}

impl Hiera {
    pub fn load(weights: &mut Weights, name: &str, config: &HieraConfig, image: usize) -> Result<Self> {
        let conv = Conv { kernel: 7, stride: 4, padding: 3 };
        let patch_embed =
            Conv2d::load(weights, &format!("{name}.patch_embed.proj"), [3, config.dim], conv, true)?;
        let pos_embed = positions(weights, name, config, image / 4)?;
        let mut blocks = Vec::new();
        let mut ends = [0; 4];
        for (stage, &depth) in config.stages.iter().enumerate() {
            for i in 0..depth {
                let number = blocks.len();
                let first = stage > 0 && i == 0;
                // The block that halves the sides still has the windows of the stage before.
                let window = config.windows[if first { stage - 1 } else { stage }];
                let window = (!config.global.contains(&number)).then_some(window);
                let (dim, heads) = (config.dim << stage, config.heads << stage);
                let name = format!("{name}.blocks.{number}");
                blocks.push(Block::load(
                    weights,
                    &name,
                    [if first { dim / 2 } else { dim }, dim],
                    heads,
                    window,
                )?);
            }
            ends[stage] = blocks.len() - 1;
        }
        Ok(Self { patch_embed, pos_embed, blocks, ends })
    }

    /// [1, image, image, 3] → the map that each stage leaves; `stage` sees what each part leaves.
    pub fn forward(&self, image: Tensor<4>, stage: &mut dyn FnMut(&str, &Tensor<4>)) -> [Tensor<4>; 4] {
        let mut x = self.patch_embed.forward(image) + self.pos_embed.clone();
        stage("patch_embed", &x);
        let mut maps = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x);
            if self.ends.contains(&i) {
                stage(&format!("stage{}", maps.len()), &x);
                maps.push(x.clone());
            }
        }
        maps.try_into().expect("four stages")
    }
}

/// A coarse grid of positions, stretched over the image, and one that repeats in every window.
fn positions(weights: &mut Weights, name: &str, config: &HieraConfig, side: usize) -> Result<Tensor<4>> {
    let HieraConfig { dim, background, windows: [window, ..], .. } = *config;
    let coarse = weights.values(&format!("{name}.pos_embed"), &[1, dim, background, background])?;
    let own = weights.values(&format!("{name}.pos_embed_window"), &[1, dim, window, window])?;
    let planes: Vec<Vec<f32>> =
        coarse.chunks_exact(background * background).map(|plane| bicubic(plane, background, side)).collect();
    let mut values = Vec::with_capacity(side * side * dim);
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        let within = y % window * window + x % window;
        values.extend((0..dim).map(|c| planes[c][y * side + x] + own[c * window * window + within]));
    }
    Ok(weights.upload(values, [1, side, side, dim]))
}

/// Keys' cubic convolution with a = −3/4 between the nearest pixels, as torch's
/// `interpolate(mode="bicubic")` does it.
fn bicubic(plane: &[f32], from: usize, to: usize) -> Vec<f32> {
    let taps = |i: usize| {
        let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let (first, t) = (at.floor(), at - at.floor());
        let near = |d: f64| (1.25 * d - 2.25) * d * d + 1.0;
        let far = |d: f64| ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0;
        let weights = [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)];
        let place = |k: usize| (first as isize - 1 + k as isize).clamp(0, from as isize - 1) as usize;
        [0, 1, 2, 3].map(|k| (place(k), weights[k]))
    };
    let taps: Vec<_> = (0..to).map(taps).collect();
    let value = |y: usize, x: usize| {
        let row = |y: usize| taps[x].iter().map(|(x, w)| w * f64::from(plane[y * from + x])).sum::<f64>();
        taps[y].iter().map(|&(y, w)| w * row(y)).sum::<f64>() as f32
    };
    (0..to).flat_map(|y| (0..to).map(move |x| (y, x))).map(|(y, x)| value(y, x)).collect()
}

#[derive(Debug, Clone)]
struct Block {
    norm1: LayerNorm,
    /// Widens the shortcut, in blocks that halve the sides.
    proj: Option<Linear>,
    qkv: Linear,
    /// Query, key and value of the zeros that windows are padded with, after the norm.
    outside: Tensor<1>,
    attn_proj: Linear,
    heads: Heads,
    /// None sees the whole image.
    window: Option<usize>,
    norm2: LayerNorm,
    mlp: [Linear; 2],
}

impl Block {
    fn load(
        weights: &mut Weights,
        name: &str,
        [from, to]: [usize; 2],
        heads: usize,
        window: Option<usize>,
    ) -> Result<Self> {
        let qkv = Linear::load(weights, &format!("{name}.attn.qkv"), from, 3 * to)?;
        let outside = qkv.forward(weights.upload(vec![0.0; from], [1, from])).reshape([3 * to]);
        let proj = (from != to).then(|| Linear::load(weights, &format!("{name}.proj"), from, to));
        Ok(Self {
            norm1: LayerNorm::load(weights, &format!("{name}.norm1"), from, 1e-6)?,
            proj: proj.transpose()?,
            qkv,
            outside,
            attn_proj: Linear::load(weights, &format!("{name}.attn.proj"), to, to)?,
            heads: Heads::new(heads, to),
            window,
            norm2: LayerNorm::load(weights, &format!("{name}.norm2"), to, 1e-6)?,
            mlp: [
                Linear::load(weights, &format!("{name}.mlp.layers.0"), to, 4 * to)?,
                Linear::load(weights, &format!("{name}.mlp.layers.1"), 4 * to, to)?,
            ],
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let normed = self.norm1.forward(x.clone());
        let c = self.heads.channels();
        let qkv = self.qkv.forward(normed.clone());
        let (pooled, shortcut) = match &self.proj {
            Some(proj) => (Some(max_pool(qkv.clone(), c)), max_pool(proj.forward(normed), c)),
            None => (None, x),
        };
        let y = match self.window {
            Some(side) => window_attention(qkv, pooled, &self.outside, &Places::None, self.heads, side),
            None => self.attend_to_all(qkv, pooled),
        };
        let x = self.attn_proj.added(y, shortcut, Activation::None);
        let y = self.mlp[0].activated(self.norm2.forward(x.clone()), Activation::Gelu);
        self.mlp[1].added(y, x, Activation::None)
    }

    fn attend_to_all(&self, qkv: Tensor<4>, pooled: Option<Tensor<4>>) -> Tensor<4> {
        let ([b, h, w, _], c) = (qkv.dims(), self.heads.channels());
        let part = |i: usize| qkv.clone().narrow(3, i * c, c).reshape([b, h * w, c]);
        let shape = pooled.as_ref().map_or([b, h, w, c], Tensor::dims);
        let q = pooled.map_or_else(|| part(0), |pooled| pooled.reshape([b, shape[1] * shape[2], c]));
        attention(q, part(1), part(2), self.heads).reshape(shape)
    }
}

/// Every stage as many channels; the third also has what the last one saw, which is coarser.
#[derive(Debug, Clone)]
pub struct Neck {
    /// To 1/32, 1/16, 1/8 and 1/4 of the image's side.
    convs: [Linear; 4],
}

impl Neck {
    /// `heads` are the decoder's convolutions of the two finest maps, which only these two are for.
    pub fn load(
        weights: &mut Weights,
        name: &str,
        config: &HieraConfig,
        dim: usize,
        fine: [&str; 2],
    ) -> Result<Self> {
        let mut conv = |name: &str, from: usize, to: usize| -> Result<(Vec<f32>, Vec<f32>)> {
            let weight = weights.values(&format!("{name}.weight"), &[to, from, 1, 1])?;
            Ok((weight, weights.values(&format!("{name}.bias"), &[to])?))
        };
        let mut layers = Vec::new();
        for i in 0..4 {
            let from = config.dim << (3 - i);
            let (weight, bias) = conv(&format!("{name}.convs.{i}.conv"), from, dim)?;
            layers.push(match i {
                // One linear layer after another is one.
                2 | 3 => {
                    let to = dim / if i == 2 { 4 } else { 8 };
                    let (second, second_bias) = conv(fine[i - 2], dim, to)?;
                    (
                        product(&second, &weight, [to, dim, from]),
                        sum(product(&second, &bias, [to, dim, 1]), &second_bias),
                        [to, from],
                    )
                }
                _ => (weight, bias, [dim, from]),
            });
        }
        let layer = |(weight, bias, [to, from]): (Vec<f32>, Vec<f32>, [usize; 2])| {
            Linear::new(weights.upload(weight, [to, from]), Some(weights.upload(bias, [to])))
        };
        let convs: Vec<Linear> = layers.into_iter().map(layer).collect();
        Ok(Self { convs: convs.try_into().expect("four convolutions") })
    }

    /// Maps from fine to coarse → those of the decoder, at 1/4 and 1/8 of the image's side, and the
    /// embedding, at 1/16.
    pub fn forward(&self, [finest, finer, fine, coarse]: [Tensor<4>; 4]) -> ([Tensor<4>; 2], Tensor<4>) {
        let [to_coarse, to_fine, to_finer, to_finest] = &self.convs;
        let coarse = doubled(to_coarse.forward(coarse));
        let embedding = to_fine.added(fine, coarse, Activation::None);
        ([to_finer.forward(finer), to_finest.forward(finest)], embedding)
    }
}

/// Every pixel four times.
fn doubled(x: Tensor<4>) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
    let x = x.reshape([b * h, 1, w, 1, c]).expand([b * h, 2, w, 2, c]);
    x.reshape([b, 2 * h, 2 * w, c])
}

/// [n, k] · [k, m], row by row.
pub fn product(a: &[f32], b: &[f32], [n, k, m]: [usize; 3]) -> Vec<f32> {
    let value =
        |i: usize, j: usize| (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * m + j])).sum::<f64>();
    (0..n * m).map(|i| value(i / m, i % m) as f32).collect()
}

pub fn sum(a: Vec<f32>, b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
