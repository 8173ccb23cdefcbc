//! Any text as the file of a study, and as the settings of a run.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use polycl_app::settings::overlay;
use polycl_app::study::Config;
use polycl_fuzz::proportionate;
use polycl_nn::train::finetune::FinetuneConfig;
use serde::Deserialize;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    proportionate((8 << 20) + 2000 * bytes.len(), || {
        if let Ok(config) = Config::parse(text, Path::new("study.toml")) {
            study(&config);
        }
        run(text);
    });
});

fn study(config: &Config) {
    config.budgets.iter().for_each(|budget| drop(budget.to_string()));
    let Ok(methods) = config.methods() else { return };
    for method in &methods {
        if let Some(pretraining) = &method.pretraining {
            assert!(pretraining.training.batch > 0 && pretraining.training.steps > Some(0));
        }
        config.labels.values().for_each(|labels| drop(config.relabelled(method, labels)));
    }
}

/// A run's settings from two files, the second over the first.
fn run(text: &str) {
    let (below, above) = text.split_once("\n#####\n").unwrap_or((text, ""));
    let (Ok(mut below), Ok(above)) = (below.parse(), above.parse()) else { return };
    overlay(&mut below, above);
    let _ = FinetuneConfig::deserialize(below);
}
