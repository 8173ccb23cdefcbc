//! A data set in the layout of nnU-Net's raw data, for those who go on there: `imagesTr/CASE_0000.nii.gz`,
//! `labelsTr/CASE.nii.gz`, `imagesTs` for what has no mask, and `dataset.json`.
//!
//! nnU-Net splits by case; `splits_final.json`, to be copied to its folder of preprocessed data, splits
//! by patient. Masks that a machine drew are told by a `polycl.json` beside them, and never validate.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::rng::{Purpose, rng};
use polycl_base::{Error, Kind, Result, Watch, only, output, some};
use polycl_image::legend::{IGNORE, IGNORED, Legend};
use polycl_image::names::{self, Names};
use polycl_image::{Image, Input, Mask, files, nifti};
use rand::seq::SliceRandom;
use serde::Serialize;
use serde_json::json;

use super::provenance::{Origin, Records, prediction};
use super::{Dataset, Region, Scan, failed, masks};

const FOLDS: usize = 5;

/// A request to export.
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
    /// The label of voxels that nobody annotated, if there are any: the last one, as nnU-Net wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<u16>,
    /// Cases with masks that people drew, and that machines drew.
    pub by_hand: BTreeSet<String>,
    pub by_machine: BTreeSet<String>,
    pub unlabelled: usize,
}

impl Exported {
    pub(super) fn is_empty(&self) -> bool {
        self.by_hand.is_empty() && self.by_machine.is_empty()
    }
}

