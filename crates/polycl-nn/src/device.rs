//! Devices that a network runs on, chosen at run time by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `cpu`, `cuda[:N]` or `wgpu[:N]`; the GPU ones exist where the cargo feature was built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    #[default]
    Cpu,
    Cuda(usize),
    Wgpu(usize),
}

impl Device {
    /// The burn device. A backend that was not built in is refused when the name is parsed, so
    /// that no run starts on another device than the one asked for.
    pub fn open(self) -> burn::tensor::Device {
        match self {
            Self::Cpu => burn::tensor::Device::flex(),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => burn::tensor::Device::cuda(index),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(index) => burn::tensor::Device::wgpu(wgpu_kind(index)),
            #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
            absent => unreachable!("{absent} is refused by from_str"),
        }
    }

    fn built_in(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda(_) => cfg!(feature = "cuda"),
            Self::Wgpu(_) => cfg!(feature = "wgpu"),
        }
    }
}

/// `wgpu` and `wgpu:0` are the best adapter found, `wgpu:1` is the second discrete one, and so on.
#[cfg(feature = "wgpu")]
fn wgpu_kind(index: usize) -> burn::tensor::DeviceKind {
    match index {
        0 => burn::tensor::DeviceKind::DefaultDevice,
        n => burn::tensor::DeviceKind::DiscreteGpu(n),
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, index) = text.split_once(':').unwrap_or((text, "0"));
        let index = index.parse().map_err(|_| format!("device index '{index}' is no whole number"))?;
        let device = match kind {
            "cpu" if !text.contains(':') => Self::Cpu,
            "cuda" => Self::Cuda(index),
            "wgpu" => Self::Wgpu(index),
            _ => return Err(format!("expected cpu, cuda[:N] or wgpu[:N], found '{text}'")),
        };
        if device.built_in() {
            return Ok(device);
        }
        Err(format!("this build has no {kind}; build it with `cargo build --release --features {kind}`"))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}
