//! Folders as challenges and nnU-Net lay them out: `imagesTr`, `labelsTr` and a `dataset.json` that
//! tells what the channels and the labels are.

use std::path::Path;

use polycl_base::{Error, Kind, Result};
use polycl_image::Input;
use polycl_image::files::{self, Reading};
use polycl_image::names::{self, Names};
use serde_json::{Map, Value};

use super::dataset_json::{FILE, channels, read};
use super::pair::{Label, Pair};
use super::pairs;

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
    let names = names::read(&file).map_err(|error| match (&error.hint, names::regions(&file)) {
        (Some(hint), Ok(Some(_))) => {
            let hint = hint.replace("by --names", "by --images, --labels and --names");
            error.hint(hint)
        }
        _ => error,
    })?;
    names::refuse_ignored(&names, &file)?;
    let listed = told.get("dataset").and_then(Value::as_object);
    let labels = Some(dir.join("labelsTr")).filter(|folder| listed.is_none() && folder.is_dir());
    let (pairs, mut notes) = match listed {
        Some(cases) => (from_list(cases, dir, &names)?, Vec::new()),
        None => pairs::from_folders(&dir.join("imagesTr"), labels.as_deref(), Some(&names))?,
    };
    if let Some(stated) = told.get("numTraining").and_then(Value::as_u64)
        && stated != pairs.len() as u64
    {
        notes.push(format!("{}: tells of {stated} scans, there are {}", file.display(), pairs.len()));
    }
    notes.extend(labels.and_then(|_| pairs::without_masks(&pairs)));
    Ok((pairs, notes))
}

/// The scans of nnU-Net's `dataset`, which tells of every case where its files lie.
fn from_list(cases: &Map<String, Value>, dir: &Path, names: &Names) -> Result<Vec<Pair>> {
    let pair = |(case, files): (&String, &Value)| {
        let wrong = |found: String| {
            let expected = format!("\"images\" with one path, and \"label\", of the case {case}");
            Error::new(dir.join(FILE), Kind::Format, expected, found)
        };
        let images = files.get("images").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let [Value::String(image)] = images else { return Err(wrong(format!("{} images", images.len()))) };
        let label = files.get("label").map(|label| label.as_str().ok_or_else(|| wrong(label.to_string())));
        let label = label.transpose()?.map(|label| Label::Map(files::named(dir.join(label)), names.clone()));
        let image = Input::open(&files::named(dir.join(image)), None)?;
        let (patient, reading) = (case.clone(), Reading::default());
        Ok(Pair { case: case.clone(), patient, domain: None, image, label, origin: None, reading })
    };
    pairs::sorted(cases.iter().map(pair).collect::<Result<_>>()?)
}

/// CT and nothing else: windows are in Hounsfield units.
fn check_channel(told: &Map<String, Value>, file: &Path) -> Result<()> {
    let names = channels(told).unwrap_or_default();
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
