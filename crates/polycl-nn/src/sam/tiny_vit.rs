//! TinyViT (Wu et al. 2022) as MobileSAM and LiteMedSAM have changed it: the last stage keeps its
//! resolution, and a neck takes the place of the classifier.

use burn::tensor::Tensor;
use polycl_base::Result;

use super::layers::{ConvNorm, LayerNorm, Linear, Neck};
use crate::kernels::transformer::{Activation, Heads, Places, window_attention};
use crate::weights::Weights;

/// The shape of a TinyViT.
#[derive(Debug, Clone, PartialEq)]
pub struct TinyVitConfig {
    /// Kernel of the two convolutions that embed patches: 3 halves the sides twice, 1 keeps them.
    pub patch_kernel: usize,
    /// Channels, blocks, heads and window side of each stage; the first one is convolutional.
    pub dims: [usize; 4],
    pub depths: [usize; 4],
    pub heads: [usize; 4],
    pub windows: [usize; 4],
    /// Channels of the embedding.
    pub outputs: usize,
    /// Classes of a classifier that the file holds but nobody uses.
    pub classes: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct TinyVit {
    patch_embed: [ConvNorm; 2],
    convolutional: Vec<MbConv>,
    stages: Vec<Vec<Block>>,
    /// Between the stages.
    merging: Vec<PatchMerging>,
    neck: Neck,
}

impl TinyVit {
    pub fn load(weights: &mut Weights, name: &str, config: &TinyVitConfig) -> Result<Self> {
        let [c, ..] = config.dims;
        let patch = [config.patch_kernel, if config.patch_kernel == 1 { 1 } else { 2 }];
        let patch_embed = [
            ConvNorm::load(weights, &format!("{name}.patch_embed.seq.0"), [3, c / 2], patch, 1)?,
            ConvNorm::load(weights, &format!("{name}.patch_embed.seq.2"), [c / 2, c], patch, 1)?,
        ];
        let block = |i: usize| format!("{name}.layers.0.blocks.{i}");
        let convolutional =
            (0..config.depths[0]).map(|i| MbConv::load(weights, &block(i), c)).collect::<Result<_>>()?;
        let (mut stages, mut merging) = (Vec::new(), Vec::new());
        for stage in 1..4 {
            let before = format!("{name}.layers.{}.downsample", stage - 1);
            let channels = [config.dims[stage - 1], config.dims[stage]];
            // The last merging halves nothing.
            let stride = if stage == 3 { 1 } else { 2 };
            merging.push(PatchMerging::load(weights, &before, channels, stride)?);
            let (dim, heads, side) = (config.dims[stage], config.heads[stage], config.windows[stage]);
            let block = |i: usize| format!("{name}.layers.{stage}.blocks.{i}");
            let blocks = (0..config.depths[stage]).map(|i| Block::load(weights, &block(i), dim, heads, side));
            stages.push(blocks.collect::<Result<_>>()?);
        }
        if let Some(classes) = config.classes {
            let last = config.dims[3];
            LayerNorm::load(weights, &format!("{name}.norm_head"), last, 1e-5)?;
            Linear::load(weights, &format!("{name}.head"), last, classes)?;
        }
        let neck = Neck::load(weights, &format!("{name}.neck"), config.dims[3], config.outputs)?;
        Ok(Self { patch_embed, convolutional, stages, merging, neck })
    }

