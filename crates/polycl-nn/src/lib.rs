//! Everything that touches burn: networks, losses, example selection, training and inference.
//!
//! Tensors are [B, C, H, W] float32 unless said otherwise. Networks are written once and run on
//! whatever [`device::Device`] they are put on.

pub mod bench;
pub mod checkpoint;
pub mod device;
mod features;
pub mod kernels;
pub mod loss;
pub mod net;
pub mod optim;
pub mod predict;
pub mod propagate;
pub mod refine;
pub mod sam;
pub mod sam2;
pub mod select;
pub mod smooth;
pub mod suggest;
pub mod train;
pub mod weights;
