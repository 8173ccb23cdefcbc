//! What the commands that use a Segment Anything network have in common.

use std::path::PathBuf;

use polycl_nn::device::Device;
use polycl_nn::sam::{Model, Sam};

/// Which network, and where its weights are.
#[derive(clap::Args)]
pub struct Network {
    /// litemedsam, mobilesam, medsam, sam-vit-b, sam-vit-l or sam-vit-h; told by the weights where they
    /// can tell
    #[arg(long, value_name = "NAME")]
    model: Option<Model>,
    /// Official checkpoint (.pth, .pt) or safetensors with its names; without it, what `polycl fetch`
    /// has brought
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl Network {
    pub fn open(&self, device: Device) -> anyhow::Result<(Model, Sam)> {
        let path = self.weights.clone().unwrap_or_default();
        Ok(Sam::open(&path, self.model, device)?)
    }
}
