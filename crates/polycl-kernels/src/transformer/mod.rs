//! The parts of vision transformers, for inference alone: products with weights, layer norm,
//! attention, depthwise convolution. Tokens are rows of a matrix [tokens, C]; a map [N, H, W, C] is
//! one, too.

mod activation;
mod attention;
mod depthwise;
mod layer_norm;
mod linear;
mod math;
mod panels;
mod pool;
mod rotary;

pub use activation::{Activation, activate};
pub use attention::{Heads, Position, Windows, attention, window_attention};
pub use depthwise::{Depthwise, depthwise};
pub use layer_norm::layer_norm;
pub use linear::{Linear, linear};
pub use pool::max_pool;
pub use rotary::rotate;