impl Export<'_> {
    /// Writes the folder `out`, whole or not at all. nnU-Net wants it to be called `Dataset001_NAME`.
    ///
    /// # Errors
    /// [`Kind::Labels`] for organs that the data set does not know, or masks without their names;
    /// [`Kind::Format`] for files that have changed since the import; [`Kind::Geometry`] for further masks
    /// that do not lie on their scans; [`Kind::Request`] or [`Kind::Io`] for `out`.
    pub fn write(&self, out: &Path, watch: &dyn Watch) -> Result<Exported> {
        let further = self.further()?;
        let organs = self.organs(&further)?;
        self.tell((&further, &organs), watch)?;
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        if !is_of_nnunet(&name) {
            watch.note(&format!(
                "note: nnU-Net wants the folder to be called DatasetNNN_NAME, such as Dataset501_{name}"
            ));
        }
        output::folder_atomically(out, |folder| {
            let last = organs.len() as u16 + 1;
            let mut ignored = None;
            let mut exported = self.each(organs, &further, watch, |scan, mask| {
                let case = scan.case.as_str();
                let images = if mask.is_some() { "imagesTr" } else { "imagesTs" };
                write_image(scan, &folder.join(images).join(format!("{case}_0000.nii.gz")))?;
                let Some((mask, _)) = mask else {
                    if scan.labelled() {
                        let text = "its masks draw only some of the organs or slices, so the scan is written without masks";
                        watch.note(&format!("{case}: {text}"));
                    }
                    return Ok(false);
                };
                ignored = ignored.or(mask.voxels.contains(&last).then_some(last));
                nifti::write_mask(&folder.join("labelsTr").join(format!("{case}.nii.gz")), &mask)?;
                Ok(true)
            })?;
            exported.ignored = ignored;
            if exported.is_empty() {
                let found = "no scan on which all of them are drawn";
                let expected = format!("masks of {}", exported.organs.join(", "));
                return Err(Error::new(&self.dataset.dir, Kind::Labels, expected, found)
                    .hint("choose fewer organs with --organ, or give --masks"));
            }
            self.describe(folder, &exported)?;
            Ok(exported)
        })
    }

    /// Gives `write` each scan, its mask in the new numbers and who drew that; `write` says whether the mask was written.
    pub(super) fn each(
        &self,
        organs: Vec<String>,
        further: &BTreeMap<String, PathBuf>,
        watch: &dyn Watch,
        mut write: impl FnMut(&Scan, Option<(Mask, Origin)>) -> Result<bool>,
    ) -> Result<Exported> {
        let (by_hand, by_machine) = (BTreeSet::new(), BTreeSet::new());
        let mut exported = Exported { organs, ignored: None, by_hand, by_machine, unlabelled: 0 };
        let mut records = Records::default();
        let scans = &self.dataset.index.scans;
        for (number, scan) in scans.iter().enumerate() {
            watch.task(&format!("export {}", scan.case));
            watch.step(number, scans.len());
            let mask = self.mask(number, &exported.organs, further, &mut records)?;
            let by_hand = mask.as_ref().is_some_and(|(_, origin)| origin.is_hand());
            match write(scan, mask)? {
                true if by_hand => exported.by_hand.insert(scan.case.clone()),
                true => exported.by_machine.insert(scan.case.clone()),
                false => {
                    exported.unlabelled += 1;
                    false
                }
            };
        }
        Ok(exported)
    }

    /// The further masks by case.
    pub(super) fn further(&self) -> Result<BTreeMap<String, PathBuf>> {
        let mut files = self.masks.map(files::scans).transpose()?.unwrap_or_default();
        files.retain(|file| file.to_string_lossy().ends_with(".nii.gz"));
        Ok(files.into_iter().filter_map(|file| Some((files::case_name(&file)?, file))).collect())
    }

    /// Tells what is not written.
    pub(super) fn tell(
        &self,
        (further, organs): (&BTreeMap<String, PathBuf>, &[String]),
        watch: &dyn Watch,
    ) -> Result<()> {
        let scans = &self.dataset.index.scans;
        let scan = |case: &String| scans.iter().find(|scan| scan.case == *case);
        let strange: Vec<&String> = further.keys().filter(|case| scan(case).is_none()).collect();
        let own = |scan: &Scan| scan.draws(organs) || in_part(scan, organs);
        let drawn: Vec<&String> = further.keys().filter(|case| scan(case).is_some_and(own)).collect();
        let folder = self.masks.unwrap_or(Path::new("")).display();
        if !strange.is_empty() {
            let cases = some(&strange);
            watch.note(&format!("note: {folder}: masks of no scan in the data set are left out: {cases}"));
        }
        if !drawn.is_empty() {
            let cases = some(&drawn);
            watch.note(&format!("note: {folder}: left out, as the data set has masks of these: {cases}"));
        }
        let failed = Vec::from_iter(failed(&self.dataset.dir)?.into_keys());
        if !failed.is_empty() {
            let (count, cases) = (failed.len(), some(&failed));
            watch.note(&format!("note: scans that could not be imported are not written: {count} ({cases})"));
        }
        Ok(())
    }

    pub(super) fn organs(&self, further: &BTreeMap<String, PathBuf>) -> Result<Vec<String>> {
        let index = &self.dataset.index;
        let mut known: Vec<String> = index.labels.values().cloned().collect();
        // Where the data set has no masks, the further ones say what there is.
        if known.is_empty()
            && let Some(mask) = further.values().next()
        {
            known = names::beside(mask)?.names.into_values().collect();
        }
        if self.organs.is_empty() && !known.is_empty() {
            return Ok(known);
        }
        let asked = index.parts(&self.organs);
        match asked.iter().find(|organ| !known.contains(organ)) {
            None if !asked.is_empty() => Ok(asked),
            unknown => {
                let expected = unknown.map_or("labels".to_owned(), |organ| format!("the label {organ}"));
                let hint =
                    "list the organs with `polycl inspect`, or give masks to `polycl import` with --labels";
                Err(Error::new(&self.dataset.dir, Kind::Labels, expected, only(&known, "label"))
                    .hint(hint)
                    .hint_spelling(unknown.map_or("", String::as_str), &known))
            }
        }
    }

    /// The mask of a scan in the new numbers, and who drew it. `None` where not all
    /// organs are drawn in all slices: nnU-Net would take the others for background.
    fn mask(
        &self,
        number: usize,
        organs: &[String],
        further: &BTreeMap<String, PathBuf>,
        records: &mut Records,
    ) -> Result<Option<(Mask, Origin)>> {
        let index = &self.dataset.index;
        let scan = &index.scans[number];
        if in_part(scan, organs) {
            return Ok(None);
        }
        if scan.draws(organs) {
            let numbers = numbers(&index.labels, Some(IGNORED), organs);
            let by_hand = organs.iter().all(|organ| scan.all_by_hand(organ));
            // Of a hand in some organs or slices a machine has the rest.
            let origin = match scan.origin {
                _ if by_hand => Origin::Hand,
                Origin::Hand => Origin::Predicted,
                other => other,
            };
            return Ok(Some((renumbered(self.dataset.truth(number)?, &numbers), origin)));
        }
        let Some(file) = further.get(&scan.case) else { return Ok(None) };
        let Legend { names, ignored, .. } = names::beside(file)?;
        let names_it = |organ: &&String| names.values().any(|name| name == *organ);
        if let Some(organ) = organs.iter().find(|organ| !names_it(organ)) {
            let found = only(names.values(), "named label");
            let error = Error::new(file, Kind::Labels, format!("a mask of {organ}"), found);
            let named: Vec<&str> = organs.iter().filter(names_it).map(String::as_str).collect();
            let hint = format!("choose --organ {}: these masks draw no more", named.join(","));
            return Err(if named.is_empty() { error } else { error.hint(hint) });
        }
        let mask = files::read_mask(file)?;
        let image = Input::at(&scan.image)?;
        let space = image.space()?;
        let mask = masks::fit(file, &mask.space, image.path(), &space)?.apply(mask, &space);
        let origin = records.maker(file)?.map_or(Origin::Hand, |maker| maker.origin);
        Ok(Some((renumbered(mask, &numbers(&names, ignored, organs)), origin)))
    }

    fn describe(&self, folder: &Path, exported: &Exported) -> Result<()> {
        let Exported { organs, ignored, by_hand, by_machine, .. } = exported;
        let values: BTreeMap<&str, u16> = organs.iter().map(String::as_str).zip(1..).collect();
        let regions = self.dataset.index.painted(organs, &[]);
        let mut labels = serde_json::Map::from_iter([("background".to_owned(), json!(0))]);
        let value = |region: &Region| match &*region.organs {
            [organ] => json!(values[organ.as_str()]),
            organs => organs.iter().map(|organ| values[organ.as_str()]).collect(),
        };
        labels.extend(regions.iter().map(|region| (region.name.clone(), value(region))));
        labels.extend(ignored.map(|value| (IGNORE.to_owned(), json!(value))));
        let mut told = json!({
            "channel_names": {"0": "CT"},
            "labels": labels,
            "numTraining": by_hand.len() + by_machine.len(),
            "file_ending": ".nii.gz",
        });
        if regions.iter().any(|region| region.organs.len() > 1) {
            let painted = regions.iter().map(|region| values[region.painted.as_str()]);
            told["regions_class_order"] = painted.collect();
        }
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

/// True where a person drew one of the organs in some slices alone.
fn in_part(scan: &Scan, organs: &[String]) -> bool {
    organs.iter().any(|organ| scan.drawn.contains(organ) && scan.left_undrawn_anywhere(organ))
}

/// True of a folder's name that nnU-Net takes, such as `Dataset501_Liver`.
fn is_of_nnunet(name: &str) -> bool {
    let number = name.strip_prefix("Dataset").and_then(|rest| rest.split_once('_'));
    number.is_some_and(|(number, name)| {
        number.len() == 3 && number.chars().all(|c| c.is_ascii_digit()) && !name.is_empty()
    })
}

/// The new number of each old one; what is not among the organs becomes background, and what nobody annotated comes
/// last.
fn numbers(names: &Names, ignored: Option<u16>, organs: &[String]) -> BTreeMap<u16, u16> {
    let number =
        |name: &String| (1..).zip(organs).find_map(|(value, organ)| (organ == name).then_some(value));
    let organ = |(&old, name): (&u16, &String)| Some((old, number(name)?));
    let ignored = ignored.map(|old| (old, organs.len() as u16 + 1));
    ignored.into_iter().chain(names.iter().filter_map(organ)).collect()
}

fn renumbered(mut mask: Mask, numbers: &BTreeMap<u16, u16>) -> Mask {
    let mut table = vec![0; usize::from(u16::MAX) + 1];
    numbers.iter().for_each(|(&old, &new)| table[usize::from(old)] = new);
    mask.voxels.iter_mut().for_each(|label| *label = table[usize::from(*label)]);
    mask
}

/// A NIfTI file is copied, so that its header stays; a file of another format becomes one, and so does one whose qform is
/// trusted, which others would not.
fn write_image(scan: &Scan, to: &Path) -> Result<()> {
    let from = &scan.image.path;
    scan.image.check()?;
    let copied = scan.image.series.is_none() && nifti::is_nifti(from) && scan.image.is_read_as_others_do();
    let sha256 = if copied {
        nifti::copy_compressed(from, to)?
    } else {
        let (image, sha256) = Input::at(&scan.image)?.image_hashed()?;
        write_ct(to, &image)?;
        sha256
    };
    if sha256 == scan.image.sha256 {
        return Ok(());
    }
    Err(Error::new(from, Kind::Format, "the scan that was imported", "a file that has changed since")
        .hint("import the data set again"))
}

/// As whole numbers where that loses nothing.
fn write_ct(to: &Path, image: &Image) -> Result<()> {
    let whole = |hu: &f32| hu.fract() == 0.0 && (f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(hu);
    if image.voxels.iter().all(whole) { nifti::write_ct(to, image) } else { nifti::write_image(to, image) }
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    output::atomically(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
}
