use std::fmt;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Map, ResNet18Encoder, UNetEncoder};

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Net {
    #[default]
    Unet,
    Resnet18,
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unet => "unet",
            Self::Resnet18 => "resnet18",
        })
    }
}

/// An encoder's architecture: [`EncoderConfig::published`] unless a test wants a narrow one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderConfig {
    pub net: Net,
    /// Channels of the five maps, from full to lowest resolution.
    pub widths: [usize; 5],
    /// Maps that the network sees: the image, and, where it teaches another, where in each organ's range the slice lies.
    #[serde(default = "image_alone", skip_serializing_if = "is_image_alone")]
    pub inputs: usize,
}

fn image_alone() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_image_alone(inputs: &usize) -> bool {
    *inputs == 1
}

impl EncoderConfig {
    pub fn published(net: Net) -> Self {
        let widths = match net {
            Net::Unet => [16, 32, 64, 128, 256],
            Net::Resnet18 => [32, 64, 128, 256, 512],
        };
        Self { net, widths, inputs: 1 }
    }

    pub fn init(&self, device: &Device) -> Encoder {
        match self.net {
            Net::Unet => Encoder::UNet(UNetEncoder::new(self.inputs, &self.widths, device)),
            Net::Resnet18 => Encoder::ResNet18(ResNet18Encoder::new(self.inputs, &self.widths, device)),
        }
    }
}

#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one encoder in a process, not a list of them")]
pub enum Encoder {
    UNet(UNetEncoder),
    ResNet18(ResNet18Encoder),
}

impl Encoder {
    /// [B, inputs, H, W], sides multiples of 32 → five maps from the highest to the lowest resolution.
    pub fn features(&self, x: Tensor<4>) -> Vec<Map> {
        match self {
            Self::UNet(encoder) => encoder.features(x),
            Self::ResNet18(encoder) => encoder.features(x, 1),
        }
    }

    /// `[B, inputs, H, W]` → `[B, widths[4]]`, the input of the projection; batch norm sees `batches`
    /// batches, one after the other.
    pub fn pooled(&self, x: Tensor<4>, batches: usize) -> Tensor<2> {
        match self {
            Self::UNet(encoder) => encoder.pooled(x),
            Self::ResNet18(encoder) => encoder.pooled(x, batches),
        }
    }

    /// The same with another probability of dropout while it trains; the ResNet has none.
    #[must_use]
    pub fn with_dropout(self, probability: f64) -> Self {
        match self {
            Self::UNet(encoder) => Self::UNet(encoder.with_dropout(probability)),
            Self::ResNet18(_) => self,
        }
    }
}
