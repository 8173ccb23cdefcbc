//! The published networks by name.

use std::fmt;
use std::str::FromStr;

use polycl_base::Result;

use super::names::{name_of, named, names, unknown};
use super::{MLP_NAMES, TinyVitConfig, TwoWayConfig, VitConfig};
use crate::weights::{self, Weights};

/// The shape of a whole network.
#[derive(Debug, Clone, PartialEq)]
pub struct SamConfig {
    /// Side of the input in pixels.
    pub image: usize,
    pub encoder: EncoderConfig,
    pub decoder: TwoWayConfig,
}

#[derive(Debug, Clone, PartialEq)]
pub enum EncoderConfig {
    TinyVit(TinyVitConfig),
    Vit(VitConfig),
}

impl SamConfig {
    /// Side of the embedding.
    pub fn side(&self) -> usize {
        match &self.encoder {
            // The stages between halve twice.
            EncoderConfig::TinyVit(tiny) => self.image / if tiny.patch_kernel == 1 { 4 } else { 16 },
            EncoderConfig::Vit(vit) => vit.side,
        }
    }
}

/// A published network: its shape and how it wants its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// TinyViT at 256², for medical images (Ma et al., the laptop challenge of CVPR 2024).
    LiteMedSam,
    /// TinyViT at 1024² (Zhang et al. 2023).
    MobileSam,
    /// SAM's ViT-B, -L and -H at 1024² (Kirillov et al. 2023).
    SamVitB,
    SamVitL,
    SamVitH,
    /// ViT-B at 1024², for medical images (Ma et al. 2024).
    MedSam,
}

pub(crate) const NAMES: [(Model, &str); 6] = [
    (Model::LiteMedSam, "litemedsam"),
    (Model::MobileSam, "mobilesam"),
    (Model::SamVitB, "sam-vit-b"),
    (Model::SamVitL, "sam-vit-l"),
    (Model::SamVitH, "sam-vit-h"),
    (Model::MedSam, "medsam"),
];

impl Model {
    pub fn config(self) -> SamConfig {
        let decoder = TwoWayConfig { depth: 2, dim: 256, heads: 8, mlp: 2048, mlp_names: MLP_NAMES[0] };
        let tiny = |patch_kernel, classes| {
            EncoderConfig::TinyVit(TinyVitConfig {
                patch_kernel,
                dims: [64, 128, 160, 320],
                depths: [2, 2, 6, 2],
                heads: [2, 4, 5, 10],
                windows: [7, 7, 14, 7],
                outputs: 256,
                classes,
            })
        };
        let vit = |dim, depth, heads, global: &'static [usize]| {
            EncoderConfig::Vit(VitConfig {
                patch: 16,
                side: 64,
                dim,
                depth,
                heads,
                window: 14,
                global,
                outputs: 256,
            })
        };
        let (image, encoder) = match self {
            Self::LiteMedSam => (256, tiny(1, None)),
            Self::MobileSam => (1024, tiny(3, Some(1000))),
            Self::SamVitB | Self::MedSam => (1024, vit(768, 12, 12, &[2, 5, 8, 11])),
            Self::SamVitL => (1024, vit(1024, 24, 16, &[5, 11, 17, 23])),
            Self::SamVitH => (1024, vit(1280, 32, 16, &[7, 15, 23, 31])),
        };
        SamConfig { image, encoder, decoder }
    }

    /// Which networks the tensors of a file may belong to.
    fn candidates(weights: &Weights) -> &'static [Self] {
        let patches = weights.shape("image_encoder.patch_embed.seq.0.c.weight");
        match (patches, weights.shape("image_encoder.patch_embed.proj.weight")) {
            (Some([_, _, 1, 1]), _) => &[Self::LiteMedSam],
            (Some(_), _) => &[Self::MobileSam],
            (_, Some([768, ..])) => &[Self::SamVitB, Self::MedSam],
            (_, Some([1024, ..])) => &[Self::SamVitL],
            (_, Some([1280, ..])) => &[Self::SamVitH],
            _ => &[],
        }
    }

    /// The network that the tensors of a file belong to, `wanted` if it is one of several that are
    /// alike.
    ///
    /// # Errors
    /// [`polycl_base::Kind::Checkpoint`] where they belong to none or another, [`polycl_base::Kind::Request`] where they fit
    /// several and none was named.
    pub fn recognise(weights: &Weights, wanted: Option<Self>) -> Result<Self> {
        let known = NAMES.map(|(_, name)| name).join(" or ");
        let differ = "how images are prepared";
        weights::choose(weights, Self::candidates(weights), wanted, &known, differ)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&NAMES, self))
    }
}

super::names::serde_by_name!(Model);

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        named(&NAMES, text).ok_or_else(|| unknown(names(&NAMES), text))
    }
}
