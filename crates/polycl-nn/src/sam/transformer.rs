//! The transformer of SAM's mask decoder: tokens look at the image, and the image at the tokens.
//!
//! Pixels are [1 or B, pixels, dim]: what all prompts share is computed once. Their positional encoding
//! never changes, so its projections are computed with the weights.

use burn::tensor::Tensor;
use polycl_base::Result;

use super::layers::{LayerNorm, Linear};
use crate::kernels::transformer::{Activation, Heads, attention};
use crate::weights::Weights;

/// Shape of the decoder's transformer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoWayConfig {
    pub depth: usize,
    pub dim: usize,
    pub heads: usize,
    pub mlp: usize,
    /// Names of the two layers of the MLP in checkpoints.
    pub mlp_names: [&'static str; 2],
}

/// The names of SAM, and those of SAM 2.
pub const MLP_NAMES: [[&str; 2]; 2] = [["lin1", "lin2"], ["layers.0", "layers.1"]];

#[derive(Debug, Clone)]
pub struct TwoWayTransformer {
    layers: Vec<Layer>,
    last: TokenToImage,
    norm: LayerNorm,
}

impl TwoWayTransformer {
    /// `places` is the pixels' positional encoding, [1, pixels, dim].
    pub fn load(weights: &mut Weights, name: &str, config: TwoWayConfig, places: &Tensor<3>) -> Result<Self> {
        let layer = |i: usize| Layer::load(weights, &format!("{name}.layers.{i}"), config, places);
        let layers = (0..config.depth).map(layer).collect::<Result<_>>()?;
        let last = Attention::load(weights, &format!("{name}.final_attn_token_to_image"), config, 2)?;
        Ok(Self {
            layers,
            last: TokenToImage::new(last, places),
            norm: LayerNorm::load(weights, &format!("{name}.norm_final_attn"), config.dim, 1e-5)?,
        })
    }

    /// Tokens [B, N, dim] and pixels → both, after they have looked at each other.
    pub fn forward(&self, mut pixels: Tensor<3>, tokens: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let places = tokens.clone();
        let mut queries = tokens;
        for (i, layer) in self.layers.iter().enumerate() {
            // The first layer's tokens are their own places.
            let own = (i > 0).then(|| places.clone());
            (queries, pixels) = layer.forward(queries, own, &places, pixels);
        }
        let seen = self.last.forward(queries.clone() + places, queries, &pixels);
        (self.norm.forward(seen), pixels)
    }
}

#[derive(Debug, Clone)]
struct Layer {
    self_attn: Attention,
    norm1: LayerNorm,
    token_to_image: TokenToImage,
    norm2: LayerNorm,
    lin1: Linear,
    lin2: Linear,
    norm3: LayerNorm,
    image_to_token: ImageToToken,
    norm4: LayerNorm,
}

impl Layer {
    fn load(weights: &mut Weights, name: &str, config: TwoWayConfig, places: &Tensor<3>) -> Result<Self> {
        let TwoWayConfig { dim, mlp, mlp_names: [first, second], .. } = config;
        let attention = |weights: &mut Weights, part: &str, narrower: usize| {
            Attention::load(weights, &format!("{name}.{part}"), config, narrower)
        };
        let norm =
            |weights: &mut Weights, i: usize| LayerNorm::load(weights, &format!("{name}.norm{i}"), dim, 1e-5);
        Ok(Self {
            self_attn: attention(weights, "self_attn", 1)?,
            norm1: norm(weights, 1)?,
            token_to_image: TokenToImage::new(attention(weights, "cross_attn_token_to_image", 2)?, places),
            norm2: norm(weights, 2)?,
            lin1: Linear::load(weights, &format!("{name}.mlp.{first}"), dim, mlp)?,
            lin2: Linear::load(weights, &format!("{name}.mlp.{second}"), mlp, dim)?,
            norm3: norm(weights, 3)?,
            image_to_token: ImageToToken::new(attention(weights, "cross_attn_image_to_token", 2)?, places),
            norm4: norm(weights, 4)?,
        })
    }

    /// Without `own` places the tokens attend to each other as they are, and without a shortcut.
    fn forward(
        &self,
        queries: Tensor<3>,
        own: Option<Tensor<3>>,
        places: &Tensor<3>,
        pixels: Tensor<3>,
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
        let seen = self.token_to_image.forward(queries.clone() + places.clone(), queries, &pixels);
        let queries = self.norm2.forward(seen);
        let y = self.lin1.activated(queries.clone(), Activation::Relu);
        let queries = self.norm3.forward(self.lin2.added(y, queries, Activation::None));
        let seen = self.image_to_token.forward(pixels, queries.clone() + places.clone(), queries.clone());
        let pixels = self.norm4.forward(seen);
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
}

/// Tokens look at the image.
#[derive(Debug, Clone)]
struct TokenToImage {
    attn: Attention,
    /// Addition to the keys for the pixels' places.
    places: Tensor<3>,
}

impl TokenToImage {
    fn new(attn: Attention, places: &Tensor<3>) -> Self {
        Self { places: attn.k.without_bias().forward(places.clone()), attn }
    }

    /// The attention's result for the queries, added to the shortcut.
    fn forward(&self, queries: Tensor<3>, shortcut: Tensor<3>, pixels: &Tensor<3>) -> Tensor<3> {
        let k = self.attn.k.added(pixels.clone(), self.places.clone(), Activation::None);
        let seen = self.attn.attend(self.attn.q.forward(queries), k, self.attn.v.forward(pixels.clone()));
        self.attn.out(seen, shortcut)
    }
}

/// The image looks at tokens.
#[derive(Debug, Clone)]
struct ImageToToken {
    attn: Attention,
    /// Addition to the queries for the pixels' places.
    places: Tensor<3>,
}

impl ImageToToken {
    fn new(attn: Attention, places: &Tensor<3>) -> Self {
        Self { places: attn.q.without_bias().forward(places.clone()), attn }
    }

    /// The attention's result for the pixels, added to them.
    fn forward(&self, pixels: Tensor<3>, keys: Tensor<3>, values: Tensor<3>) -> Tensor<3> {
        let q = self.attn.q.added(pixels.clone(), self.places.clone(), Activation::None);
        let seen = self.attn.attend(q, self.attn.k.forward(keys), self.attn.v.forward(values));
        self.attn.out(seen, pixels)
    }
}
