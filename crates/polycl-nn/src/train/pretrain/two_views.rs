//! The loop's side of every method that learns from two views of each slice.

use std::marker::PhantomData;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use polycl_base::Result;

use super::config::{PretrainConfig, RATE};
use super::slices::Slices;
use crate::net::{Encoder, EncoderConfig};
use crate::select::SliceId;
use crate::train::{Probe, Task};

/// A network that learns from two views of every slice.
pub trait TwoViews: Module + Sync {
    fn new(encoder: &EncoderConfig, config: &PretrainConfig, device: &Device) -> Self;

    /// The part that is kept after training.
    fn encoder(&self) -> &Encoder;

    /// The network as it goes on to the optimiser, and the loss as `[1]`, for views [B, 1, S, S] of slices
    /// that lie at `positions` in their scans, from 0 at the feet to 1 at the head.
    fn step(self, views: [Tensor<4>; 2], positions: &[f32], config: &PretrainConfig) -> (Self, Tensor<1>);
}

pub struct Pairs<'a, M> {
    pub slices: Slices<'a>,
    pub model: PhantomData<M>,
}

pub struct Batch {
    views: [TensorData; 2],
    positions: Vec<f32>,
}

impl<M: TwoViews> Task for Pairs<'_, M> {
    type Model = M;
    type Item = SliceId;
    type Batch = Batch;

    const RATE: f64 = RATE;

    fn plan(&self, round: usize) -> Vec<SliceId> {
        self.slices.plan(round)
    }

    fn load(&self, round: usize, ids: &[SliceId]) -> Result<Batch> {
        let views = self.slices.config.views.unwrap_or_default();
        let view = |which| self.slices.load(round, ids, Some((views, which)));
        Ok(Batch { views: [view(0)?, view(1)?], positions: self.slices.positions(ids) })
    }

    fn probe(&self, model: &M, device: &Device) -> Result<Option<Probe>> {
        self.slices.probe(model.encoder(), device)
    }

    fn loss(&self, model: M, batch: Batch, device: &Device) -> (M, Tensor<1>) {
        let views = batch.views.map(|view| Tensor::from_data(view, device));
        model.step(views, &batch.positions, self.slices.config)
    }
}
