//! Documents as masks that other programs read: `masks/CASE.nii.gz` in the folder for results, with the names of its
//! labels and a record of what a person did with every slice.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, output};
use polycl_data::provenance::review::{self, By, Row};
use polycl_image::names::Names;
use polycl_image::orient::Reorientation;
use polycl_image::{Space, Volume, nifti};

use crate::desk::Desk;
use crate::document::{Document, Facts};
use crate::folder::Entry;
use crate::journal::{self, Journal};
use crate::locked::locked;
use crate::marks::Mark;
use crate::scan::Scan;

/// The revision of the document that a mask was written from.
const PUBLISHED: &str = "published";

/// Folds the journal of a scan, and writes its mask where it has changed.
///
/// # Errors
/// [`Kind::Io`]; [`Kind::Request`] where a mask of others is in the way.
pub fn put_away(desk: &Desk, scan: &Scan) -> Result<()> {
    let entry = &scan.entry;
    // An older mask must not land after a newer one.
    let _one_at_a_time = locked(&scan.publishing);
    let document = scan.with(|sheet| {
        sheet.fold()?;
        let behind = published(entry) != Some(sheet.document.facts.revision);
        Ok(behind.then(|| sheet.document.clone()))
    })?;
    document.map_or(Ok(()), |document| publish(desk, entry, &scan.image.space, document))
}

/// Brings masks up to date that a killed server has left behind. No voxel of a scan is read.
pub fn recover(desk: &Desk, entry: &Entry) -> Result<()> {
    let Some(facts) = journal::facts(&entry.folder)? else { return Ok(()) };
    if !journal::is_behind(&entry.folder) && published(entry) == Some(facts.revision) {
        return Ok(());
    }
    let space = entry.input.space()?;
    let (mut journal, document) = Journal::open(&entry.folder, || unreachable!("its facts are there"))?;
    journal.fold(&document)?;
    entry.summarise(&document.facts);
    publish(desk, entry, &space, document)
}

/// The mask of a scan for other programs.
pub fn mask_file(desk: &Desk, entry: &Entry) -> PathBuf {
    desk.out.join("masks").join(format!("{}.nii.gz", entry.name))
}

fn published(entry: &Entry) -> Option<u64> {
    std::fs::read_to_string(entry.folder.join(PUBLISHED)).ok()?.trim().parse().ok()
}

fn publish(desk: &Desk, entry: &Entry, space: &Space, document: Document) -> Result<()> {
    // What was written once follows the document, also where everything was taken back.
    if entry.is_sent() || is_blank(&document.facts) && published(entry).is_none() {
        return Ok(());
    }
    let path = mask_file(desk, entry);
    if path.exists() && published(entry).is_none() {
        let expected = "no such file yet, or a mask that `polycl serve` wrote";
        return Err(Error::new(&path, Kind::Request, expected, "another mask")
            .hint("choose another --out, or move the mask"));
    }
    let folder = desk.out.join("masks");
    let marker = entry.folder.join(PUBLISHED);
    let mark = |text: &str| output::atomically(&marker, |file| file.write_all(text.as_bytes()));
    // Said before there is a mask, so that it is known for ours whenever this is killed.
    if published(entry).is_none() {
        mark("0")?;
    }
    write_record(&folder, &entry.name, space, &document)?;
    let (names, revision) = (document.names(), document.facts.revision);
    write_mask(&path, space, document.mask)?;
    write_names(&folder, &entry.name, &names)?;
    mark(&revision.to_string())
}

/// Writes a mask in canonical order in that of its scan.
pub fn write_mask(path: &Path, space: &Space, voxels: Vec<u16>) -> Result<()> {
    let order = Reorientation::to_canonical(space);
    nifti::write_mask(path, &order.invert(&Volume { space: order.space(space), voxels }, space))
}

pub fn write_names(folder: &Path, case: &str, names: &Names) -> Result<()> {
    let text = serde_json::to_string_pretty(names).expect("names are plain data");
    output::atomically(&folder.join(format!("{case}.labels.json")), |file| writeln!(file, "{text}"))
}

/// Writes what a person did with every slice.
pub fn write_record(folder: &Path, case: &str, space: &Space, document: &Document) -> Result<()> {
    let facts = &document.facts;
    let order = Reorientation::to_canonical(space);
    let pixels = document.pixels();
    let mut rows = Vec::new();
    for label in &facts.labels {
        let marks = document.marks(label.value);
        let own = pixels.get(&label.value);
        if own.is_none() && marks.slices.iter().all(|mark| *mark == Mark::Unknown) {
            continue;
        }
        for (z, mark) in marks.slices.iter().enumerate() {
            let axial = marks.confidence.as_ref().filter(|own| own.plane == polycl_image::Plane::Axial);
            let machine = mark.is_machine();
            rows.push(Row {
                label: label.value,
                slice: order.slice_from_canonical(z, space),
                mark: told(*mark),
                pixels: own.map_or(0, |own| own[z]),
                confidence: axial.and_then(|own| *own.values.get(z)?).filter(|_| machine),
            });
        }
    }
    // A case without a row would count as a person's.
    if rows.is_empty() {
        let label = facts.labels.first().map_or(1, |label| label.value);
        rows.push(Row { label, slice: 0, mark: review::Mark::Unseen, pixels: 0, confidence: None });
    }
    let proposed = facts.machines.names();
    let reviewed = facts.review.as_ref().map(|review| (review.who.as_str(), review.when));
    review::write(folder, (case, &facts.odd), &rows, &document.names(), By { proposed, reviewed })
}

fn told(mark: Mark) -> review::Mark {
    match mark {
        Mark::Drawn => review::Mark::Drawn,
        Mark::Edited | Mark::Crossed => review::Mark::Edited,
        Mark::Prompted | Mark::Viewed | Mark::Copied | Mark::Empty => review::Mark::Viewed,
        Mark::Proposed | Mark::Unknown => review::Mark::Unseen,
    }
}

/// True of a scan on which nobody and nothing has drawn.
pub fn is_blank(facts: &Facts) -> bool {
    let blank = |marks: &crate::marks::Marks| {
        marks.slices.iter().all(|mark| matches!(mark, Mark::Unknown | Mark::Empty))
    };
    facts.machines.latest().is_none() && facts.review.is_none() && facts.marks.values().all(blank)
}

/// The names of labels that have voxels.
pub fn shown(document: &Document) -> BTreeMap<u16, String> {
    let pixels = document.pixels();
    document.names().into_iter().filter(|(value, _)| pixels.contains_key(value)).collect()
}
