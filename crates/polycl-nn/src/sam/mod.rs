//! Segment Anything: an image encoder that looks once, a prompt encoder, and a mask decoder that
//! answers every prompt about the image (Kirillov et al. 2023).
//!
//! For inference alone. Maps are [B, H, W, C] between layers; module names are the published ones, so
//! that official checkpoints fit.

mod cache;
mod component;
pub(crate) mod config;
pub(crate) mod decoder;
mod embedder;
mod frame;
pub(crate) mod layers;
pub(crate) mod names;
pub(crate) mod prompt;
mod tiny_vit;
mod transformer;
mod vit;
mod window;

use std::path::Path;

use burn::tensor::Tensor;
use polycl_base::Result;

use crate::device::Device;
use crate::weights::{self, Weights};
pub use cache::Cache;
pub use component::Component;
pub use config::{EncoderConfig, Model, SamConfig};
use decoder::MaskDecoder;
pub use decoder::Masks;
pub use embedder::{Drawn, Embedder, Slice, computer};
pub use frame::{Frame, Lattice};
use prompt::PromptEncoder;
pub use prompt::{Point, Prompt};
use tiny_vit::TinyVit;
pub use tiny_vit::TinyVitConfig;
pub use transformer::{MLP_NAMES, TwoWayConfig};
use vit::Vit;
pub use vit::VitConfig;
pub use window::window_of;

/// A network with its weights.
#[derive(Debug, Clone)]
pub struct Sam {
    pub config: SamConfig,
    /// [`Weights::checksum`]
    pub checksum: u32,
    image_encoder: ImageEncoder,
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
}

#[derive(Debug, Clone)]
enum ImageEncoder {
    TinyVit(Box<TinyVit>),
    Vit(Box<Vit>),
}

impl Sam {
    /// A network from a file of weights; `model` names it where its tensors do not tell.
    ///
    /// # Errors
    /// As [`weights::read`], [`Model::recognise`] and [`Self::load`].
    pub fn open(path: &Path, model: Option<Model>, device: Device) -> Result<(Model, Self)> {
        let weights = Weights::new(path, weights::read(path)?, &device.open());
        let model = Model::recognise(&weights, model)?;
        Ok((model, Self::load(weights, model.config())?))
    }

    /// Takes every tensor of the file.
    ///
    /// # Errors
    /// [`polycl_base::Kind::Checkpoint`] for a missing, an unused or a misshapen tensor.
    pub fn load(mut weights: Weights, config: SamConfig) -> Result<Self> {
        let (dim, side) = (config.decoder.dim, config.side());
        let checksum = weights.checksum();
        let image_encoder = match &config.encoder {
            EncoderConfig::TinyVit(tiny) => {
                ImageEncoder::TinyVit(Box::new(TinyVit::load(&mut weights, "image_encoder", tiny)?))
            }
            EncoderConfig::Vit(vit) => {
                ImageEncoder::Vit(Box::new(Vit::load(&mut weights, "image_encoder", vit)?))
            }
        };
        let prompt_encoder = PromptEncoder::load(&mut weights, "prompt_encoder", dim, config.image, side)?;
        let mask_decoder =
            MaskDecoder::load(&mut weights, "mask_decoder", config.decoder, &prompt_encoder.grid())?;
        weights.finish()?;
        Ok(Self { config, checksum, image_encoder, prompt_encoder, mask_decoder })
    }

    /// Prepared images [B, H, W, 3] → embeddings [B, side, side, dim].
    pub fn embed(&self, images: Tensor<4>) -> Tensor<4> {
        self.embed_watched(images, &mut |_, _| {})
    }

    /// [`Self::embed`]; `stage` sees what each part of the encoder leaves, [B, H, W, C].
    pub fn embed_watched(&self, images: Tensor<4>, stage: &mut dyn FnMut(&str, &Tensor<4>)) -> Tensor<4> {
        match &self.image_encoder {
            ImageEncoder::TinyVit(encoder) => encoder.forward(images, stage),
            ImageEncoder::Vit(encoder) => encoder.forward(images, stage),
        }
    }

    /// Tokens of the prompts, [B, N, dim], and what they add to the embedding's pixels.
    pub fn encode(&self, prompts: &[Prompt]) -> (Tensor<3>, Tensor<4>) {
        (self.prompt_encoder.sparse(prompts), self.prompt_encoder.dense(prompts))
    }

    /// Masks of prompts about one image, whose embedding is [1, side, side, dim]. All prompts must be
    /// of one kind: as many points, all or none with a box, all or none with a mask. `multimask` asks
    /// for the three masks of an ambiguous prompt instead of the one.
    ///
    /// # Panics
    /// If there are no prompts, or of several kinds.
    pub fn decode(&self, embedding: &Tensor<4>, prompts: &[Prompt], multimask: bool) -> Masks {
        let (sparse, dense) = self.encode(prompts);
        let pixels = embedding.clone() + dense;
        let [batch, side, _, dim] = pixels.dims();
        let pixels = pixels.reshape([batch, side * side, dim]);
        self.mask_decoder.forward(pixels, sparse, multimask)
    }
}
