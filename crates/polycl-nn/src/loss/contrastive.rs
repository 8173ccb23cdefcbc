use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use serde::{Deserialize, Serialize};

use super::softplus;

/// The loss that draws an anchor to its positive and away from its one negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContrastiveLoss {
    /// −log(e^{cos(a,p)/τ} / (e^{cos(a,p)/τ} + e^{cos(a,n)/τ})) = softplus((cos(a,n) − cos(a,p))/τ).
    #[default]
    Cosine,
    /// σ(‖a−p‖) + 1 − σ(‖a−n‖). The published code has the sign of the distances inverted, which
    /// rewards a distant positive; this is the mended form. It knows no temperature.
    Euclidean,
}

/// Below this norm a vector has no direction (PyTorch's default in `cosine_similarity`).
const COSINE_EPSILON: f32 = 1e-8;
/// Keeps the root differentiable where two embeddings coincide.
const DISTANCE_EPSILON: f32 = 1e-8;

impl ContrastiveLoss {
    /// Embeddings [B, C] each; `temperature` is τ. Returns a scalar as `[1]`.
    pub fn forward(
        self,
        anchor: Tensor<2>,
        positive: Tensor<2>,
        negative: Tensor<2>,
        temperature: f32,
    ) -> Tensor<1> {
        match self {
            Self::Cosine => {
                let attraction = cosine(anchor.clone(), positive);
                let repulsion = cosine(anchor, negative);
                softplus((repulsion - attraction).div_scalar(temperature)).mean()
            }
            Self::Euclidean => {
                let near = sigmoid(distance(anchor.clone(), positive));
                let far = sigmoid(distance(anchor, negative));
                (near - far + 1.0).mean()
            }
        }
    }
}

/// Cosine of the angle between corresponding rows: [B, C] × [B, C] → [B, 1].
fn cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let norm = |x: Tensor<2>| x.square().sum_dim(1).sqrt().clamp_min(COSINE_EPSILON);
    (a.clone() * b.clone()).sum_dim(1) / (norm(a) * norm(b))
}

/// Euclidean distance between corresponding rows, ε inside the root: [B, C] × [B, C] → [B, 1].
fn distance(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    ((a - b).square().sum_dim(1) + DISTANCE_EPSILON).sqrt()
}
