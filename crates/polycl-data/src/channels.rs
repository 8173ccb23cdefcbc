//! nnU-Net calls a scan's channels `CASE_0000`, `CASE_0001` and so on; others number their patients so. Which is meant, and
//! what a scan is called by then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{counted, some};
use polycl_image::files::{case_name, is_segmentation};

use super::dataset_json;

/// The channel that is taken where nothing else is told, and the number with which channels begin.
const FIRST: &str = "0000";

/// The images that are scans, with their names.
pub(super) struct Scans {
    pub(super) scans: Vec<(PathBuf, String)>,
    /// Sentences about what was taken for what, where that is not plain.
    pub(super) notes: Vec<String>,
}

/// More channels than any scan has; as many numbers are patients.
const MOST: usize = 4;

/// Images by name. Of several channels the first is taken; the names of masks, where there are some, tell channels from
/// patients. Segmentations of 3D Slicer are no images.
pub(super) fn scans<'a>(images: Vec<PathBuf>, masks: impl Iterator<Item = &'a str> + Clone) -> Scans {
    let (segmentations, images): (Vec<_>, Vec<_>) =
        images.into_iter().partition(|path| is_segmentation(path));
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for image in images {
        folders.entry(image.parent().unwrap_or(Path::new("")).to_path_buf()).or_default().push(image);
    }
    let mut found = Scans { scans: Vec::new(), notes: Vec::new() };
    if let Some(first) = segmentations.first() {
        let count = segmentations.len();
        found
            .notes
            .push(format!("{}: a segmentation is no scan; {count} such files are left out", first.display()));
    }
    for (folder, images) in folders {
        let groups = Groups::of(&images);
        let several: Vec<&str> = groups.several().collect();
        let channels = !several.is_empty() && groups.are_channels(&several, masks.clone(), &folder);
        // Whatever else is there: of a case that lacks the CT nothing else is taken for it.
        let ct = told_channels(&folder).and_then(|told| told.ct);
        let taken = ct.map_or(FIRST.to_owned(), |number| format!("{number:04}"));
        let others = taken != FIRST;
        if let Some(first) = several.first() {
            let what = if channels {
                format!(
                    "numbers such as those of {first} are channels: {taken} is taken, the others are left out"
                )
            } else {
                format!("numbers such as those of {first} are patients, not channels of one")
            };
            found.notes.push(format!("{}: {what} ({})", folder.display(), some(&several)));
        }
        let mut left_out = 0;
        for image in images {
            let name = case_name(&image).unwrap_or_default();
            let case = match split(&name) {
                Some((stem, _)) if !channels && several.binary_search(&stem).is_ok() => name,
                Some((stem, number)) if others || channels && several.binary_search(&stem).is_ok() => {
                    if number != taken {
                        left_out += usize::from(others && several.binary_search(&stem).is_err());
                        continue;
                    }
                    stem.to_owned()
                }
                Some((stem, FIRST)) => stem.to_owned(),
                _ => name,
            };
            found.scans.push((image, case));
        }
        if left_out > 0 {
            let files = counted(left_out, "file");
            found.notes.push(format!(
                "{}: channel {taken} is the CT; {files} of others without it are left out",
                folder.display()
            ));
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

    /// As the names of masks tell, or `dataset.json`, or where two stems bear the same few numbers from 0000 on.
    fn are_channels<'a>(
        &self,
        several: &[&str],
        masks: impl Iterator<Item = &'a str>,
        folder: &Path,
    ) -> bool {
        let mut of_scans = false;
        for mask in masks {
            if split(mask)
                .is_some_and(|(stem, number)| number != FIRST && several.binary_search(&stem).is_ok())
            {
                return false;
            }
            of_scans |= several.binary_search(&mask).is_ok();
        }
        if of_scans {
            return true;
        }
        if let Some(told) = told_channels(folder) {
            return told.count > 1;
        }
        let from_0 = |numbers: &&BTreeSet<String>| {
            (2..=MOST).contains(&numbers.len())
                && numbers.iter().zip(0..).all(|(number, at)| *number == format!("{at:04}"))
        };
        let mut seen = BTreeSet::new();
        self.0.values().filter(from_0).any(|numbers| !seen.insert(numbers))
    }
}

/// The channels of a `dataset.json`.
struct Told {
    count: usize,
    /// The number of the CT.
    ct: Option<usize>,
}

/// The channels that the `dataset.json` of a folder, or of the one around it, tells of.
fn told_channels(folder: &Path) -> Option<Told> {
    [folder, &folder.join("..")].into_iter().find_map(|folder| {
        let told = dataset_json::read(&folder.join(dataset_json::FILE)).ok()?;
        let channels = dataset_json::channels(&told)?;
        Some(Told { count: channels.len(), ct: dataset_json::ct(&channels) })
    })
}
