use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{Device, Tensor};
use polycl_base::Result;
use serde::{Deserialize, Serialize};

use super::block::ConvBlock;
use super::map::{Map, convolve};
use super::readout::{decide, floats};
use super::{Encoder, EncoderConfig, Net};

/// A U-Net: an encoder, and how many organs its decoder tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmenterConfig {
    pub encoder: EncoderConfig,
    /// One organ is a sigmoid; several are a softmax with background as class 0.
    pub organs: usize,
    /// True if these are regions that may overlap: each is a sigmoid.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overlap: bool,
}

impl SegmenterConfig {
    pub fn init(&self, device: &Device) -> Segmenter {
        Segmenter { encoder: self.encoder.init(device), decoder: Decoder::new(self, device) }
    }

    /// Channels of the logits.
    pub fn channels(&self) -> usize {
        if self.organs == 1 || self.overlap { self.organs } else { self.organs + 1 }
    }

    /// Decoder widths from low to high resolution: the encoder's, in reverse, without its deepest;
    /// the ResNet's decoder is as wide as its skips too (256, 128, 64, 32 in the published one).
    fn decoder_widths(&self) -> [usize; 4] {
        let w = self.encoder.widths;
        [w[3], w[2], w[1], w[0]]
    }
}

/// Encoder and decoder, trained together: [B, inputs, H, W] → logits [B, channels, H, W].
#[derive(Module, Debug)]
pub struct Segmenter {
    pub encoder: Encoder,
    pub decoder: Decoder,
}

/// Four times (bilinear ×2, concatenate the skip, block), then 1×1. The ResNet's stem is at half
/// resolution, so its decoder ends with one more ×2.
#[derive(Module, Debug)]
pub struct Decoder {
    blocks: Vec<ConvBlock>,
    head: Conv2d,
    half_resolution: bool,
    overlap: bool,
}

impl Decoder {
    fn new(config: &SegmenterConfig, device: &Device) -> Self {
        let skips = config.encoder.widths;
        let mut channels = skips[4];
        let mut blocks = Vec::new();
        for (skip, width) in skips[..4].iter().rev().zip(config.decoder_widths()) {
            blocks.push(ConvBlock::new(channels + skip, width, device));
            channels = width;
        }
        Self {
            blocks,
            head: Conv2dConfig::new([channels, config.channels()], [1, 1]).init(device),
            half_resolution: config.encoder.net == Net::Resnet18,
            overlap: config.overlap,
        }
    }

    /// The encoder's five maps → the output of each block, and the logits [B, channels, H, W].
    pub fn stages(&self, mut maps: Vec<Map>) -> (Vec<Map>, Tensor<4>) {
        let mut x = maps.pop().expect("an encoder gives five maps");
        let mut stages = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let skip = maps.pop().expect("an encoder gives five maps");
            x = block.forward(&[&x.upsample2(), &skip]);
            stages.push(x.clone());
        }
        let x = if self.half_resolution { x.upsample2() } else { x };
        (stages, Map::plain(convolve(&[&x], &self.head)).to_nchw())
    }
}

impl Segmenter {
    /// [B, inputs, H, W] → logits [B, channels, H, W]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.decoder.stages(self.encoder.features(x)).1
    }

    /// [B, 1, H, W] → probabilities [B, channels, H, W]; with several organs channel 0 is background, with regions none is.
    pub fn probabilities(&self, x: Tensor<4>) -> Tensor<4> {
        let logits = self.forward(x);
        if self.decoder.overlap { sigmoid(logits) } else { probabilities(logits) }
    }

    /// [B, 1, H, W] → the class of every pixel, [B · H · W]; see [`decide`].
    pub(crate) fn classes(&self, x: Tensor<4>) -> Result<Vec<u8>> {
        let probabilities = self.probabilities(x);
        let [batch, channels, height, width] = probabilities.dims();
        let (values, pixels) = (floats(probabilities)?, height * width);
        let class = |i: usize| {
            let first = i / pixels * channels * pixels + i % pixels;
            decide(channels, self.decoder.overlap, |channel| values[first + channel * pixels])
        };
        Ok((0..batch * pixels).map(class).collect())
    }

    /// The same with another probability of dropout while it trains.
    #[must_use]
    pub fn with_dropout(mut self, probability: f64) -> Self {
        self.encoder = self.encoder.with_dropout(probability);
        let blocks = self.decoder.blocks.into_iter();
        self.decoder.blocks = blocks.map(|block| block.with_dropout(probability)).collect();
        self
    }
}

/// Sigmoid of one channel, softmax of several.
pub fn probabilities(logits: Tensor<4>) -> Tensor<4> {
    if logits.dims()[1] == 1 { sigmoid(logits) } else { softmax(logits, 1) }
}
