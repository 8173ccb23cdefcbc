//! Maps as layers read them: what is to be done to a map on the way.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::backend::{SourceSpec, SourceTensors};

/// A map [B, H, W, C] as it is stored, and what a [`SourceSpec`] speaks of.
#[derive(Debug, Clone)]
pub struct Source {
    pub map: Tensor<4>,
    /// [group, 2, C]
    pub moments: Option<Tensor<3>>,
    /// The norm's weight and bias, `[C]` each.
    pub affine: Option<[Tensor<1>; 2]>,
    pub residual: Option<Tensor<4>>,
    pub spec: SourceSpec,
}

impl Source {
    /// The tensors of the extension; an absent one is stood in for by the map, which costs nothing.
    pub(super) fn tensors(&self) -> SourceTensors<Dispatch> {
        let map = || self.map.clone().into_dispatch();
        let (weight, bias) = match &self.affine {
            Some([weight, bias]) => (weight.clone().into_dispatch(), bias.clone().into_dispatch()),
            None => (map(), map()),
        };
        SourceTensors {
            map: map(),
            moments: self.moments.as_ref().map_or_else(map, |moments| moments.clone().into_dispatch()),
            weight,
            bias,
            residual: self.residual.as_ref().map_or_else(map, |residual| residual.clone().into_dispatch()),
        }
    }
}
