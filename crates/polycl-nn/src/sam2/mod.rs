//! Segment Anything 2: what is drawn on one frame is found again on the next, because frames look at
//! memories of those before (Ravi et al. 2024).
//!
//! For inference alone. Maps are [B, H, W, C] between layers; module names are the published ones, so that
//! official checkpoints fit. Prompts, mask decoder and two-way transformer are SAM's.

pub(crate) mod config;
mod hiera;
mod memory;
mod output;
mod position;
mod track;
mod video;

use std::path::Path;

use burn::tensor::Tensor;
use half::bf16;
use polycl_base::Result;
use polycl_image::resize;

use crate::device::Device;
use crate::net::readout::floats;
use crate::sam::Prompt;
use crate::sam::decoder::{Decoded, MASKS, MaskDecoder};
use crate::sam::layers::{Mlp, like};
use crate::sam::prompt::PromptEncoder;
use crate::weights::{self, Weights};
pub use config::{HieraConfig, MemoryConfig, Model, Sam2Config, Size, Version};
use hiera::{Hiera, Neck};
use memory::Bank;
pub use memory::{MemoryAttention, MemoryEncoder};
pub use output::Output;
use track::{MEMORIES, POINTERS};
pub use track::{Place, Track};
pub use video::Video;

/// Logits of a mask where there is no object.
const NO_OBJECT: f32 = -1024.0;
/// Values of masks for memories: 20 σ(logit) − 10.
const SCALE: f32 = 20.0;
const BIAS: f32 = -10.0;
/// A network with its weights.
#[derive(Debug, Clone)]
pub struct Sam2 {
    pub config: Sam2Config,
    /// [`Weights::checksum`]
    pub checksum: u32,
    trunk: Hiera,
    neck: Neck,
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
    pub memory_attention: MemoryAttention,
    pub memory_encoder: MemoryEncoder,
    /// The mask prompt of 4×4 pixels, and what is added.
    mask_downsample: (Vec<f32>, f32),
    obj_ptr_proj: Mlp,
    no_obj_ptr: Vec<f32>,
    /// Added to frames that have nothing to look back at.
    no_mem_embed: Tensor<4>,
    /// Memories of frames without the object are marked so; 2.1 alone.
    no_obj_embed_spatial: Option<Vec<f32>>,
    times: Times,
}

/// Codes that tell memories of several times and places apart.
#[derive(Debug, Clone)]
struct Times {
    /// A memory's pixels, [side², memory dim].
    pixels: Vec<f32>,
    /// For memories of 6, 5, … 1 frames ago, then for conditioning frames, [7, memory dim].
    frames: Vec<f32>,
    /// Codes of the times of pointers: weights [memory dim, dim] and the bias; 2.1 alone.
    pointers: Option<(Vec<f32>, Vec<f32>)>,
}

/// The image encoder's features of a frame.
#[derive(Debug, Clone)]
pub struct Features {
    /// At 1/8 and 1/4 of the frame's side, as the decoder adds them.
    fine: [Tensor<4>; 2],
    /// [1, side, side, dim]
    embedding: Tensor<4>,
}

impl Features {
    /// At 1/8, 1/4 and 1/16 of the frame's side.
    pub fn maps(&self) -> [&Tensor<4>; 3] {
        [&self.fine[0], &self.fine[1], &self.embedding]
    }
}

impl Sam2 {
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
    pub fn load(mut weights: Weights, config: Sam2Config) -> Result<Self> {
        let checksum = weights.checksum();
        let (dim, side, memory_dim) = (config.decoder.dim, config.side(), config.memory.dim);
        let w = &mut weights;
        let trunk = Hiera::load(w, "image_encoder.trunk", &config.trunk, config.image)?;
        let fine = ["sam_mask_decoder.conv_s1", "sam_mask_decoder.conv_s0"];
        let neck = Neck::load(w, "image_encoder.neck", &config.trunk, dim, fine)?;
        let prompt_encoder = PromptEncoder::load(w, "sam_prompt_encoder", dim, config.image, side)?;
        let mask_decoder = MaskDecoder::load(w, "sam_mask_decoder", config.decoder, &prompt_encoder.grid())?;
        let mask_downsample =
            (w.values("mask_downsample.weight", &[1, 1, 4, 4])?, w.values("mask_downsample.bias", &[1])?[0]);
        // Part of every checkpoint, used by none.
        w.values("no_mem_pos_enc", &[1, 1, dim])?;
        let newer = config.version == Version::V21;
        let times = Times {
            pixels: position::of_pixels(side, memory_dim),
            frames: w.values("maskmem_tpos_enc", &[MEMORIES, 1, 1, memory_dim])?,
            pointers: match newer {
                true => Some((
                    w.values("obj_ptr_tpos_proj.weight", &[memory_dim, dim])?,
                    w.values("obj_ptr_tpos_proj.bias", &[memory_dim])?,
                )),
                false => None,
            },
        };
        let marks = newer.then(|| w.values("no_obj_embed_spatial", &[1, memory_dim])).transpose()?;
        let no_mem_embed = w.values("no_mem_embed", &[1, 1, dim])?;
        let network = Self {
            config,
            checksum,
            trunk,
            neck,
            prompt_encoder,
            mask_decoder,
            memory_attention: MemoryAttention::load(w, "memory_attention", &config)?,
            memory_encoder: MemoryEncoder::load(w, "memory_encoder", dim, config.memory)?,
            mask_downsample,
            obj_ptr_proj: Mlp::load(w, "obj_ptr_proj", &[dim; 4])?,
            no_obj_ptr: w.values("no_obj_ptr", &[1, dim])?,
            no_mem_embed: w.upload(no_mem_embed, [1, 1, 1, dim]),
            no_obj_embed_spatial: marks,
            times,
        };
        weights.finish()?;
        Ok(network)
    }

