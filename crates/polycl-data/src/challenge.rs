//! Folders as challenges and nnU-Net lay them out: `imagesTr`, `labelsTr` and a `dataset.json` that
//! tells what the channels and the labels are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, counted, only, some};
use polycl_image::files;
use polycl_image::legend::Legend;
use polycl_image::names;
use polycl_image::{Given, Input};
use serde_json::{Map, Value};

use super::dataset_json::{FILE, channels, ct, read};
use super::pair::{Label, Pair};
use super::pairs;

/// The training scans of nnU-Net's raw data (`channel_names`, images called `CASE_0000`) or of the
/// Medical Segmentation Decathlon (`modality`); both may lack masks. Images of the test set come without masks.
/// Also sentences about what a person should know.
///
/// # Errors
/// As [`pairs::from_folders`] and [`names::read`]; [`Kind::Format`] where `dataset.json` tells of no channel of CT.
pub fn from_challenge(dir: &Path) -> Result<(Vec<Pair>, Vec<String>)> {
    let file = dir.join(FILE);
    let told = read(&file)?;
    let channel = channel(&told, &file)?;
    let legend = names::read(&file)?;
    let listed = told.get("dataset").and_then(Value::as_object);
    let labels = Some(dir.join("labelsTr")).filter(|folder| listed.is_none() && folder.is_dir());
    let (mut pairs, mut notes) = match listed {
        Some(cases) => (from_list(cases, dir, (&legend, channel))?, Vec::new()),
        None => pairs::from_folders(&dir.join("imagesTr"), labels.as_deref(), Some(&Given::Values(legend)))?,
    };
    if let Some(stated) = told.get("numTraining").and_then(Value::as_u64)
        && stated != pairs.len() as u64
    {
        notes.push(format!("{}: names {stated} scans, but {} are there", file.display(), pairs.len()));
    }
    notes.extend(labels.and_then(|_| pairs::without_masks(&pairs)));
    notes.extend(other_endings(&told, &pairs).map(|text| format!("{}: {text}", file.display())));
    notes.extend(add_tests(&mut pairs, &dir.join("imagesTs"))?);
    Ok((pairs, notes))
}

/// A sentence about scans whose names do not end as `dataset.json` says.
fn other_endings(told: &Map<String, Value>, pairs: &[Pair]) -> Option<String> {
    let ending = told.get("file_ending").and_then(Value::as_str)?;
    let paths: Vec<String> = pairs.iter().map(|pair| pair.image.path().display().to_string()).collect();
    let others = paths.iter().filter(|path| !path.ends_with(ending));
    let (count, first) = (others.clone().count(), others.clone().next()?);
    Some(format!("says that scans end in {ending}, but {count} of {} do not, such as {first}", paths.len()))
}

/// Adds the images of the test set, without masks. One whose case has an image for training stays out.
fn add_tests(pairs: &mut Vec<Pair>, folder: &Path) -> Result<Vec<String>> {
    let is_image = |path: &PathBuf| !files::is_segmentation(path);
    if !folder.is_dir() || !files::scans(folder)?.iter().any(is_image) {
        return Ok(Vec::new());
    }
    let (tests, mut notes) = pairs::from_folders(folder, None, None)?;
    let known: BTreeSet<String> = pairs.iter().map(|pair| pair.case.clone()).collect();
    let (twice, new): (Vec<Pair>, Vec<Pair>) = tests.into_iter().partition(|test| known.contains(&test.case));
    let shown = folder.display();
    if !twice.is_empty() {
        let cases: Vec<&str> = twice.iter().map(|pair| pair.case.as_str()).collect();
        notes.push(format!("{shown}: left out, as imagesTr has scans of these names: {}", some(&cases)));
    }
    if !new.is_empty() {
        notes.push(format!("{shown}: scans imported without masks: {}", new.len()));
    }
    pairs.extend(new);
    *pairs = pairs::sorted(std::mem::take(pairs))?;
    Ok(notes)
}

/// The scans of nnU-Net's `dataset`, which tells of every case where its files lie.
fn from_list(
    cases: &Map<String, Value>,
    dir: &Path,
    (legend, channel): (&Legend, usize),
) -> Result<Vec<Pair>> {
    let pair = |(case, files): (&String, &Value)| {
        let wrong = |found: String| {
            let expected =
                format!("\"images\" with a path for each channel, and \"label\", of the case {case}");
            Error::new(dir.join(FILE), Kind::Format, expected, found)
        };
        let images = files.get("images").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let Some(Value::String(image)) = images.get(channel) else {
            return Err(wrong(counted(images.len(), "image")));
        };
        let label = files.get("label").map(|label| label.as_str().ok_or_else(|| wrong(label.to_string())));
        let label = label.transpose()?.map(|label| Label::Map(files::named(dir.join(label)), legend.clone()));
        let image = Input::open(&files::named(dir.join(image)), None)?;
        Ok(Pair { label, ..pairs::bare(case.clone(), image) })
    };
    pairs::sorted(cases.iter().map(pair).collect::<Result<_>>()?)
}

/// The number of the channel that is a CT: windows are in Hounsfield units.
fn channel(told: &Map<String, Value>, file: &Path) -> Result<usize> {
    let names = channels(told).unwrap_or_default();
    ct(&names).ok_or_else(|| {
        Error::new(file, Kind::Format, "a channel named CT", only(&names, "channel"))
            .hint("use --images and --labels for scans in HU under another name")
    })
}
