//! `dataset.json`: what a challenge or nnU-Net tells of its folders.

use std::path::Path;

use polycl_base::{Error, Kind, Result, text};
use serde_json::{Map, Value};

pub(super) const FILE: &str = "dataset.json";

pub(super) fn read(file: &Path) -> Result<Map<String, Value>> {
    let text = text::decoded(file).map_err(|e| {
        Error::io(file, "read it", &e)
            .hint("give the folder that holds dataset.json and imagesTr, or use --images and --labels")
    })?;
    let expected = "what nnU-Net or a challenge tells, as JSON";
    let wrong = |found: String| Error::new(file, Kind::Format, expected, found);
    match text::json(&text).map_err(|e| wrong(e.to_string()).because(e))? {
        Value::Object(told) => Ok(told),
        other => Err(wrong(other.to_string().chars().take(40).collect())),
    }
}

/// Names of the channels in their order; `None` where `dataset.json` does not tell. Usually it has {"0": "CT"}; people
/// also write {"CT": 0}, ["CT"] and "CT".
pub(super) fn channels(told: &Map<String, Value>) -> Option<Vec<&str>> {
    Some(match told.get("channel_names").or_else(|| told.get("modality"))? {
        Value::Object(channels) => {
            let mut numbered: Vec<(Option<u64>, &str)> = channels
                .iter()
                .map(|(key, value)| match value.as_str() {
                    Some(name) => (key.parse().ok(), name),
                    None => (value.as_u64(), key.as_str()),
                })
                .collect();
            numbered.sort_by_key(|(number, _)| *number);
            numbered.into_iter().map(|(_, name)| name).collect()
        }
        Value::Array(channels) => channels.iter().filter_map(Value::as_str).collect(),
        Value::String(channel) => vec![channel],
        _ => Vec::new(),
    })
}

/// The number of the first channel that is a CT by its name.
pub(super) fn ct(channels: &[&str]) -> Option<usize> {
    let is_ct = |name: &&str| {
        name.to_ascii_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| word == "ct")
    };
    channels.iter().position(is_ct)
}
