//! nnU-Net calls a scan's channels `CASE_0000`, `CASE_0001` and so on; others number their patients so. Which is meant, and
//! what a scan is called by then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::text;
use crate::error::some;
use crate::files::case_name;

/// The channel that is taken: of a CT there is no other.
const FIRST: &str = "0000";

/// The images that are scans, with their names.
pub(super) struct Scans {
    pub(super) scans: Vec<(PathBuf, String)>,
    /// What was taken for what, where that is not plain.
    pub(super) notes: Vec<String>,
}

/// Images by name; `None` in place of a name where the file has none. Of several channels the first is taken.
pub(super) fn scans(images: Vec<PathBuf>) -> Scans {
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for image in images {
        folders.entry(image.parent().unwrap_or(Path::new("")).to_path_buf()).or_default().push(image);
    }
    let mut found = Scans { scans: Vec::new(), notes: Vec::new() };
    for (folder, images) in folders {
        let groups = Groups::of(&images);
        let several: Vec<&str> = groups.several().collect();
        let channels = !several.is_empty() && groups.are_channels(&folder);
        if let Some(first) = several.first() {
            let what = if channels {
                format!(
                    "numbers such as those of {first} are channels: {FIRST} is taken, the others are left out"
                )
            } else {
                format!("numbers such as those of {first} are patients, not channels of one")
            };
            found.notes.push(format!("{}: {what} ({})", folder.display(), some(&several)));
        }
        for image in images {
            let name = case_name(&image).unwrap_or_default();
            let case = match split(&name) {
                Some((stem, _)) if !channels && several.contains(&stem) => name,
                Some((stem, FIRST)) => stem.to_owned(),
                Some((stem, _)) if channels && several.contains(&stem) => continue,
                _ => name,
            };
            found.scans.push((image, case));
        }
    }
    found
}

/// A name before its number of four digits, and that number.
fn split(name: &str) -> Option<(&str, &str)> {
    let (stem, number) = name.rsplit_once('_')?;
    (!stem.is_empty() && number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
        .then_some((stem, number))
}

/// The numbers of each stem.
struct Groups(BTreeMap<String, BTreeSet<String>>);

impl Groups {
    fn of(images: &[PathBuf]) -> Self {
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for name in images.iter().filter_map(|image| case_name(image)) {
            if let Some((stem, number)) = split(&name) {
                groups.entry(stem.to_owned()).or_default().insert(number.to_owned());
            }
        }
        Self(groups)
    }

    /// Stems that have the number 0000 and others.
    fn several(&self) -> impl Iterator<Item = &str> {
        let several = |numbers: &BTreeSet<String>| numbers.len() > 1 && numbers.contains(FIRST);
        self.0.iter().filter(move |(_, numbers)| several(numbers)).map(|(stem, _)| stem.as_str())
    }

    /// As `dataset.json` tells, or where two stems bear the same numbers from 0000 on.
    fn are_channels(&self, folder: &Path) -> bool {
        if let Some(channels) = [folder, &folder.join("..")].into_iter().find_map(channels) {
            return channels > 1;
        }
        let from_0 = |numbers: &&BTreeSet<String>| {
            numbers.len() > 1 && numbers.iter().zip(0..).all(|(number, at)| *number == format!("{at:04}"))
        };
        let mut seen = BTreeSet::new();
        self.0.values().filter(from_0).any(|numbers| !seen.insert(numbers))
    }
}

/// How many channels the `dataset.json` of a folder tells of.
fn channels(folder: &Path) -> Option<usize> {
    let told = text::json(&text::decoded(&folder.join("dataset.json")).ok()?).ok()?;
    match told.get("channel_names").or_else(|| told.get("modality"))? {
        Value::Object(channels) => Some(channels.len()),
        Value::Array(channels) => Some(channels.len()),
        Value::String(_) => Some(1),
        _ => None,
    }
}
