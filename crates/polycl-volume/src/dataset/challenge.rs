//! Folders as challenges and nnU-Net lay them out: `imagesTr`, `labelsTr` and a `dataset.json` that
//! tells what the channels and the labels are.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::names;
use super::pairs::{self, Pair};
use crate::{Error, Kind, Result};

const FILE: &str = "dataset.json";

/// The training scans of nnU-Net's raw data (`channel_names`, images called `CASE_0000`) or of the
/// Medical Segmentation Decathlon (`modality`); both may lack masks. Images of the test set stay out.
/// Also sentences about what a person should know.
///
/// # Errors
/// As [`pairs::from_folders`] and [`names::read`]; [`Kind::Format`] where `dataset.json` tells of anything
/// but one channel of CT, or of regions that are to be ignored.
pub fn from_challenge(dir: &Path) -> Result<(Vec<Pair>, Vec<String>)> {
    let file = dir.join(FILE);
    let told = read(&file)?;
    check_channel(&told, &file)?;
    let names = names::read(&file)?;
    if names.values().any(|name| name.eq_ignore_ascii_case("ignore")) {
        let expected = "masks in which every voxel is annotated";
        return Err(Error::new(&file, Kind::Labels, expected, "nnU-Net's label `ignore`")
            .hint("import those scans without it by --manifest, and the others as they are"));
    }
    let labels = Some(dir.join("labelsTr")).filter(|folder| folder.is_dir());
    let pairs = pairs::from_folders(&dir.join("imagesTr"), labels.as_deref(), Some(&names))?;
    let mut notes = Vec::new();
    if let Some(stated) = told.get("numTraining").and_then(Value::as_u64)
        && stated != pairs.len() as u64
    {
        notes.push(format!("{}: tells of {stated} scans, there are {}", file.display(), pairs.len()));
    }
    notes.extend(labels.and_then(|_| pairs::without_masks(&pairs)));
    Ok((pairs, notes))
}

fn read(file: &Path) -> Result<Map<String, Value>> {
    let text = fs::read(file).map_err(|e| {
        Error::io(file, "read it", &e)
            .hint("it lies beside imagesTr; give --images and --labels where there is none")
    })?;
    serde_json::from_slice(&text).map_err(|e| {
        Error::new(file, Kind::Format, "what nnU-Net or a challenge tells, as JSON", e.to_string())
    })
}

/// CT and nothing else: windows are in Hounsfield units.
fn check_channel(told: &Map<String, Value>, file: &Path) -> Result<()> {
    let channels = told.get("channel_names").or_else(|| told.get("modality"));
    let names: Vec<&str> = match channels.and_then(Value::as_object) {
        Some(channels) => channels.values().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    let is_ct = |name: &&str| {
        name.to_ascii_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| word == "ct")
    };
    match names.as_slice() {
        [name] if is_ct(name) => Ok(()),
        names => {
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Error::new(file, Kind::Format, "one channel of the name CT", found)
                .hint("scans in HU of another name can be imported by --images and --labels"))
        }
    }
}
