//! Loaded networks that can follow objects. Any number of scans share one; what belongs to a scan is in its tracker.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use polycl_base::Result;
use polycl_image::preprocess::Grid;
use polycl_image::{Image, Plane};

use super::network_name::NetworkName;
use crate::device::Device;
use crate::sam::{self, Cache, Embedder, Frame, Sam, Slice, computer};
use crate::sam2::{self, Features, Sam2};
use crate::weights::{self, Weights};

/// A loaded network; clones share its weights.
#[derive(Clone)]
pub enum Follower {
    /// Was trained on boxes: the last outline gives the box for the next slice.
    Boxes(Arc<Embedder>),
    /// Looks back at what is remembered of earlier slices.
    Memory(Arc<VideoNetwork>),
}

impl Follower {
    /// Loads a file of weights; `wanted` names the network where its tensors do not tell. `cache` is a folder in which
    /// embeddings of the first generation are kept and found again.
    ///
    /// # Errors
    /// As [`weights::read`], and those of wrong tensors.
    pub fn open(
        path: &Path,
        wanted: Option<NetworkName>,
        device: Device,
        cache: Option<PathBuf>,
    ) -> Result<Self> {
        let weights = Weights::new(path, weights::read(path)?, &device.open());
        match wanted {
            Some(NetworkName::Sam(model)) => Self::load_sam(weights, Some(model), device, cache),
            Some(NetworkName::Sam2(model)) => Self::load_sam2(weights, Some(model), device),
            None if sam2::Model::is_of(&weights) => Self::load_sam2(weights, None, device),
            None => Self::load_sam(weights, None, device, cache),
        }
    }

    fn load_sam(
        weights: Weights,
        wanted: Option<sam::Model>,
        device: Device,
        cache: Option<PathBuf>,
    ) -> Result<Self> {
        let model = sam::Model::recognise(&weights, wanted)?;
        let sam = Sam::load(weights, model.config())?;
        Ok(Self::Boxes(Arc::new(Embedder::new(model, sam, device, cache))))
    }

    fn load_sam2(weights: Weights, wanted: Option<sam2::Model>, device: Device) -> Result<Self> {
        let model = sam2::Model::recognise(&weights, wanted)?;
        let sam2 = Sam2::load(weights, model.config())?;
        Ok(Self::Memory(Arc::new(VideoNetwork::new(model, sam2, device))))
    }

    pub fn name(&self) -> NetworkName {
        match self {
            Self::Boxes(network) => NetworkName::Sam(network.model),
            Self::Memory(network) => NetworkName::Sam2(network.model),
        }
    }

    /// Side of the decoder's grid.
    pub fn side(&self) -> usize {
        match self {
            Self::Boxes(network) => 4 * network.sam.config.side(),
            Self::Memory(network) => network.sam2.config.image / 4,
        }
    }

    /// Tells networks, their weights, and the computers they are on apart.
    pub fn fingerprint(&self) -> String {
        let (checksum, computer) = match self {
            Self::Boxes(network) => (network.sam.checksum, &network.computer),
            Self::Memory(network) => (network.sam2.checksum, &network.computer),
        };
        format!("{} {checksum:08x} {computer}", self.name())
    }

    /// The place of planes of this shape in the network's input.
    pub(super) fn frame(&self, grid: Grid) -> Frame {
        match self {
            Self::Boxes(network) => network.frame(grid),
            Self::Memory(network) => Frame::of_video(network.sam2.config.image, grid),
        }
    }

    /// The cache of a scan's embeddings, if there is one.
    pub fn cache(&self, image: &Image, plane: Plane) -> Option<Cache> {
        match self {
            Self::Boxes(network) => network.cache(image, plane),
            Self::Memory(_) => None,
        }
    }
}

/// SAM 2, and the device it is on.
pub struct VideoNetwork {
    pub model: sam2::Model,
    pub sam2: Sam2,
    device: burn::tensor::Device,
    computer: String,
}

impl VideoNetwork {
    pub fn new(model: sam2::Model, sam2: Sam2, device: Device) -> Self {
        Self { model, sam2, device: device.open(), computer: computer(device) }
    }

    pub(super) fn encode(&self, slice: &Slice<'_>, window: [f32; 2]) -> Features {
        let side = self.sam2.config.image;
        let input = TensorData::new(slice.frame.prepare(slice.plane, window), [1, side, side, 3]);
        self.sam2.encode(Tensor::from_data(input, &self.device))
    }
}
