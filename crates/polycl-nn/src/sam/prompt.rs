//! Prompts: the word of a person, or of a coarse mask, about an object, as the mask decoder wants it.

use std::f32::consts::TAU;

use burn::tensor::Tensor;
use polycl_base::Result;

use super::layers::{Conv2d, LayerNorm, like};
use crate::kernels::Conv;
use crate::kernels::transformer::{Activation, activate};
use crate::weights::Weights;

/// A click, in pixels of the network's input: pixel (0, 0) has its centre at (0, 0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub xy: [f32; 2],
    /// On the object, or beside it.
    pub positive: bool,
}

/// The prompt for one object; it may be empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    pub points: Vec<Point>,
    /// x and y of the first and the last corner, in pixels as [`Point`]'s.
    pub bounds: Option<[f32; 4]>,
    /// Logits of an earlier mask, on a grid four times as fine as the embedding's.
    pub mask: Option<Vec<f32>>,
}

impl Prompt {
    pub fn bounds(corners: [f32; 4]) -> Self {
        Self { bounds: Some(corners), ..Self::default() }
    }
}

#[derive(Debug, Clone)]
pub struct PromptEncoder {
    /// Frequencies of the positional encoding, [2, dim / 2].
    frequencies: Vec<f32>,
    negative: Vec<f32>,
    positive: Vec<f32>,
    corners: [Vec<f32>; 2],
    not_a_point: Vec<f32>,
    no_mask: Tensor<1>,
    mask_downscaling: MaskDownscaling,
    dim: usize,
    /// Sides of the network's input and of its embedding.
    image: usize,
    side: usize,
}

impl PromptEncoder {
    pub fn load(weights: &mut Weights, name: &str, dim: usize, image: usize, side: usize) -> Result<Self> {
        let embedding =
            |weights: &mut Weights, part: &str| weights.values(&format!("{name}.{part}.weight"), &[1, dim]);
        let point = |weights: &mut Weights, i: usize| embedding(weights, &format!("point_embeddings.{i}"));
        let frequencies = format!("{name}.pe_layer.positional_encoding_gaussian_matrix");
        let no_mask = embedding(weights, "no_mask_embed")?;
        Ok(Self {
            frequencies: weights.values(&frequencies, &[2, dim / 2])?,
            negative: point(weights, 0)?,
            positive: point(weights, 1)?,
            corners: [point(weights, 2)?, point(weights, 3)?],
            not_a_point: embedding(weights, "not_a_point_embed")?,
            no_mask: weights.upload(no_mask, [dim]),
            mask_downscaling: MaskDownscaling::load(weights, &format!("{name}.mask_downscaling"), dim)?,
            dim,
            image,
            side,
        })
    }

    /// Points and corners of each prompt, [B, tokens, dim].
    ///
    /// # Panics
    /// If there is no prompt, or if they differ in how many points they have or in having a box.
    pub fn sparse(&self, prompts: &[Prompt]) -> Tensor<3> {
        let tokens: Vec<Vec<f32>> = prompts.iter().map(|prompt| self.tokens(prompt)).collect();
        assert!(tokens.iter().all(|own| own.len() == tokens[0].len()), "prompts of one kind");
        let count = tokens[0].len() / self.dim;
        like(tokens.concat(), [prompts.len(), count, self.dim], &self.no_mask)
    }

    fn tokens(&self, prompt: &Prompt) -> Vec<f32> {
        let mut tokens = Vec::new();
        for point in &prompt.points {
            let kind = if point.positive { &self.positive } else { &self.negative };
            tokens.extend(sum(&self.of_pixel(point.xy), kind));
        }
        match prompt.bounds {
            Some([x0, y0, x1, y1]) => {
                tokens.extend(sum(&self.of_pixel([x0, y0]), &self.corners[0]));
                tokens.extend(sum(&self.of_pixel([x1, y1]), &self.corners[1]));
            }
            // SAM was trained to find something after the points.
            None if !prompt.points.is_empty() => tokens.extend(&self.not_a_point),
            None => {}
        }
        tokens
    }

