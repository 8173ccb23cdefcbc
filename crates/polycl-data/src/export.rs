//! A data set in the layout of nnU-Net's raw data, for those who go on there: `imagesTr/CASE_0000.nii.gz`,
//! `labelsTr/CASE.nii.gz`, `imagesTs` for what has no mask, and `dataset.json`.
//!
//! nnU-Net splits by case; `splits_final.json`, to be copied to its folder of preprocessed data, splits
//! by patient. Masks that a machine drew are told by a `polycl.json` beside them, and never validate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use polycl_base::rng::{Purpose, rng};
use polycl_base::{Error, Kind, Result, Watch, hex, output};
use polycl_image::names::{self, Names};
use polycl_image::{Image, Input, Mask, files, nifti};
use rand::seq::SliceRandom;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::provenance::{Records, prediction};
use super::{Dataset, Scan, masks};

const FOLDS: usize = 5;

/// What is exported.
pub struct Export<'a> {
    pub dataset: &'a Dataset,
    /// The organs of the new label values 1, 2, ...; all that have a label where it is empty.
    pub organs: Vec<String>,
    /// A folder of further masks, named by case, for scans that have none.
    pub masks: Option<&'a Path>,
}

/// The cases that were exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    pub organs: Vec<String>,
    /// Cases with masks that people drew, and that machines drew.
    pub by_hand: BTreeSet<String>,
    pub by_machine: BTreeSet<String>,
    pub unlabelled: usize,
}

impl Export<'_> {
    /// Writes the folder `out`, whole or not at all. nnU-Net wants it to be called `Dataset001_NAME`.
    ///
    /// # Errors
    /// [`Kind::Labels`] for organs that the data set does not know, or masks without their names;
    /// [`Kind::Format`] for files that have changed since the import; [`Kind::Geometry`] for further masks
    /// that do not lie on their scans; [`Kind::Request`] or [`Kind::Io`] for `out`.
    pub fn write(&self, out: &Path, watch: &dyn Watch) -> Result<Exported> {
        let organs = self.organs()?;
        output::folder_atomically(out, |folder| {
            let mut exported =
                Exported { organs, by_hand: BTreeSet::new(), by_machine: BTreeSet::new(), unlabelled: 0 };
            let mut records = Records::default();
            let scans = &self.dataset.index.scans;
            for (number, scan) in scans.iter().enumerate() {
                let case = scan.case.as_str();
                watch.task(&format!("export {case}"));
                watch.step(number, scans.len());
                let mask = self.mask(number, &exported.organs, &mut records)?;
                let images = if mask.is_some() { "imagesTr" } else { "imagesTs" };
                write_image(scan, &folder.join(images).join(format!("{case}_0000.nii.gz")))?;
                let Some((mask, by_hand)) = mask else {
                    if scan.labelled() {
                        let text =
                            "its masks draw only some of the organs or slices, so it goes without them";
                        watch.note(&format!("{case}: {text}"));
                    }
                    exported.unlabelled += 1;
                    continue;
                };
                nifti::write_mask(&folder.join("labelsTr").join(format!("{case}.nii.gz")), &mask)?;
                let group = if by_hand { &mut exported.by_hand } else { &mut exported.by_machine };
                group.insert(case.to_owned());
            }
            if exported.by_hand.is_empty() && exported.by_machine.is_empty() {
                let found = "no scan on which all of them are drawn";
                let expected = format!("masks of {}", exported.organs.join(", "));
                return Err(Error::new(&self.dataset.dir, Kind::Labels, expected, found)
                    .hint("choose fewer organs by --organ, or give --masks"));
            }
            self.describe(folder, &exported)?;
            Ok(exported)
        })
    }

    fn organs(&self) -> Result<Vec<String>> {
        let index = &self.dataset.index;
        let known: Vec<String> = index.labels.values().cloned().collect();
        if self.organs.is_empty() && !known.is_empty() {
            return Ok(known);
        }
        match self.organs.iter().find(|organ| index.label(organ).is_none()) {
            None if !self.organs.is_empty() => Ok(self.organs.clone()),
            unknown => {
                let expected = unknown.map_or("labels".to_owned(), |organ| format!("the label {organ}"));
                let found = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(Error::new(&self.dataset.dir, Kind::Labels, expected, found))
            }
        }
    }

    /// The mask of a scan in the new numbers, and whether a person drew all of it. `None` where not all
    /// organs are drawn in all slices: nnU-Net would take the others for background.
    fn mask(&self, number: usize, organs: &[String], records: &mut Records) -> Result<Option<(Mask, bool)>> {
        let index = &self.dataset.index;
        let scan = &index.scans[number];
        let in_part = |organ: &String| scan.drawn.contains(organ) && scan.left_undrawn_anywhere(organ);
        if organs.iter().any(in_part) {
            return Ok(None);
        }
        if scan.draws(organs) {
            let numbers = numbers(&index.labels, organs);
            let by_hand = organs.iter().all(|organ| scan.all_by_hand(organ));
            return Ok(Some((renumbered(self.dataset.truth(number)?, &numbers), by_hand)));
        }
        let Some(file) = self.masks.map(|folder| folder.join(format!("{}.nii.gz", scan.case))) else {
            return Ok(None);
        };
        if !file.is_file() {
            return Ok(None);
        }
        let names = names::beside(&file)?;
        if let Some(organ) = organs.iter().find(|organ| !names.values().any(|name| name == *organ)) {
            let found = names.values().cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::new(file, Kind::Labels, format!("a mask of {organ}"), found));
        }
        let mask = files::read_mask(&file)?;
        let image = Input::at(&scan.image)?;
        let space = image.space()?;
        let mask = masks::fit(&file, &mask.space, image.path(), &space)?.apply(mask, &space);
        let by_hand = records.maker(&file)?.is_none();
        Ok(Some((renumbered(mask, &numbers(&names, organs)), by_hand)))
    }

    fn describe(&self, folder: &Path, exported: &Exported) -> Result<()> {
        let Exported { organs, by_hand, by_machine, .. } = exported;
        let mut labels = serde_json::Map::from_iter([("background".to_owned(), json!(0))]);
        labels.extend((1..).zip(organs).map(|(value, organ)| (organ.clone(), json!(value))));
        let told = json!({
            "channel_names": {"0": "CT"},
            "labels": labels,
            "numTraining": by_hand.len() + by_machine.len(),
            "file_ending": ".nii.gz",
        });
        write_json(&folder.join("dataset.json"), &told)?;
        write_json(&folder.join("splits_final.json"), &self.folds(exported))?;
        if by_machine.is_empty() {
            return Ok(());
        }
        prediction::write_copied(&folder.join("labelsTr"), by_machine)
    }

    /// Folds of whole patients, as nnU-Net spells them; none where there are too few patients.
    fn folds(&self, exported: &Exported) -> serde_json::Value {
        let scans = &self.dataset.index.scans;
        let by_hand = scans.iter().filter(|scan| exported.by_hand.contains(&scan.case));
        let patients: BTreeSet<&str> = by_hand.map(|scan| scan.patient.as_str()).collect();
        let mut patients = Vec::from_iter(patients);
        patients.shuffle(&mut rng(0, Purpose::Split, [2, 0]));
        let folds = FOLDS.min(patients.len());
        let fold = |fold: usize| {
            let held: BTreeSet<&str> = patients.iter().skip(fold).step_by(folds).copied().collect();
            let mut split = [Vec::new(), Vec::new()];
            for scan in scans {
                let validates = held.contains(scan.patient.as_str());
                if exported.by_hand.contains(&scan.case) {
                    split[usize::from(validates)].push(scan.case.as_str());
                } else if exported.by_machine.contains(&scan.case) && !validates {
                    split[0].push(scan.case.as_str());
                }
            }
            let [train, val] = split;
            json!({"train": train, "val": val})
        };
        if folds < 2 { json!([]) } else { (0..folds).map(fold).collect() }
    }
}

