//! The ROIs of an object, by its header, and the contours of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom_dictionary_std::tags;
use polycl_base::{Error, Kind, Result, some};

use super::contour::kind;
use crate::dicom::charset;
use crate::dicom::item::Item;
use crate::dicom::segmentation::Automation;
use crate::dicom::source::Head;
use crate::dicom::structures::{self, Storage, Structures};

/// ROIs that are looked at; the largest plans have some hundred.
const MOST: usize = u16::MAX as usize;

/// The ROIs with closed contours, by an object's header.
pub(in crate::dicom) fn list(path: &Path, head: &Head) -> Result<Structures> {
    let item = Item::top(head);
    let mut object = structures::bare(path, head, Storage::Contours, tags::STRUCTURE_SET_LABEL);
    object.made = structures::moment(
        item,
        &[
            (tags::STRUCTURE_SET_DATE, tags::STRUCTURE_SET_TIME),
            (tags::SERIES_DATE, tags::SERIES_TIME),
            (tags::STUDY_DATE, tags::STUDY_TIME),
        ],
    );
    (object.series, object.frames_of_reference) = references(item);
    let Rois { drawn, empty } = Rois::of(path, item)?;
    let names: Vec<String> = empty.iter().map(|(number, name, _)| shown(*number, name)).collect();
    if drawn.is_empty() {
        let found = if names.is_empty() { "no ROI".to_owned() } else { some(&names) };
        return Err(Error::new(path, Kind::Format, "an ROI with a closed contour", found)
            .hint("export the contours again, with the organs that were drawn"));
    }
    if !names.is_empty() {
        object.notes.push(format!("ROIs without a closed contour: {}", some(&names)));
    }
    let unsaid = drawn.iter().filter(|(.., automation)| automation.is_none()).count();
    if unsaid > 0 {
        object
            .notes
            .push(format!("ROIs that do not say who drew them, and count as drawn by hand: {unsaid}"));
    }
    object.list = structures::listed(drawn);
    Ok(object)
}

/// Numbers, names, and who drew them.
type Roi = (u32, String, Option<Automation>);

/// The ROIs with closed contours, and those without one, in the order of the file.
pub(super) struct Rois {
    pub drawn: Vec<Roi>,
    empty: Vec<Roi>,
}

impl Rois {
    pub fn of(path: &Path, item: Item) -> Result<Self> {
        let declared = charset::declared_in(item);
        let mut closed: BTreeMap<u32, bool> = BTreeMap::new();
        for roi in item.items(tags::ROI_CONTOUR_SEQUENCE) {
            let Some(number) = roi.whole(tags::REFERENCED_ROI_NUMBER) else { continue };
            if closed.len() < MOST || closed.contains_key(&number) {
                let is_closed = |contour: Item| kind(contour).is_ok();
                *closed.entry(number).or_default() |= roi.items(tags::CONTOUR_SEQUENCE).any(is_closed);
            }
        }
        let automation = |roi: Item| structures::automation(&roi.text(tags::ROI_GENERATION_ALGORITHM));
        let rois = item.items(tags::STRUCTURE_SET_ROI_SEQUENCE).take(MOST);
        let roi = |roi: Item| {
            Some((roi.whole(tags::ROI_NUMBER)?, roi.decoded(tags::ROI_NAME, &declared), automation(roi)))
        };
        let mut rois: Vec<Roi> = rois.filter_map(roi).collect();
        let named: BTreeSet<u32> = rois.iter().map(|(number, ..)| *number).collect();
        if named.len() < rois.len() {
            return Err(Error::new(path, Kind::Format, "ROIs of distinct numbers", "two of one number")
                .hint("export the contours again: nobody can tell whose they are"));
        }
        let nameless = closed.keys().filter(|number| !named.contains(number));
        rois.extend(nameless.map(|&number| (number, String::new(), None)));
        let is_drawn = |(number, ..): &Roi| closed.get(number).copied().unwrap_or_default();
        let (drawn, empty) = rois.into_iter().partition(is_drawn);
        Ok(Self { drawn, empty })
    }
}

fn shown(number: u32, name: &str) -> String {
    if name.is_empty() { format!("ROI {number}") } else { name.to_owned() }
}

/// The series and the frames of reference that the object names.
fn references(item: Item) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut series, mut frames) = (BTreeSet::new(), BTreeSet::new());
    frames.insert(item.text(tags::FRAME_OF_REFERENCE_UID));
    for frame in item.items(tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE) {
        frames.insert(frame.text(tags::FRAME_OF_REFERENCE_UID));
        let studies = frame.items(tags::RT_REFERENCED_STUDY_SEQUENCE);
        let of_series = studies.flat_map(|study| study.items(tags::RT_REFERENCED_SERIES_SEQUENCE));
        series.extend(of_series.map(|series| series.text(tags::SERIES_INSTANCE_UID)).take(MOST));
    }
    let rois = item.items(tags::STRUCTURE_SET_ROI_SEQUENCE).take(MOST);
    frames.extend(rois.map(|roi| roi.text(tags::REFERENCED_FRAME_OF_REFERENCE_UID)));
    series.remove("");
    frames.remove("");
    (series, frames)
}

/// The items that hold the contours of each ROI, by its number.
pub(super) fn contours(item: Item) -> BTreeMap<u32, Vec<Item>> {
    let mut found: BTreeMap<u32, Vec<Item>> = BTreeMap::new();
    for roi in item.items(tags::ROI_CONTOUR_SEQUENCE) {
        if let Some(number) = roi.whole(tags::REFERENCED_ROI_NUMBER) {
            found.entry(number).or_default().push(roi);
        }
    }
    found
}
