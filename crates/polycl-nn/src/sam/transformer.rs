//! The transformer of SAM's mask decoder: tokens look at the image, and the image at the tokens.

use burn::tensor::Tensor;
use polycl_volume::Result;

use super::layers::{LayerNorm, Linear};
use crate::kernels::transformer::{Activation, Heads, attention};
use crate::weights::Weights;

/// Shape of the transformer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoWayConfig {
    pub depth: usize,
    pub dim: usize,
    pub heads: usize,
    pub mlp: usize,
}

#[derive(Debug, Clone)]
pub struct TwoWayTransformer {
    layers: Vec<Layer>,
    last: Attention,
    norm: LayerNorm,
}

/// The image as the transformer sees it. The embedding and what has come of it for each prompt are
/// [1 or B, pixels, dim]: what all prompts share is computed once.
#[derive(Debug, Clone)]
pub struct Image {
    pub pixels: Tensor<3>,
    /// Positional encoding, [1, pixels, dim].
    pub places: Tensor<3>,
}

impl TwoWayTransformer {
    pub fn load(weights: &mut Weights, name: &str, config: TwoWayConfig) -> Result<Self> {
        let layer = |i: usize| Layer::load(weights, &format!("{name}.layers.{i}"), config);
        let layers = (0..config.depth).map(layer).collect::<Result<_>>()?;
        let last = format!("{name}.final_attn_token_to_image");
        Ok(Self {
            layers,
            last: Attention::load(weights, &last, config, 2)?,
            norm: LayerNorm::load(weights, &format!("{name}.norm_final_attn"), config.dim, 1e-5)?,
        })
    }

    /// Tokens [B, N, dim] and pixels → both, after they have looked at each other.
    pub fn forward(&self, mut image: Image, tokens: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let places = tokens.clone();
        let mut queries = tokens;
        for (i, layer) in self.layers.iter().enumerate() {
            // The first layer's tokens are their own places.
            let own = (i > 0).then(|| places.clone());
            (queries, image.pixels) = layer.forward(queries, own, &places, &image);
        }
        let seen = self.last.of_image(queries.clone() + places, &image);
        (self.norm.forward(self.last.out(seen, queries)), image.pixels)
    }
}

#[derive(Debug, Clone)]
struct Layer {
    self_attn: Attention,
    norm1: LayerNorm,
    token_to_image: Attention,
    norm2: LayerNorm,
    lin1: Linear,
    lin2: Linear,
    norm3: LayerNorm,
    image_to_token: Attention,
    norm4: LayerNorm,
}

impl Layer {
    fn load(weights: &mut Weights, name: &str, config: TwoWayConfig) -> Result<Self> {
        let TwoWayConfig { dim, mlp, .. } = config;
        let attention = |weights: &mut Weights, part: &str, narrower: usize| {
            Attention::load(weights, &format!("{name}.{part}"), config, narrower)
        };
        let norm =
            |weights: &mut Weights, i: usize| LayerNorm::load(weights, &format!("{name}.norm{i}"), dim, 1e-5);
        Ok(Self {
            self_attn: attention(weights, "self_attn", 1)?,
            norm1: norm(weights, 1)?,
            token_to_image: attention(weights, "cross_attn_token_to_image", 2)?,
            norm2: norm(weights, 2)?,
            lin1: Linear::load(weights, &format!("{name}.mlp.lin1"), dim, mlp)?,
            lin2: Linear::load(weights, &format!("{name}.mlp.lin2"), mlp, dim)?,
            norm3: norm(weights, 3)?,
            image_to_token: attention(weights, "cross_attn_image_to_token", 2)?,
            norm4: norm(weights, 4)?,
        })
    }

    /// Without `own` places the tokens attend to each other as they are, and without a shortcut.
    fn forward(
        &self,
        queries: Tensor<3>,
        own: Option<Tensor<3>>,
        places: &Tensor<3>,
        image: &Image,
    ) -> (Tensor<3>, Tensor<3>) {
        let attn = &self.self_attn;
        let queries = match own {
            Some(places) => {
                let q = queries.clone() + places;
                let seen = attn.attend(
                    attn.q.forward(q.clone()),
                    attn.k.forward(q),
                    attn.v.forward(queries.clone()),
                );
                attn.out(seen, queries)
            }
            None => {
                let [q, k, v] = [&attn.q, &attn.k, &attn.v].map(|proj| proj.forward(queries.clone()));
                attn.out.forward(attn.attend(q, k, v))
            }
        };
        let queries = self.norm1.forward(queries);
        let seen = self.token_to_image.of_image(queries.clone() + places.clone(), image);
        let queries = self.norm2.forward(self.token_to_image.out(seen, queries));
        let y = self.lin1.activated(queries.clone(), Activation::Relu);
        let queries = self.norm3.forward(self.lin2.added(y, queries, Activation::None));
        let seen = self.image_to_token.of_tokens(image, queries.clone() + places.clone(), queries.clone());
        let pixels = self.norm4.forward(self.image_to_token.out(seen, image.pixels.clone()));
        (queries, pixels)
    }
}

#[derive(Debug, Clone)]
struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    heads: Heads,
}

impl Attention {
    /// Heads share the channels divided by `narrower`.
    fn load(weights: &mut Weights, name: &str, config: TwoWayConfig, narrower: usize) -> Result<Self> {
        let (dim, inner) = (config.dim, config.dim / narrower);
        let mut proj = |part: &str, from, to| Linear::load(weights, &format!("{name}.{part}_proj"), from, to);
        Ok(Self {
            q: proj("q", dim, inner)?,
            k: proj("k", dim, inner)?,
            v: proj("v", dim, inner)?,
            out: proj("out", inner, dim)?,
            heads: Heads::new(config.heads, inner),
        })
    }

    fn attend(&self, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        attention(q, k, v, self.heads)
    }

    /// The projection of what was seen, added to what saw it.
    fn out(&self, seen: Tensor<3>, shortcut: Tensor<3>) -> Tensor<3> {
        self.out.added(seen, shortcut, Activation::None)
    }

    /// What tokens see of the image.
    fn of_image(&self, queries: Tensor<3>, image: &Image) -> Tensor<3> {
        let k = placed(&self.k, image);
        self.attend(self.q.forward(queries), k, self.v.forward(image.pixels.clone()))
    }

    /// What the image sees of tokens.
    fn of_tokens(&self, image: &Image, keys: Tensor<3>, values: Tensor<3>) -> Tensor<3> {
        self.attend(placed(&self.q, image), self.k.forward(keys), self.v.forward(values))
    }
}

/// A projection of pixels and their places: (pixels + places) Wᵀ + b, without adding them up first.
fn placed(layer: &Linear, image: &Image) -> Tensor<3> {
    let places = layer.without_bias().forward(image.places.clone());
    layer.added(image.pixels.clone(), places, Activation::None)
}
