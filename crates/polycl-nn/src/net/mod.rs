//! The networks: two encoders, the projection head they are pre-trained under, and the U-Net
//! decoder they are fine-tuned with. Parameter names are PyTorch's for the same structure.

mod batch_norm;
mod block;
mod contrastive;
mod encoder;
mod map;
mod mlp;
mod momentum;
pub(crate) mod readout;
mod resnet18;
mod segmenter;
mod unet;

pub use batch_norm::BatchNorm2d;
pub use block::ConvBlock;
pub use contrastive::Contrastive;
pub use encoder::{Encoder, EncoderConfig, Net};
pub use map::{Map, Norm, convolve};
pub use mlp::{Mlp, Projected};
pub use momentum::{averaged, follow};
pub use resnet18::ResNet18Encoder;
pub use segmenter::{Decoder, Segmenter, SegmenterConfig, probabilities};
pub use unet::{UNetEncoder, global_average};