/// The new number of each old one; what is not among the organs becomes background.
fn numbers(names: &Names, organs: &[String]) -> BTreeMap<u16, u16> {
    let number =
        |name: &String| (1..).zip(organs).find_map(|(value, organ)| (organ == name).then_some(value));
    names.iter().filter_map(|(&old, name)| Some((old, number(name)?))).collect()
}

fn renumbered(mut mask: Mask, numbers: &BTreeMap<u16, u16>) -> Mask {
    let mut table = vec![0; usize::from(u16::MAX) + 1];
    numbers.iter().for_each(|(&old, &new)| table[usize::from(old)] = new);
    mask.voxels.iter_mut().for_each(|label| *label = table[usize::from(*label)]);
    mask
}

/// A compressed NIfTI file is copied as it is, so that its header stays; any other becomes one, and so does one whose qform
/// is trusted, which others would not.
fn write_image(scan: &Scan, to: &Path) -> Result<()> {
    let from = &scan.image.path;
    scan.image.check()?;
    let compressed = from.to_string_lossy().to_ascii_lowercase().ends_with(".nii.gz");
    let sha256 = if scan.image.series.is_none() && compressed && scan.image.is_read_as_others_do() {
        let mut hash = Sha256::new();
        let mut source = File::open(from).map_err(|e| Error::io(from, "read it", &e))?;
        output::atomically(to, |file| {
            let mut both = Hashed { file, hash: &mut hash };
            std::io::copy(&mut source, &mut both).map(drop)
        })?;
        hex(&hash.finalize())
    } else {
        let (image, sha256) = Input::at(&scan.image)?.image_hashed()?;
        write_ct(to, &image)?;
        sha256
    };
    if sha256 == scan.image.sha256 {
        return Ok(());
    }
    Err(Error::new(from, Kind::Format, "the scan that was imported", "another one")
        .hint("import the data set again"))
}

/// As whole numbers where that loses nothing.
fn write_ct(to: &Path, image: &Image) -> Result<()> {
    let whole = |hu: &f32| hu.fract() == 0.0 && (f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(hu);
    if image.voxels.iter().all(whole) { nifti::write_ct(to, image) } else { nifti::write_image(to, image) }
}

/// Hashes what is written through it.
struct Hashed<'a, W> {
    file: W,
    hash: &'a mut Sha256,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    output::atomically(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
}
