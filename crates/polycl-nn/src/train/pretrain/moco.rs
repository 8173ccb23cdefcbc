use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Distribution, Tensor};

use super::config::PretrainConfig;
use super::two_views::TwoViews;
use crate::loss::{Pair, Pairs, info_nce, normalised};
use crate::net::{Encoder, EncoderConfig, Mlp, Projected, follow};

/// MoCo v2 (Chen, Fan, Girshick, He 2020): one view is to be found again, by what a slowly following
/// network makes of the other, among the keys of the last batches, which wait in a queue.
#[derive(Module, Debug)]
pub struct MoCo {
    pub encoder: Encoder,
    pub projection: Mlp,
    pub key: Projected,
    /// Keys of length 1, the latest first: [Q, C].
    queue: Param<Tensor<2>>,
}

impl TwoViews for MoCo {
    fn new(encoder: &EncoderConfig, config: &PretrainConfig, device: &Device) -> Self {
        let online = Projected::new(encoder, false, config.dropout(), device);
        // A network of its own rather than a clone, whose running statistics would be the same.
        let key = follow(Projected::new(encoder, false, config.dropout(), device), &online, 0.0);
        let random = Distribution::Normal(0.0, 1.0);
        let length = config.momentum.unwrap_or_default().queue;
        let queue = normalised(Tensor::random([length, encoder.widths[4]], random, device));
        let Projected { encoder, projection } = online;
        Self { encoder, projection, key, queue: Param::initialized(ParamId::new(), queue) }
    }

    fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    fn step(
        mut self,
        [first, second]: [Tensor<4>; 2],
        _: &[f32],
        config: &PretrainConfig,
    ) -> (Self, Tensor<1>) {
        let online = Projected { encoder: self.encoder.clone(), projection: self.projection.clone() };
        self.key = follow(self.key, &online, config.momentum.unwrap_or_default().rate);
        let query = normalised(online.forward(first));
        let keys = normalised(self.key.forward(second)).detach();
        let queue = self.queue.val().detach();
        let loss = query_loss(query, keys.clone(), queue.clone(), config.temperature());
        let [length, _] = queue.dims();
        let queue = Tensor::cat(vec![keys, queue], 0).narrow(0, 0, length);
        self.queue = Param::initialized(self.queue.id, queue);
        (self, loss)
    }
}

/// Queries and their keys [B, C], other keys [Q, C], all of length 1 → scalar as `[1]`.
pub fn query_loss(query: Tensor<2>, keys: Tensor<2>, queue: Tensor<2>, temperature: f32) -> Tensor<1> {
    let ([rows, _], [length, _]) = (query.dims(), queue.dims());
    let own = (query.clone() * keys).sum_dim(1);
    let similarity = Tensor::cat(vec![own, query.matmul(queue.transpose())], 1).div_scalar(temperature);
    let pair = |_, column| if column == 0 { Pair::Positive } else { Pair::Negative };
    info_nce(similarity, Pairs::new(rows, length + 1, pair))
}