    /// A prepared frame, [1, image, image, 3].
    pub fn encode(&self, frame: Tensor<4>) -> Features {
        self.encode_watched(frame, &mut |_, _| {})
    }

    /// [`Self::encode`]; `stage` sees what each part of the encoder leaves, [1, H, W, C].
    pub fn encode_watched(&self, frame: Tensor<4>, stage: &mut dyn FnMut(&str, &Tensor<4>)) -> Features {
        let (fine, embedding) = self.neck.forward(self.trunk.forward(frame, stage));
        Features { fine, embedding }
    }

    /// An object on a frame where it was drawn: a mask of zeros and ones, [image, image].
    ///
    /// # Errors
    /// What the device says.
    pub fn drawn(&self, features: &Features, mask: &[f32]) -> Result<Output> {
        let image = self.config.image;
        let scaled: Vec<f32> = mask.iter().map(|inside| SCALE * inside + BIAS).collect();
        let logits = resize::antialiased(&scaled, [image; 2], [image / 4; 2]);
        let prompt = Prompt { mask: Some(self.downsampled(mask)), ..Prompt::default() };
        let seen = self.decode(features, features.embedding.clone(), &prompt, false)?;
        let there = mask.iter().any(|&inside| inside > 0.0);
        let pointer = if there { seen.pointer } else { self.no_obj_ptr.clone() };
        let object_score = SCALE * f32::from(u8::from(there)) + BIAS;
        self.remember(features, Output { logits, object_score, pointer, predicted_iou: 1.0, ..seen }, true)
    }

    /// An object on a frame where it was pointed at, or boxed, and which has nothing to look back at.
    ///
    /// # Errors
    /// What the device says.
    pub fn prompted(&self, features: &Features, prompt: &Prompt) -> Result<Output> {
        let pixels = features.embedding.clone() + self.no_mem_embed.clone();
        let seen = self.decode(features, pixels, prompt, ambiguous(prompt))?;
        self.remember(features, seen, true)
    }

    /// An object on a frame that looks back at memories of it; `prompt` corrects what would be found.
    ///
    /// # Errors
    /// What the device says.
    ///
    /// # Panics
    /// If the track remembers nothing.
    pub fn tracked(
        &self,
        features: &Features,
        track: &Track,
        place: Place,
        prompt: Option<&Prompt>,
    ) -> Result<Output> {
        let (side, dim) = (self.config.side(), self.config.decoder.dim);
        let bank = self.bank(track, place);
        let pointers = bank.pointers;
        let (memories, places) = bank.tensors(self.config.memory.dim, &features.embedding);
        let frame = self.memory_attention.placed(features.embedding.clone().reshape([1, side * side, dim]));
        let pixels = self.memory_attention.forward(frame, &memories, places, pointers, &mut |_, _| {});
        let pixels = pixels.reshape([1, side, side, dim]);
        let none = Prompt::default();
        let asked = prompt.unwrap_or(&none);
        let seen = self.decode(features, pixels, asked, ambiguous(asked))?;
        self.remember(features, seen, prompt.is_some())
    }

    /// The mask prompt that a drawn mask is.
    fn downsampled(&self, mask: &[f32]) -> Vec<f32> {
        let (weight, bias) = &self.mask_downsample;
        let (image, side) = (self.config.image, self.config.image / 4);
        let value = |i: usize| {
            let (y, x) = (4 * (i / side), 4 * (i % side));
            let row = |dy: usize| mask[(y + dy) * image + x..][..4].iter().zip(&weight[4 * dy..]);
            bias + (0..4).flat_map(row).map(|(inside, weight)| inside * weight).sum::<f32>()
        };
        (0..side * side).map(value).collect()
    }

