//! Stands in for the crate polycl-nn where the file of a study is fuzzed: the settings that
//! `study/config.rs` looks at, under their names and of their types; all others are taken as they come.

pub mod net {
    use std::fmt;

    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Net {
        #[default]
        Unet,
        Resnet18,
    }

    impl fmt::Display for Net {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                Self::Unet => "unet",
                Self::Resnet18 => "resnet18",
            })
        }
    }
}

pub mod sam {
    #[derive(Debug, Clone, Copy)]
    pub struct Model;

    impl std::str::FromStr for Model {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            if text == "litemedsam" { Ok(Self) } else { Err(format!("no network {text}")) }
        }
    }
}

pub mod train {
    use serde::Deserialize;

    #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
    #[serde(default)]
    pub struct Settings {
        pub epochs: usize,
        pub batch: usize,
        pub steps: Option<usize>,
        pub rate: Option<f64>,
        pub clip: f64,
        pub seed: u64,
    }

    pub mod finetune {
        use std::path::PathBuf;

        use serde::Deserialize;

        use crate::net::Net;

        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub struct FinetuneConfig {
            pub encoder: Option<PathBuf>,
            pub net: Option<Net>,
            pub organs: Vec<String>,
            pub cases: Option<usize>,
            pub fraction: Option<f64>,
            pub split: Option<toml::Value>,
            pub domain: Option<String>,
            pub training: super::Settings,
        }
    }

    pub mod pretrain {
        use serde::Deserialize;

        use crate::net::Net;

        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Method {
            #[default]
            Polycl,
            Simclr,
            Moco,
            Byol,
            Positional,
            Mae,
        }

        impl Method {
            #[must_use]
            pub fn images(self) -> usize {
                match self {
                    Self::Polycl => 3,
                    Self::Simclr | Self::Moco | Self::Byol | Self::Positional => 2,
                    Self::Mae => 1,
                }
            }
        }

        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub struct PretrainConfig {
            pub method: Method,
            pub organ: Option<String>,
            pub domain: Option<String>,
            pub net: Net,
            pub temperature: Option<f32>,
            pub training: super::Settings,
        }
    }
}
