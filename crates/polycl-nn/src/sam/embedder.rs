//! A network at work on the slices of scans: what refinement and propagation have in common. One serves
//! any number of scans, at once too: nothing in it belongs to a scan.

use std::path::PathBuf;

use burn::tensor::{Tensor, TensorData};
use polycl_base::Result;
use polycl_image::preprocess::Grid;
use polycl_image::{Image, Plane};

use super::{Cache, Frame, Model, Prompt, Sam};
use crate::device::Device;

/// A network, the device it is on, and the folder in which embeddings are kept, if they are.
pub struct Embedder {
    pub model: Model,
    pub sam: Sam,
    /// Device and instruction set ([`computer`]): others round otherwise.
    pub computer: String,
    device: burn::tensor::Device,
    cache: Option<PathBuf>,
}

/// A slice of a scan in canonical order, or a plane of another kind, as a network gets it.
pub struct Slice<'a> {
    /// From the feet, or as [`Plane`] counts.
    pub number: usize,
    pub plane: &'a [f32],
    pub frame: Frame,
    pub cache: Option<&'a Cache>,
}

/// The mask of one prompt on the decoder's grid.
#[derive(Debug, Clone)]
pub struct Drawn {
    pub logits: Vec<f32>,
    pub predicted_iou: f32,
}

impl Embedder {
    /// `cache` is a folder in which embeddings are kept and found again.
    pub fn new(model: Model, sam: Sam, device: Device, cache: Option<PathBuf>) -> Self {
        let computer = computer(device);
        let cache = cache.map(|folder| folder.join(&computer));
        Self { model, sam, computer, device: device.open(), cache }
    }

    /// The place of planes of this shape in the network's input.
    pub fn frame(&self, grid: Grid) -> Frame {
        Frame::new(self.model, &self.sam.config, grid)
    }

    /// The cache of a scan's embeddings, if there is one.
    pub fn cache(&self, image: &Image, plane: Plane) -> Option<Cache> {
        self.cache.as_ref().map(|root| Cache::new(root, (image, plane), self.model, &self.sam))
    }

    /// The embedding of a slice, [1, side, side, dim], computed or found.
    ///
    /// # Errors
    /// [`polycl_base::Kind::Io`] where the cache cannot be written.
    pub fn embed(&self, slice: &Slice<'_>, window: [f32; 2]) -> Result<Tensor<4>> {
        if let Some(found) = slice.cache.and_then(|cache| cache.get(slice.number, window, &self.device)) {
            return Ok(found);
        }
        let side = self.sam.config.image;
        let input = TensorData::new(slice.frame.prepare(slice.plane, window), [1, side, side, 3]);
        let embedding = self.sam.embed(Tensor::from_data(input, &self.device));
        if let Some(cache) = slice.cache {
            cache.put(slice.number, window, &embedding)?;
        }
        Ok(embedding)
    }

    /// One mask for each prompt.
    ///
    /// # Errors
    /// What the device says.
    pub fn draw(&self, embedding: &Tensor<4>, prompts: &[Prompt]) -> Result<Vec<Drawn>> {
        let masks = self.sam.decode(embedding, prompts, false);
        let iou = crate::net::readout::floats(masks.iou)?;
        let logits = crate::net::readout::floats(masks.logits)?;
        let pixels = logits.len() / prompts.len();
        let each = logits.chunks_exact(pixels).zip(iou);
        Ok(each.map(|(logits, predicted_iou)| Drawn { logits: logits.to_vec(), predicted_iou }).collect())
    }
}

/// Other instructions round otherwise: what is kept must be what would be computed.
pub fn computer(device: Device) -> String {
    format!("{}-{}", device, crate::kernels::instruction_set()).replace(':', "_")
}