    /// The decoder's answer to a prompt, without a memory of it yet.
    fn decode(
        &self,
        features: &Features,
        pixels: Tensor<4>,
        prompt: &Prompt,
        multimask: bool,
    ) -> Result<Output> {
        let decoded = self.decode_all(features, pixels, prompt);
        let object_score = match decoded.object_score {
            Some(score) => floats(score)?[0],
            None => -BIAS,
        };
        let iou: Vec<f32> = floats(decoded.iou)?.iter().map(|&x| sigmoid(x)).collect();
        let logits = floats(decoded.logits)?;
        let masks: Vec<&[f32]> = logits.chunks_exact(logits.len() / MASKS).collect();
        // The best of the three others, the first among equals.
        let best = (2..MASKS).fold(1, |best, i| if iou[i] > iou[best] { i } else { best });
        let chosen = if multimask || !is_stable(masks[0]) { best } else { 0 };
        // The one mask's token stays the object's, even where another mask stands in.
        let token = decoded.tokens.narrow(1, if multimask { best } else { 0 }, 1).squeeze_dim::<2>(1);
        let there = object_score > 0.0;
        Ok(Output {
            logits: if there { masks[chosen].to_vec() } else { vec![NO_OBJECT; masks[chosen].len()] },
            predicted_iou: iou[chosen],
            object_score,
            pointer: if there { floats(self.obj_ptr_proj.forward(token))? } else { self.no_obj_ptr.clone() },
            memory: Vec::new(),
        })
    }

    /// Tokens of a prompt, [1, N, dim], and what it adds to the embedding's pixels.
    pub fn encode_prompt(&self, prompt: &Prompt) -> (Tensor<3>, Tensor<4>) {
        (self.prompt_encoder.sparse_of_video(prompt), self.prompt_encoder.dense(std::slice::from_ref(prompt)))
    }

    /// All masks of a prompt on pixels [1, side, side, dim].
    pub fn decode_all(&self, features: &Features, pixels: Tensor<4>, prompt: &Prompt) -> Decoded {
        let (sparse, dense) = self.encode_prompt(prompt);
        let pixels = pixels + dense;
        let [_, side, _, dim] = pixels.dims();
        self.mask_decoder.decode(pixels.reshape([1, side * side, dim]), sparse, Some(features.fine.clone()))
    }

    /// Adds the memory; masks of prompts are remembered as yes or no.
    fn remember(&self, features: &Features, output: Output, prompted: bool) -> Result<Output> {
        let image = self.config.image;
        let mask = resize::interpolated(&output.logits, [image / 4; 2], [image; 2]);
        let inside = |&x: &f32| if prompted { f32::from(u8::from(x > 0.0)) } else { sigmoid(x) };
        let mask = mask.iter().map(|x| SCALE * inside(x) + BIAS).collect();
        let mask = like(mask, [1, image, image, 1], &features.embedding);
        let mut memory = floats(self.memory_encoder.forward(&features.embedding, mask, &mut |_, _| {}))?;
        if let Some(mark) = self.no_obj_embed_spatial.as_ref().filter(|_| output.object_score <= 0.0) {
            let channels = memory.chunks_exact_mut(mark.len());
            channels.for_each(|pixel| pixel.iter_mut().zip(mark).for_each(|(value, mark)| *value += mark));
        }
        Ok(Output { memory: memory.into_iter().map(bf16::from_f32).collect(), ..output })
    }

    /// The memories that a frame looks back at.
    fn bank(&self, track: &Track, place: Place) -> Bank {
        let channels = self.config.memory.dim;
        let mut bank = Bank::default();
        for (number, output) in track.memories(place) {
            let time = &self.times.frames[(MEMORIES - 1 - number) * channels..][..channels];
            let places = self.times.pixels.iter().zip(time.iter().cycle()).map(|(pixel, time)| pixel + time);
            bank.add(output.memory.iter().map(|x| x.to_f32()), places);
        }
        let most = (place.frames.min(POINTERS) - 1).max(1) as f32;
        for (ago, output) in track.pointers(place) {
            let time = self.time_of_pointer(ago as f32 / most);
            let parts = output.pointer.len() / channels;
            bank.add(output.pointer.iter().copied(), time.iter().copied().cycle().take(parts * channels));
            bank.pointers += parts;
        }
        bank
    }

    fn time_of_pointer(&self, time: f32) -> Vec<f32> {
        let Some((weight, bias)) = &self.times.pointers else { return vec![0.0; self.config.memory.dim] };
        let sines = position::of_number(time, self.config.decoder.dim);
        let rows = weight.chunks_exact(sines.len()).zip(bias);
        rows.map(|(row, bias)| row.iter().zip(&sines).map(|(w, s)| w * s).sum::<f32>() + bias).collect()
    }
}

/// Prompts of one point, or none, may mean several things; corners are points, too.
fn ambiguous(prompt: &Prompt) -> bool {
    prompt.points.len() + 2 * usize::from(prompt.bounds.is_some()) <= 1
}

/// True if a mask hardly depends on where exactly logits are cut: upstream's
/// `_dynamic_multimask_via_stability`.
fn is_stable(logits: &[f32]) -> bool {
    let above = |limit: f32| logits.iter().filter(|&&x| x > limit).count() as f32;
    let (inner, outer) = (above(0.05), above(-0.05));
    outer == 0.0 || inner / outer >= 0.98
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
