//! The published networks by name, from the official YAML files.

use std::fmt;
use std::str::FromStr;

use polycl_base::Result;

use crate::sam::names::{name_of, named, names, unknown};
use crate::sam::{MLP_NAMES, TwoWayConfig};
use crate::weights::{self, Weights};

/// The shape of a whole network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sam2Config {
    /// Side of the input in pixels, 16 times that of the embedding.
    pub image: usize,
    pub trunk: HieraConfig,
    pub decoder: TwoWayConfig,
    pub memory: MemoryConfig,
    pub version: Version,
}

impl Sam2Config {
    /// Side of the embedding.
    pub fn side(&self) -> usize {
        self.image / 16
    }
}

/// The image encoder's trunk (Ryali et al. 2023). Stages after the first begin with a block that halves
/// the sides and doubles channels and heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HieraConfig {
    /// Channels and heads of the first stage.
    pub dim: usize,
    pub heads: usize,
    /// Blocks of each stage.
    pub stages: [usize; 4],
    /// Sides of the windows in each stage.
    pub windows: [usize; 4],
    /// Blocks that attend to the whole image.
    pub global: [usize; 3],
    /// Side of the grid of positions that is stretched over the image.
    pub background: usize,
}

/// The memory of earlier frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryConfig {
    /// Channels of a memory's pixels.
    pub dim: usize,
    /// Layers of the attention to memories, and the width of their MLPs.
    pub layers: usize,
    pub mlp: usize,
}

/// 2.1 knows how long ago a pointer was made, and marks memories of frames without the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V2,
    V21,
}

/// A published network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Ravi et al. 2024, at 1024².
    Sam2(Version, Size),
    /// SAM 2.1's smallest, trained on medical images at 512² (Ma et al. 2025).
    MedSam2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Tiny,
    Small,
    BasePlus,
    Large,
}

pub(crate) const NAMES: [(Model, &str); 9] = [
    (Model::Sam2(Version::V21, Size::Tiny), "sam2.1-hiera-tiny"),
    (Model::Sam2(Version::V21, Size::Small), "sam2.1-hiera-small"),
    (Model::Sam2(Version::V21, Size::BasePlus), "sam2.1-hiera-base-plus"),
    (Model::Sam2(Version::V21, Size::Large), "sam2.1-hiera-large"),
    (Model::Sam2(Version::V2, Size::Tiny), "sam2-hiera-tiny"),
    (Model::Sam2(Version::V2, Size::Small), "sam2-hiera-small"),
    (Model::Sam2(Version::V2, Size::BasePlus), "sam2-hiera-base-plus"),
    (Model::Sam2(Version::V2, Size::Large), "sam2-hiera-large"),
    (Model::MedSam2, "medsam2"),
];

impl Model {
    pub fn config(self) -> Sam2Config {
        let (image, version, size) = match self {
            Self::Sam2(version, size) => (1024, version, size),
            Self::MedSam2 => (512, Version::V21, Size::Tiny),
        };
        let tiny = HieraConfig {
            dim: 96,
            heads: 1,
            stages: [1, 2, 7, 2],
            windows: [8, 4, 14, 7],
            global: [5, 7, 9],
            background: 7,
        };
        let trunk = match size {
            Size::Tiny => tiny,
            Size::Small => HieraConfig { stages: [1, 2, 11, 2], global: [7, 10, 13], ..tiny },
            Size::BasePlus => HieraConfig {
                dim: 112,
                heads: 2,
                stages: [2, 3, 16, 3],
                global: [12, 16, 20],
                background: 14,
                ..tiny
            },
            Size::Large => HieraConfig {
                dim: 144,
                heads: 2,
                stages: [2, 6, 36, 4],
                windows: [8, 4, 16, 8],
                global: [23, 33, 43],
                ..tiny
            },
        };
        let decoder = TwoWayConfig { depth: 2, dim: 256, heads: 8, mlp: 2048, mlp_names: MLP_NAMES[1] };
        let memory = MemoryConfig { dim: 64, layers: 4, mlp: 2048 };
        Sam2Config { image, trunk, decoder, memory, version }
    }

    /// True if the tensors of a file are of SAM 2, whichever.
    pub fn is_of(weights: &Weights) -> bool {
        weights.shape("image_encoder.trunk.pos_embed").is_some()
    }

    /// True if the tensors of a file have the shapes of this network.
    fn fits(self, weights: &Weights) -> bool {
        let Sam2Config { trunk, version, .. } = self.config();
        let depth: usize = trunk.stages.iter().sum();
        let block = |i| weights.shape(&format!("image_encoder.trunk.blocks.{i}.norm1.weight"));
        let dim = |i| block(i).and_then(|sides| sides.first().copied());
        let marked = weights.shape("no_obj_embed_spatial").is_some();
        dim(0) == Some(trunk.dim)
            && dim(depth - 1).is_some()
            && dim(depth).is_none()
            && marked == (version == Version::V21)
    }

    /// The network that the tensors of a file belong to, `wanted` if it is one of several that are alike.
    ///
    /// # Errors
    /// [`polycl_base::Kind::Checkpoint`] where they belong to none or another, [`polycl_base::Kind::Request`] where they fit
    /// several and none was named.
    pub fn recognise(weights: &Weights, wanted: Option<Self>) -> Result<Self> {
        let fitting: Vec<Self> = NAMES.iter().map(|(model, _)| *model).filter(|m| m.fits(weights)).collect();
        weights::choose(weights, &fitting, wanted, "a SAM 2 network", "the size of their input")
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&NAMES, self))
    }
}

crate::sam::names::serde_by_name!(Model);

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        named(&NAMES, text).ok_or_else(|| unknown(names(&NAMES), text))
    }
}