    /// [B, H, W, 3] → embedding [B, H', W', outputs]; `stage` sees what each part leaves.
    pub fn forward(&self, image: Tensor<4>, stage: &mut dyn FnMut(&str, &Tensor<4>)) -> Tensor<4> {
        let x = self.patch_embed[0].forward(image, Activation::Gelu);
        let x = self.patch_embed[1].forward(x, Activation::None);
        stage("patch_embed", &x);
        let x = self.convolutional.iter().fold(x, |x, block| block.forward(x));
        let mut x = self.merging[0].forward(x);
        stage("layers.0", &x);
        for (i, blocks) in self.stages.iter().enumerate() {
            x = blocks.iter().fold(x, |x, block| block.forward(x));
            if let Some(merging) = self.merging.get(i + 1) {
                x = merging.forward(x);
            }
            stage(["layers.1", "layers.2", "layers.3"][i], &x);
        }
        self.neck.forward(x)
    }
}

/// An inverted bottleneck: wide, depthwise, narrow, with a shortcut.
#[derive(Debug, Clone)]
struct MbConv {
    conv1: ConvNorm,
    conv2: ConvNorm,
    conv3: ConvNorm,
}

impl MbConv {
    fn load(weights: &mut Weights, name: &str, channels: usize) -> Result<Self> {
        let wide = 4 * channels;
        Ok(Self {
            conv1: ConvNorm::load(weights, &format!("{name}.conv1"), [channels, wide], [1, 1], 1)?,
            conv2: ConvNorm::load(weights, &format!("{name}.conv2"), [wide; 2], [3, 1], wide)?,
            conv3: ConvNorm::load(weights, &format!("{name}.conv3"), [wide, channels], [1, 1], 1)?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.conv1.forward(x.clone(), Activation::Gelu);
        let y = self.conv2.forward(y, Activation::Gelu);
        self.conv3.added(y, x, Activation::Gelu)
    }
}

/// Changes the channels, and halves the sides at a stride of 2.
#[derive(Debug, Clone)]
struct PatchMerging {
    conv1: ConvNorm,
    conv2: ConvNorm,
    conv3: ConvNorm,
}

impl PatchMerging {
    fn load(weights: &mut Weights, name: &str, [from, to]: [usize; 2], stride: usize) -> Result<Self> {
        Ok(Self {
            conv1: ConvNorm::load(weights, &format!("{name}.conv1"), [from, to], [1, 1], 1)?,
            conv2: ConvNorm::load(weights, &format!("{name}.conv2"), [to; 2], [3, stride], to)?,
            conv3: ConvNorm::load(weights, &format!("{name}.conv3"), [to; 2], [1, 1], 1)?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.conv1.forward(x, Activation::Gelu);
        let x = self.conv2.forward(x, Activation::Gelu);
        self.conv3.forward(x, Activation::None)
    }
}

/// Attention within windows, a local convolution, and an MLP.
#[derive(Debug, Clone)]
struct Block {
    attn: Attention,
    local_conv: ConvNorm,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Block {
    fn load(weights: &mut Weights, name: &str, dim: usize, heads: usize, side: usize) -> Result<Self> {
        Ok(Self {
            attn: Attention::load(weights, &format!("{name}.attn"), dim, heads, side)?,
            local_conv: ConvNorm::load(weights, &format!("{name}.local_conv"), [dim; 2], [3, 1], dim)?,
            norm: LayerNorm::load(weights, &format!("{name}.mlp.norm"), dim, 1e-5)?,
            fc1: Linear::load(weights, &format!("{name}.mlp.fc1"), dim, 4 * dim)?,
            fc2: Linear::load(weights, &format!("{name}.mlp.fc2"), 4 * dim, dim)?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.attn.forward(x);
        let x = self.local_conv.forward(x, Activation::None);
        let y = self.fc1.activated(self.norm.forward(x.clone()), Activation::Gelu);
        self.fc2.added(y, x, Activation::None)
    }
}

/// Windowed attention with a learned bias for each distance, and its shortcut.
#[derive(Debug, Clone)]
struct Attention {
    norm: LayerNorm,
    qkv: Linear,
    proj: Linear,
    places: Places,
    /// Query, key and value of the zeros that windows are padded with, before the norm.
    outside: Tensor<1>,
    heads: Heads,
    side: usize,
}

impl Attention {
    fn load(weights: &mut Weights, name: &str, dim: usize, heads: usize, side: usize) -> Result<Self> {
        let norm = LayerNorm::load(weights, &format!("{name}.norm"), dim, 1e-5)?;
        let heads = Heads::new(heads, dim);
        let weight = weights.values(&format!("{name}.qkv.weight"), &[3 * dim, dim])?;
        let bias = weights.values(&format!("{name}.qkv.bias"), &[3 * dim])?;
        let weight = weights.upload(by_kind(&weight, heads, dim), [3 * dim, dim]);
        let qkv = Linear::new(weight, Some(weights.upload(by_kind(&bias, heads, 1), [3 * dim])));
        let tokens = side * side;
        let biases = weights.values(&format!("{name}.attention_biases"), &[heads.count, tokens])?;
        // The norm of zeros is its bias.
        let outside = qkv.forward(norm.bias().clone().reshape([1, dim])).reshape([3 * dim]);
        Ok(Self {
            norm,
            qkv,
            proj: Linear::load(weights, &format!("{name}.proj"), dim, dim)?,
            places: Places::Table(weights.upload(table(&biases, side), [heads.count, tokens, tokens])),
            outside,
            heads,
            side,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let qkv = self.qkv.forward(self.norm.forward(x.clone()));
        let y = window_attention(qkv, None, &self.outside, &self.places, self.heads, self.side);
        self.proj.added(y, x, Activation::None)
    }
}

/// Rows of [heads, 3, dim] as [3, heads, dim], which is how the kernels and ViT have them.
fn by_kind(rows: &[f32], heads: Heads, width: usize) -> Vec<f32> {
    let head = |kind: usize, head: usize| &rows[(head * 3 + kind) * heads.dim * width..][..heads.dim * width];
    (0..3).flat_map(|kind| (0..heads.count).flat_map(move |h| head(kind, h))).copied().collect()
}

/// One bias for each distance (|Δy|, |Δx|) in a window, [heads, side²], as a table of all pairs of
/// tokens. Distances are numbered as the pairs meet them, the first token's first: row by row.
fn table(biases: &[f32], side: usize) -> Vec<f32> {
    let tokens = side * side;
    let distance = |a: usize, b: usize| (a / side).abs_diff(b / side) * side + (a % side).abs_diff(b % side);
    let pairs = (0..tokens).flat_map(|a| (0..tokens).map(move |b| distance(a, b)));
    let pairs: Vec<usize> = pairs.collect();
    biases.chunks_exact(tokens).flat_map(|head| pairs.iter().map(|&distance| head[distance])).collect()
}
