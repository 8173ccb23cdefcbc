use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Device, Tensor, TensorData};

/// Below this norm a vector has no direction (PyTorch's default in `normalize`).
const EPSILON: f32 = 1e-12;
/// Stands for −∞ where something is no candidate; an infinity would turn 0 · ∞ into NaN.
const NEVER: f32 = -1e9;

/// Which columns count for which rows, `[rows, columns]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    columns: usize,
    positive: Vec<bool>,
    candidate: Vec<bool>,
}

/// The relation of a column to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    Positive,
    /// Something to tell the positives from.
    Negative,
    /// Neither: the row itself, say.
    Ignored,
}

impl Pairs {
    pub fn new(rows: usize, columns: usize, pair: impl Fn(usize, usize) -> Pair) -> Self {
        let pairs: Vec<Pair> = (0..rows * columns).map(|i| pair(i / columns, i % columns)).collect();
        Self {
            columns,
            positive: pairs.iter().map(|&pair| pair == Pair::Positive).collect(),
            candidate: pairs.iter().map(|&pair| pair != Pair::Ignored).collect(),
        }
    }

    fn rows(&self) -> usize {
        self.positive.len() / self.columns
    }

    /// The weight of each similarity in the loss: an equal share of its row for every positive, rows with
    /// a positive alike, 0 elsewhere.
    fn shares(&self) -> Vec<f32> {
        let positives = |row: &[bool]| row.iter().filter(|&&positive| positive).count();
        let rows = self.positive.chunks_exact(self.columns);
        let anchors = rows.clone().filter(|row| positives(row) > 0).count().max(1);
        rows.flat_map(|row| {
            let share = 1.0 / (positives(row).max(1) * anchors) as f32;
            row.iter().map(move |&positive| if positive { share } else { 0.0 })
        })
        .collect()
    }

    fn masks(self, device: &Device) -> (Tensor<2>, Tensor<2, Bool>) {
        let shape = [self.rows(), self.columns];
        let shares = TensorData::new(self.shares(), shape);
        let ignored: Vec<bool> = self.candidate.into_iter().map(|candidate| !candidate).collect();
        (Tensor::from_data(shares, device), Tensor::from_data(TensorData::new(ignored, shape), device))
    }
}

/// The InfoNCE loss (van den Oord et al. 2018) that SimCLR, MoCo, supervised contrastive learning and all
/// that follow them share: the mean over rows with a positive, and over their positives p, of
/// −log(e^{s_p} / Σ_c e^{s_c}), the sum being over positives and negatives. Similarities, divided by the
/// temperature, are `[rows, columns]`. Returns a scalar as `[1]`.
pub fn info_nce(similarity: Tensor<2>, pairs: Pairs) -> Tensor<1> {
    let (shares, ignored) = pairs.masks(&similarity.device());
    let likelihood = log_softmax(similarity.mask_fill(ignored, NEVER), 1);
    (likelihood * shares).sum().neg()
}

/// Rows of length 1: [B, C] → [B, C].
pub fn normalised(x: Tensor<2>) -> Tensor<2> {
    let norm = x.clone().square().sum_dim(1).sqrt().clamp_min(EPSILON);
    x / norm
}

/// Cosines of all rows of one with all rows of the other, [A, C] × [B, C] → [A, B], over the temperature.
pub fn similarity(a: Tensor<2>, b: Tensor<2>, temperature: f32) -> Tensor<2> {
    normalised(a).matmul(normalised(b).transpose()).div_scalar(temperature)
}
