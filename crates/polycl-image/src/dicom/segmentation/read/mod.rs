//! DICOM segmentations of any program, drawn on the voxels of a scan: binary, fractional and label maps, their frames in
//! any order and as few as there are.

mod frames;
mod grid;
mod paint;
mod pixels;
mod place;

use std::path::Path;

use dicom_dictionary_std::tags;
use polycl_base::{Error, Kind, Result};

use crate::Space;
use crate::dicom::charset;
use crate::dicom::item::Item;
use crate::dicom::source::{Head, open};
use crate::dicom::structures::{self, Drawn, Listed, Storage, Structures};
use crate::names::Names;
use frames::Frames;

/// The ways in which voxels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A bit for each pixel of each segment.
    Binary,
    /// Occupancy or probability, of which the largest value is 1.
    Fractional { most: u32 },
    /// The number of a segment for each pixel (Supplement 243).
    LabelMap,
}

/// The segments of an object, by its header.
pub(in crate::dicom) fn list(path: &Path, head: &Head) -> Result<Structures> {
    let item = Item::top(head);
    let declared = charset::declared_in(item);
    let form = form(path, item)?;
    let mut object = structures::bare(path, head, Storage::Segmentation, tags::CONTENT_LABEL);
    object.made = structures::moment(
        item,
        &[
            (tags::CONTENT_DATE, tags::CONTENT_TIME),
            (tags::SERIES_DATE, tags::SERIES_TIME),
            (tags::STUDY_DATE, tags::STUDY_TIME),
        ],
    );
    for series in item.items(tags::REFERENCED_SERIES_SEQUENCE) {
        object.series.insert(series.text(tags::SERIES_INSTANCE_UID));
        let images = series.items(tags::REFERENCED_INSTANCE_SEQUENCE);
        object.instances.extend(images.map(|image| image.text(tags::REFERENCED_SOP_INSTANCE_UID)));
    }
    object.frames_of_reference.insert(item.text(tags::FRAME_OF_REFERENCE_UID));
    for uids in [&mut object.series, &mut object.instances, &mut object.frames_of_reference] {
        uids.remove("");
    }
    let segments = item.items(tags::SEGMENT_SEQUENCE).filter_map(|segment| {
        // A label map may describe its background.
        let number = segment.whole(tags::SEGMENT_NUMBER).filter(|number| *number > 0)?;
        Some((
            number,
            name(segment, &declared),
            structures::automation(&segment.text(tags::SEGMENT_ALGORITHM_TYPE)),
        ))
    });
    let segments: Vec<Listed> = segments.take(usize::from(u16::MAX) + 1).collect();
    check(path, &segments)?;
    let unsaid = segments.iter().filter(|(.., automation)| automation.is_none()).count();
    if unsaid > 0 {
        object
            .notes
            .push(format!("segments that do not say who drew them, and count as drawn by hand: {unsaid}"));
    }
    if let Form::Fractional { most } = form {
        let what = item.text(tags::SEGMENTATION_FRACTIONAL_TYPE).to_lowercase();
        let what = if ["probability", "occupancy"].contains(&what.as_str()) {
            format!(" ({what})")
        } else {
            String::new()
        };
        object.notes.push(format!(
            "a fractional segmentation{what}: voxels of 0.5 and more belong to a segment, {most} is 1"
        ));
    }
    object.list = structures::listed(segments);
    Ok(object)
}

/// Refuses a list of segments by which no voxel could be known.
fn check(path: &Path, segments: &[Listed]) -> Result<()> {
    let refused = |expected: &str, found: String| {
        Err(Error::new(path, Kind::Format, expected, found)
            .hint("export the segmentation again: its list of segments is damaged"))
    };
    let mut seen = std::collections::BTreeSet::new();
    if segments.is_empty() {
        return refused("a segmentation with segments", "none with a number".to_owned());
    }
    match segments.iter().find(|(number, ..)| *number > u32::from(u16::MAX) || !seen.insert(number)) {
        Some((number, ..)) => {
            refused("segments of distinct numbers up to 65535", format!("segment {number}"))
        }
        None => Ok(()),
    }
}

/// The label of a segment, else the meaning of the code of its type, with its side.
fn name(segment: Item, declared: &str) -> String {
    let label = segment.decoded(tags::SEGMENT_LABEL, declared);
    if !label.is_empty() {
        return label;
    }
    let meaning = |item: Item| item.decoded(tags::CODE_MEANING, declared);
    let Some(kind) = segment.first(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE) else { return String::new() };
    let side = kind.first(tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE).map(meaning);
    [side.unwrap_or_default(), meaning(kind)].join(" ").trim().to_owned()
}

fn form(path: &Path, item: Item) -> Result<Form> {
    let refused = |expected: &str, found: String| {
        Err(Error::new(path, Kind::Format, expected, found).hint("export the segmentation again"))
    };
    match item.text(tags::SEGMENTATION_TYPE).as_str() {
        "BINARY" => Ok(Form::Binary),
        "LABELMAP" => Ok(Form::LabelMap),
        "FRACTIONAL" => match item.whole(tags::MAXIMUM_FRACTIONAL_VALUE) {
            Some(most) if most > 0 => Ok(Form::Fractional { most }),
            other => refused(
                "a Maximum Fractional Value above 0",
                other.map_or("no such value".to_owned(), |most| most.to_string()),
            ),
        },
        other => {
            refused("a Segmentation Type of BINARY, FRACTIONAL or LABELMAP", format!("'{}'", shown(other)))
        }
    }
}

/// A word as it stands, if it is one that a program wrote.
fn shown(word: &str) -> String {
    word.chars().take(16).map(|c| if c.is_ascii_uppercase() { c } else { '?' }).collect()
}

/// Draws the segments that are wanted on the voxels of a scan.
pub(in crate::dicom) fn mask(object: &Structures, scan: &Space, wanted: &Names) -> Result<Drawn> {
    let head = reopened(&object.path)?;
    let form = form(&object.path, Item::top(&head))?;
    let frames = Frames::of(&object.path, &head, form)?;
    paint::paint(object, &head, &frames, scan, wanted)
}

/// Refuses frames of what is wanted that lie on no slice of the scan.
pub(in crate::dicom) fn check_place(object: &Structures, scan: &Space, wanted: &Names) -> Result<()> {
    let head = reopened(&object.path)?;
    let form = form(&object.path, Item::top(&head))?;
    paint::placed(object, &Frames::of(&object.path, &head, form)?, scan, wanted).map(drop)
}

/// The grid that the frames span.
pub(in crate::dicom) fn space(object: &Structures) -> Result<Space> {
    let head = reopened(&object.path)?;
    let form = form(&object.path, Item::top(&head))?;
    grid::of(&object.path, head.held, &Frames::of(&object.path, &head, form)?)
}

fn reopened(path: &Path) -> Result<Head> {
    open(path)?.ok_or_else(|| Error::new(path, Kind::Format, "a DICOM segmentation", "another file"))
}
