//! A request to serve a folder.

use std::net::IpAddr;
use std::path::PathBuf;

use polycl_app::fetch::Environment;
use polycl_nn::propagate::NetworkName;

#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Scans of any format, DICOM series among them.
    pub folder: PathBuf,
    /// Masks to begin with.
    pub labels: Option<PathBuf>,
    /// Folder for everything that is made; `polycl` in `folder` without it.
    pub out: Option<PathBuf>,
    pub port: u16,
    /// Labels that every scan begins with.
    pub organs: Vec<String>,
    /// LiteMedSAM without it.
    pub model: Option<NetworkName>,
    /// Those that were fetched without it.
    pub weights: Option<PathBuf>,
    /// Run of a fine-tuning, whose predictions are there to begin with.
    pub network: Option<PathBuf>,
    /// The program of `polycl`, whose commands train from the page.
    pub program: Option<PathBuf>,
    /// Serve a cohort of phantoms, which is made in `folder`.
    pub demo: bool,
    /// An address for others to reach, with a token that a person chose.
    pub listen: Option<(IpAddr, String)>,
    /// Names, beside localhost, by which the computer may be called.
    pub host_names: Vec<String>,
    /// Port for clients that speak nnInteractive's protocol.
    pub nninteractive: Option<u16>,
    /// Port for clients that speak MONAI Label's protocol.
    pub monai: Option<u16>,
    /// Bytes of embeddings that are kept.
    pub cache_limit: u64,
    /// The environment, which tells where the secret lies that patients are named by.
    pub environment: Environment,
}

impl Request {
    pub fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| self.folder.join("polycl"))
    }
}