    /// Corners and points of a prompt as SAM 2 has them, [1, tokens, dim]: corners are points like others,
    /// before them, and none at all is a point that is none.
    pub fn sparse_of_video(&self, prompt: &Prompt) -> Tensor<3> {
        let corners = Prompt { points: Vec::new(), bounds: prompt.bounds, mask: None };
        let points = Prompt { points: prompt.points.clone(), ..Prompt::default() };
        let mut tokens = [self.tokens(&corners), self.tokens(&points)].concat();
        if prompt.points.is_empty() {
            tokens.extend(&self.not_a_point);
        }
        if prompt.points.is_empty() && prompt.bounds.is_none() {
            tokens.extend(&self.not_a_point);
        }
        let count = tokens.len() / self.dim;
        like(tokens, [1, count, self.dim], &self.no_mask)
    }

    /// Addition to every pixel of the embedding: [1, 1, 1, dim] where there are no masks, else
    /// [B, side, side, dim].
    ///
    /// # Panics
    /// If some prompts have a mask and others do not.
    pub fn dense(&self, prompts: &[Prompt]) -> Tensor<4> {
        let masks: Vec<&[f32]> = prompts.iter().filter_map(|prompt| prompt.mask.as_deref()).collect();
        if masks.is_empty() {
            return self.no_mask.clone().reshape([1, 1, 1, self.dim]);
        }
        assert_eq!(masks.len(), prompts.len(), "prompts of one kind");
        let side = 4 * self.side;
        self.mask_downscaling.forward(like(masks.concat(), [masks.len(), side, side, 1], &self.no_mask))
    }

    /// The positional encoding of every pixel of the embedding, [1, side², dim].
    pub fn grid(&self) -> Tensor<3> {
        let place = |i: usize| (i as f32 + 0.5) / self.side as f32;
        let pixels = (0..self.side).flat_map(|y| (0..self.side).map(move |x| [place(x), place(y)]));
        let values = pixels.flat_map(|at| self.encoding(at)).collect();
        like(values, [1, self.side * self.side, self.dim], &self.no_mask)
    }

    fn of_pixel(&self, xy: [f32; 2]) -> Vec<f32> {
        self.encoding(xy.map(|place| (place + 0.5) / self.image as f32))
    }

    /// Random Fourier features (Tancik et al. 2020) of a place in 0..1.
    fn encoding(&self, at: [f32; 2]) -> Vec<f32> {
        let [x, y] = at.map(|place| 2.0 * place - 1.0);
        let (by_x, by_y) = self.frequencies.split_at(self.dim / 2);
        let angles: Vec<f32> = by_x.iter().zip(by_y).map(|(fx, fy)| TAU * (x * fx + y * fy)).collect();
        angles.iter().map(|a| a.sin()).chain(angles.iter().map(|a| a.cos())).collect()
    }
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Masks on the embedding's grid: two convolutions that halve the sides, one that widens.
#[derive(Debug, Clone)]
struct MaskDownscaling {
    convs: [Conv2d; 3],
    norms: [LayerNorm; 2],
}

impl MaskDownscaling {
    fn load(weights: &mut Weights, name: &str, dim: usize) -> Result<Self> {
        let mut conv = |i: usize, channels: [usize; 2], kernel: usize| {
            let conv = Conv { kernel, stride: kernel, padding: 0 };
            Conv2d::load(weights, &format!("{name}.{i}"), channels, conv, true)
        };
        let convs = [conv(0, [1, 4], 2)?, conv(3, [4, 16], 2)?, conv(6, [16, dim], 1)?];
        let mut norm = |i: usize, channels| LayerNorm::load(weights, &format!("{name}.{i}"), channels, 1e-6);
        Ok(Self { convs, norms: [norm(1, 4)?, norm(4, 16)?] })
    }

    fn forward(&self, masks: Tensor<4>) -> Tensor<4> {
        let halved = |x: Tensor<4>, i: usize| {
            activate(self.norms[i].forward(self.convs[i].forward(x)), Activation::Gelu)
        };
        self.convs[2].forward(halved(halved(masks, 0), 1))
    }
}
