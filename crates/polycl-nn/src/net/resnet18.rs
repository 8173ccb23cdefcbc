use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::batch_norm::BatchNorm2d;
use super::map::{Map, convolve};
use super::unet::global_average;

/// torchvision's ResNet-18 but for a stem of one input channel and `widths[0]` (32) outputs, so
/// that the first stage has a projection shortcut too. Field names are torchvision's.
#[derive(Module, Debug)]
pub struct ResNet18Encoder {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    layer4: Vec<BasicBlock>,
}

#[derive(Module, Debug)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<(Conv2d, BatchNorm2d)>,
}

impl ResNet18Encoder {
    pub fn new(inputs: usize, widths: &[usize; 5], device: &Device) -> Self {
        let [w0, w1, w2, w3, w4] = *widths;
        Self {
            conv1: conv(inputs, w0, 7, 2, device),
            bn1: BatchNorm2d::new(w0, device),
            layer1: stage(w0, w1, 1, device),
            layer2: stage(w1, w2, 2, device),
            layer3: stage(w2, w3, 2, device),
            layer4: stage(w3, w4, 2, device),
        }
    }

    /// [B, inputs, H, W] → stem [B, 32, H/2, W/2] and four stages of 64, 128, 256, 512 channels at
    /// H/4, H/8, H/16, H/32.
    /// Batch norm sees `batches` batches.
    pub fn features(&self, x: Tensor<4>, batches: usize) -> Vec<Map> {
        let stem = relu(self.bn1.forward(convolve(&[&Map::from_nchw(x)], &self.conv1), batches));
        // The first block reads its input twice; pooling it once is cheaper.
        let mut x = Map::plain(stem.max_pool(3, 2, 1).read());
        let mut maps = vec![stem];
        for layer in [&self.layer1, &self.layer2, &self.layer3, &self.layer4] {
            x = layer.iter().fold(x, |x, block| block.forward(&x, batches));
            maps.push(x.clone());
        }
        maps
    }

    /// Input of the projection: `[B, inputs, H, W]` → `[B, widths[4]]`.
    pub fn pooled(&self, x: Tensor<4>, batches: usize) -> Tensor<2> {
        global_average(&self.features(x, batches).pop().expect("there are five maps"))
    }
}

impl BasicBlock {
    fn new(channels_in: usize, channels_out: usize, stride: usize, device: &Device) -> Self {
        let shortcut = stride != 1 || channels_in != channels_out;
        Self {
            conv1: conv(channels_in, channels_out, 3, stride, device),
            bn1: BatchNorm2d::new(channels_out, device),
            conv2: conv(channels_out, channels_out, 3, 1, device),
            bn2: BatchNorm2d::new(channels_out, device),
            downsample: shortcut.then(|| {
                let norm = BatchNorm2d::new(channels_out, device);
                (conv(channels_in, channels_out, 1, stride, device), norm)
            }),
        }
    }

    fn forward(&self, x: &Map, batches: usize) -> Map {
        let y = relu(self.bn1.forward(convolve(&[x], &self.conv1), batches));
        let y = self.bn2.forward(convolve(&[&y], &self.conv2), batches);
        let y = match &self.downsample {
            Some((conv, norm)) => y.plus(&norm.forward(convolve(&[x], conv), batches)),
            None => y.plus(x),
        };
        // Several layers read what a block gives, and it holds two maps: it is stored.
        Map::plain(relu(y).read())
    }
}

fn relu(map: Map) -> Map {
    map.activated(0.0, None)
}

fn stage(channels_in: usize, channels_out: usize, stride: usize, device: &Device) -> Vec<BasicBlock> {
    vec![
        BasicBlock::new(channels_in, channels_out, stride, device),
        BasicBlock::new(channels_out, channels_out, 1, device),
    ]
}

/// A convolution without bias, padded so that only the stride changes the size.
fn conv(channels_in: usize, channels_out: usize, kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new([channels_in, channels_out], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .init(device)
}
