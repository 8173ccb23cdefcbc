//! Any text as the file of a study, and as the settings of a run.
#![no_main]
#![allow(dead_code, reason = "not all of the files is used here")]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::{Folder, proportionate};
use polycl_nn::train::finetune::FinetuneConfig;
use serde::Deserialize;

#[path = "../../crates/polycl/src/study/config.rs"]
mod config;
#[path = "../../crates/polycl/src/commands/overlay.rs"]
mod layers;

/// As in the binary.
mod commands {
    pub mod overlay {
        pub use crate::layers::overlay;
    }
}

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("toml"));

fuzz_target!(|bytes: &[u8]| {
    let file = FOLDER.write("study.toml", bytes);
    proportionate((8 << 20) + 2000 * bytes.len(), || {
        if let Ok(config) = config::Config::read(&file) {
            study(&config);
        }
        if let Ok(text) = str::from_utf8(bytes) {
            run(text);
        }
    });
});

fn study(config: &config::Config) {
    config.budgets.iter().for_each(|budget| drop(budget.to_string()));
    let Ok(methods) = config.methods() else { return };
    let _ = config.primary(&methods);
    for method in &methods {
        if let Some(pretraining) = &method.pretraining {
            assert!(pretraining.training.batch > 0 && pretraining.training.steps > Some(0));
        }
        config.labels.values().for_each(|labels| drop(config.relabelled(method, labels)));
    }
}

/// As `resolve` of `commands/training.rs` does, with a file over another.
fn run(text: &str) {
    let (below, above) = text.split_once("\n#####\n").unwrap_or((text, ""));
    let (Ok(mut below), Ok(above)) = (below.parse(), above.parse()) else { return };
    layers::overlay(&mut below, above);
    let _ = FinetuneConfig::deserialize(below);
}
