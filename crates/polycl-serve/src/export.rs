//! Masks for other programs: in a new folder among the results.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use polycl_base::{Error, Kind, Result, output};
use polycl_image::dicom::segmentation::Automation;
use polycl_image::dicom::structures::Storage;
use polycl_image::names::Names;
use polycl_image::{Input, Space, dicom, nifti};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::desk::Desk;
use crate::document::{Document, MachineKind};
use crate::folder::Entry;
use crate::publish::{self, write_mask, write_names, write_record};
use crate::refusal::{Answer, Refusal};

#[derive(Debug, Deserialize)]
pub struct Export {
    pub format: Format,
    pub scans: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Nifti,
    /// DICOM segmentations.
    Seg,
    /// Contours.
    Rtstruct,
    /// A manifest for `polycl import`, and the masks that it names.
    Dataset,
    /// The layout of nnU-Net's raw data.
    Nnunet,
}

impl Format {
    /// The reason for which a scan cannot be exported so, in words for a person.
    fn refuses(self, entry: &Entry, is_empty: bool) -> Option<String> {
        let object = match self {
            Self::Seg => Storage::Segmentation,
            Self::Rtstruct => Storage::Contours,
            Self::Nifti | Self::Dataset | Self::Nnunet => return None,
        };
        let name = &entry.name;
        if !matches!(entry.input, Input::Series { .. }) {
            let kind = entry.kind();
            return Some(format!("{name} is {kind}; a DICOM {object} needs a DICOM series"));
        }
        is_empty.then(|| format!("The mask of {name} is empty; a DICOM {object} needs a label in it"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Which {
    Group(Group),
    Some(BTreeSet<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    Reviewed,
    /// All on which something is drawn.
    All,
}

/// Masks that go to one folder.
struct Masks<'a> {
    folder: &'a Path,
    format: Format,
    /// Label values by name, where all masks must have the same.
    values: BTreeMap<String, u16>,
}

/// Exports masks; a scan of which that cannot be done is left out and told.
///
/// # Errors
/// `nothing_to_export`, `no_such_scan`; what writing the folder says.
pub fn export(desk: &Desk, asked: &Export) -> Answer<Value> {
    let mut left_out: Vec<Value> = Vec::new();
    // One document is held at a time: a cohort's may not fit into memory.
    let mut chosen: Vec<Arc<Entry>> = Vec::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut empty: BTreeSet<String> = BTreeSet::new();
    for entry in entries(desk, &asked.scans)? {
        match desk.document(&entry) {
            Ok(Some(document)) if !publish::is_blank(&document.facts) => {
                let wanted =
                    !matches!(asked.scans, Which::Group(Group::Reviewed)) || document.facts.review.is_some();
                if wanted {
                    let shown = publish::shown(&document);
                    if shown.is_empty() {
                        empty.insert(entry.id.clone());
                    }
                    names.extend(shown.into_values());
                    chosen.push(entry);
                }
            }
            Ok(_) if matches!(asked.scans, Which::Group(_)) => {}
            Ok(_) => left_out.push(reason(&entry, "Nothing is drawn on it")),
            Err(error) => left_out.push(reason(&entry, &error.to_string())),
        }
    }
    if chosen.is_empty() {
        return Err(Refusal::conflict("nothing_to_export", "There is nothing to export yet.")
            .hint("export all scans, or mark one as reviewed"));
    }
    let name = format!("export-{}", stamp(&desk.out));
    let values = (1..).zip(names).map(|(value, name)| (name, value)).collect();
    let mut written: Vec<&Entry> = Vec::new();
    let path = desk.out.join(&name);
    let done = output::folder_atomically(&path, |folder| {
        let masks = Masks { folder, format: asked.format, values };
        for entry in &chosen {
            if let Some(why) = asked.format.refuses(entry, empty.contains(&entry.id)) {
                left_out.push(reason(entry, &why));
                continue;
            }
            match masks.write(desk, entry) {
                Ok(()) => written.push(entry),
                // A full disk is the folder's, not the scan's.
                Err(error)
                    if error.kind == Kind::Io
                        && error.file().is_some_and(|file| file.starts_with(folder)) =>
                {
                    return Err(error);
                }
                Err(error) => left_out.push(reason(entry, &error.to_string())),
            }
        }
        if written.is_empty() {
            // No folder is left then.
            return Err(Error::new(folder, Kind::Request, "a scan that can be exported", "no such scan"));
        }
        masks.describe(&written)
    });
    if written.is_empty() && done.as_ref().is_err_and(|error| error.kind == Kind::Request) {
        return Ok(json!({"folder": null, "path": null, "written": 0, "empty": [], "left_out": left_out}));
    }
    done?;
    let empty: Vec<&str> =
        written.iter().filter(|entry| empty.contains(&entry.id)).map(|entry| entry.name.as_str()).collect();
    let out = desk.out.file_name().map_or_else(|| "polycl".into(), |name| name.to_string_lossy());
    Ok(json!({
        "folder": format!("{out}/{name}"),
        "path": path.canonicalize().unwrap_or(path),
        "written": written.len(),
        "empty": empty,
        "left_out": left_out,
    }))
}

/// Writes the masks that train, and a table of them for `polycl import`, which names other scans without masks.
///
/// # Errors
/// [`Kind::Request`] for a scan that is not reviewed any more; what reading and writing say.
pub fn training(desk: &Desk, folder: &Path, chosen: &[Arc<Entry>], others: &[Arc<Entry>]) -> Result<()> {
    let masks = Masks { folder, format: Format::Dataset, values: BTreeMap::new() };
    for entry in chosen {
        let document = desk.document(entry)?.filter(|document| document.facts.review.is_some());
        let document = document.ok_or_else(|| {
            let (expected, found) = ("a reviewed scan", "one that was just changed");
            Error::new(entry.input.path(), Kind::Request, expected, found)
        })?;
        masks.write_nifti(&folder.join("labels"), &entry.name, &entry.input.space()?, document)?;
    }
    let [chosen, others] =
        [chosen, others].map(|entries| entries.iter().map(|entry| &**entry).collect::<Vec<&Entry>>());
    masks.describe_dataset(&chosen, &others)
}

fn entries(desk: &Desk, which: &Which) -> Answer<Vec<Arc<Entry>>> {
    match which {
        Which::Group(_) => Ok(desk.entries()),
        Which::Some(ids) => ids.iter().map(|id| desk.entry(id)).collect(),
    }
}

fn reason(entry: &Entry, reason: &str) -> Value {
    json!({"id": entry.id, "name": entry.name, "reason": reason})
}

/// The first number whose folder is not there.
fn stamp(out: &Path) -> u32 {
    (1..).find(|number| !out.join(format!("export-{number}")).exists()).unwrap_or(0)
}

impl Masks<'_> {
    fn write(&self, desk: &Desk, entry: &Entry) -> Result<()> {
        let space = entry.input.space()?;
        let Some(mut document) = desk.document(entry)? else { return Ok(()) };
        let (case, names) = (entry.name.as_str(), document.names());
        match self.format {
            Format::Nifti => self.write_nifti(self.folder, case, &space, document),
            Format::Dataset => self.write_nifti(&self.folder.join("labels"), case, &space, document),
            Format::Seg => self.write_object(Storage::Segmentation, entry, &space, document, &names),
            Format::Rtstruct => self.write_object(Storage::Contours, entry, &space, document, &names),
            Format::Nnunet => {
                if publish::shown(&document).values().any(|name| !self.values.contains_key(name)) {
                    let (expected, found) = ("the labels with which the export began", "a new one");
                    return Err(Error::new(entry.input.path(), Kind::Request, expected, found)
                        .hint("export again once nobody draws on the scan"));
                }
                let images = self.folder.join("imagesTr");
                nifti::write_ct(&images.join(format!("{case}_0000.nii.gz")), &entry.input.image()?)?;
                let value =
                    |own: u16| names.get(&own).and_then(|name| self.values.get(name)).copied().unwrap_or(0);
                document.mask.iter_mut().for_each(|own| *own = value(*own));
                // The record speaks of the same values as the mask.
                let facts = &mut document.facts;
                facts.labels.retain(|label| value(label.value) > 0);
                facts.labels.iter_mut().for_each(|label| label.value = value(label.value));
                let marks = std::mem::take(&mut facts.marks);
                facts.marks = marks.into_iter().map(|(own, marks)| (value(own), marks)).collect();
                facts.marks.remove(&0);
                let folder = self.folder.join("labelsTr");
                write_record(&folder, case, &space, &document)?;
                write_mask(&folder.join(format!("{case}.nii.gz")), &space, document.mask)
            }
        }
    }

    fn write_nifti(&self, folder: &Path, case: &str, space: &Space, document: Document) -> Result<()> {
        write_record(folder, case, space, &document)?;
        write_names(folder, case, &document.names())?;
        write_mask(&folder.join(format!("{case}.nii.gz")), space, document.mask)
    }

    fn write_object(
        &self,
        storage: Storage,
        entry: &Entry,
        space: &Space,
        document: Document,
        names: &Names,
    ) -> Result<()> {
        let Input::Series { series, .. } = &entry.input else {
            let expected = format!("a DICOM series, to which {storage} can refer");
            return Err(Error::new(entry.input.path(), Kind::Request, expected, "a file of another format"));
        };
        let automatic = match (document.facts.machines.latest(), &document.facts.review) {
            (None, _) => Automation::Manual,
            (Some(machine), None) if machine.kind == MachineKind::Predicted => Automation::Automatic,
            _ => Automation::Semiautomatic,
        };
        let order = polycl_image::orient::Reorientation::to_canonical(space);
        let shown = names.iter().filter(|(value, _)| document.has(**value));
        let shown: Names = shown.map(|(value, name)| (*value, name.clone())).collect();
        let canonical = polycl_image::Volume { space: order.space(space), voxels: document.mask };
        let mask = order.invert(&canonical, space);
        let file = self.folder.join(format!("{}.dcm", entry.name));
        storage.write_on(&file, series, &mask, &shown, (&entry.name, automatic))
    }

    /// Writes the file that tells the other program what is in the folder.
    fn describe(&self, written: &[&Entry]) -> Result<()> {
        match self.format {
            Format::Nifti | Format::Seg | Format::Rtstruct => Ok(()),
            Format::Dataset => self.describe_dataset(written, &[]),
            Format::Nnunet => {
                let mut labels = Map::from_iter([("background".to_owned(), json!(0))]);
                let mut values: Vec<_> = self.values.iter().collect();
                values.sort_by_key(|(_, value)| **value);
                labels.extend(values.into_iter().map(|(name, value)| (name.clone(), json!(value))));
                let told = json!({
                    "channel_names": {"0": "CT"},
                    "labels": labels,
                    "numTraining": written.len(),
                    "file_ending": ".nii.gz",
                });
                output::atomically(&self.folder.join("dataset.json"), |file| writeln!(file, "{told:#}"))
            }
        }
    }

    fn describe_dataset(&self, written: &[&Entry], bare: &[&Entry]) -> Result<()> {
        let mut text = String::from("image,series,label,case,names\n");
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let masked = written.iter().map(|entry| (entry, true));
        for (entry, has_mask) in masked.chain(bare.iter().map(|entry| (entry, false))) {
            let path = entry.input.path();
            let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
            let series = match &entry.input {
                Input::Series { series, .. } => dicom::digest(&series.uid),
                Input::File { .. } => String::new(),
            };
            let (image, case) = (quoted(&path.to_string_lossy()), &entry.name);
            let beside = |ending: &str| quoted(&format!("labels/{case}.{ending}"));
            let [label, names] =
                ["nii.gz", "labels.json"].map(|ending| if has_mask { beside(ending) } else { String::new() });
            let _ = writeln!(text, "{image},{series},{label},{},{names}", quoted(case));
        }
        output::atomically(&self.folder.join("manifest.csv"), |file| file.write_all(text.as_bytes()))
    }
}
