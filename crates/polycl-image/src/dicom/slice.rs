//! What we need of one file's header.

use std::path::{Path, PathBuf};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;
use glam::DVec3;
use polycl_base::{Error, Kind, Result};

use super::elements::{numbers, positive, text, whole};
use super::layout::Layout;
use super::patient::Patient;
use super::scan::{Element, Syntax};
use super::source::Head;

/// Elements of the top level that are looked at. The others are never handed to dicom-rs.
const WANTED: [Tag; 32] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::IMAGE_TYPE,
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::MODALITY,
    tags::SERIES_DESCRIPTION,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::SLICE_THICKNESS,
    tags::GANTRY_DETECTOR_TILT,
    tags::CONVOLUTION_KERNEL,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::MODALITY_LUT_SEQUENCE,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::EXTENDED_OFFSET_TABLE,
];

/// One image file of a series.
pub(super) struct Shot {
    pub path: PathBuf,
    pub patient: Patient,
    pub study: String,
    pub series: String,
    pub description: String,
    pub modality: String,
    pub class: String,
    pub instance: String,
    pub kernel: String,
    pub localizer: bool,
    pub padded: bool,
    pub tilt: f64,
    pub thickness: Option<f64>,
    pub layout: Layout,
    pub store: Store,
    /// What each frame says of itself; a classic multi-frame file, which says nothing, has one entry for all.
    pub frames: Vec<Frame>,
}

/// Where in its file a data set lies, and the pixels in it.
#[derive(Clone, Copy)]
pub(super) struct Store {
    pub syntax: Syntax,
    pub start: u64,
    /// Length of the file.
    pub held: u64,
    pub pixels: Element,
}

/// One plane of a file.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub place: Option<Place>,
    pub thickness: Option<f64>,
    pub slope: f64,
    /// Whether slope and intercept are there; they are 1 and 0 otherwise.
    pub rescaled: bool,
    pub intercept: f64,
}

/// Where a plane lies, in DICOM's LPS millimetres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub position: DVec3,
    /// Unit vectors along a row (index i grows) and down a column (index j grows).
    pub row: DVec3,
    pub column: DVec3,
    /// Between voxels along the row, and between rows.
    pub spacing: [f64; 2],
}

/// The data set of the elements that `wanted` picks, without the pixel data.
pub(super) fn parse(path: &Path, head: &Head, wanted: impl Fn(Tag) -> bool) -> Result<InMemDicomObject> {
    let mut bytes = Vec::new();
    for element in head.scan.elements.iter().filter(|element| wanted(element.tag)) {
        bytes.extend_from_slice(&head.bytes[element.start..element.end]);
    }
    let syntax = match (head.syntax.explicit, head.syntax.big) {
        (false, _) => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        (true, false) => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        (true, true) => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
    };
    // What dicom-rs says of a value may quote it, and a value may be a name: it is not passed on.
    InMemDicomObject::read_dataset_with_ts(&bytes[..], &syntax).map_err(|_| {
        Error::new(path, Kind::Format, "an intact DICOM header", "elements that cannot be read")
            .hint("the file is damaged; export it again")
    })
}

/// Reads what we need of an image's header.
pub(super) fn shot(path: &Path, head: &Head, pixels: Element) -> Result<Shot> {
    let object = parse(path, head, |tag| WANTED.contains(&tag))?;
    let text = |tag| text(&object, tag);
    Ok(Shot {
        path: path.to_owned(),
        patient: Patient { id: text(tags::PATIENT_ID), name: text(tags::PATIENT_NAME) },
        study: text(tags::STUDY_INSTANCE_UID),
        series: text(tags::SERIES_INSTANCE_UID),
        description: text(tags::SERIES_DESCRIPTION),
        modality: text(tags::MODALITY),
        class: text(tags::SOP_CLASS_UID),
        instance: text(tags::SOP_INSTANCE_UID),
        kernel: text(tags::CONVOLUTION_KERNEL),
        localizer: text(tags::IMAGE_TYPE).split('\\').any(|word| word.trim() == "LOCALIZER"),
        padded: object.get(tags::PIXEL_PADDING_VALUE).is_some(),
        tilt: numbers(&object, tags::GANTRY_DETECTOR_TILT).first().copied().unwrap_or(0.0),
        thickness: positive(&object, tags::SLICE_THICKNESS),
        layout: Layout::of(&object, head),
        store: Store { syntax: head.syntax, start: head.start, held: head.held, pixels },
        frames: frames(path, &object)?,
    })
}

/// What the frames say of themselves: each frame's functional groups, then the shared ones, then (where there
/// is a single frame) the top level.
fn frames(path: &Path, object: &InMemDicomObject) -> Result<Vec<Frame>> {
    let items = |tag| object.get(tag).and_then(|element| element.items());
    let shared = items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).and_then(<[_]>::first);
    let each = items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).unwrap_or_default();
    let claimed = whole(object, tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1) as usize;
    if each.is_empty() {
        let alone = (claimed == 1).then_some(object);
        let levels = [shared, alone];
        let levels: Vec<_> = levels.into_iter().flatten().collect();
        let scale = [shared, Some(object)].into_iter().flatten().collect::<Vec<_>>();
        return Ok(vec![frame(&levels, &scale)]);
    }
    if each.len() != claimed {
        return Err(Error::new(
            path,
            Kind::Format,
            format!("a functional group for each of {claimed} frames"),
            each.len().to_string(),
        )
        .hint("the file is damaged; export it again"));
    }
    let levels = |item| [Some(item), shared].into_iter().flatten().collect::<Vec<_>>();
    let scale = |item| [Some(item), shared, Some(object)].into_iter().flatten().collect::<Vec<_>>();
    Ok(each.iter().map(|item| frame(&levels(item), &scale(item))).collect())
}

/// A frame by the first of `levels` that says something, directly or in the functional group that is for it.
fn frame(levels: &[&InMemDicomObject], scale: &[&InMemDicomObject]) -> Frame {
    let within = |levels: &[&InMemDicomObject], group: Tag, tag: Tag| {
        let group = |level: &&InMemDicomObject| -> Vec<f64> {
            let item = level.get(group).and_then(|element| element.items()).and_then(<[_]>::first);
            item.map(|item| numbers(item, tag))
                .filter(|found| !found.is_empty())
                .unwrap_or(numbers(level, tag))
        };
        levels.iter().map(group).find(|found| !found.is_empty()).unwrap_or_default()
    };
    let position = within(levels, tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
    let orientation = within(levels, tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
    let spacing = within(levels, tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
    let thickness = within(levels, tags::PIXEL_MEASURES_SEQUENCE, tags::SLICE_THICKNESS);
    let value = |tag| within(scale, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tag).first().copied();
    Frame {
        place: place(&position, &orientation, &spacing),
        thickness: thickness.first().copied().filter(|&mm| mm > 0.0 && mm.is_finite()),
        slope: value(tags::RESCALE_SLOPE).unwrap_or(1.0),
        rescaled: value(tags::RESCALE_SLOPE).is_some() && value(tags::RESCALE_INTERCEPT).is_some(),
        intercept: value(tags::RESCALE_INTERCEPT).unwrap_or(0.0),
    }
}

/// `None` where something is missing or impossible. Pixel Spacing holds the distance between rows first.
fn place(position: &[f64], orientation: &[f64], spacing: &[f64]) -> Option<Place> {
    let (&[x, y, z], &[a, b, c, d, e, f], &[rows, columns]) = (position, orientation, spacing) else {
        return None;
    };
    let (position, row, column) = (DVec3::new(x, y, z), DVec3::new(a, b, c), DVec3::new(d, e, f));
    let unit = |v: DVec3| (v.length() - 1.0).abs() < 0.01;
    let right = row.dot(column).abs() < 0.01;
    let real = position.is_finite() && [rows, columns].iter().all(|&mm| mm > 0.0 && mm.is_finite());
    let place =
        Place { position, row: row.normalize(), column: column.normalize(), spacing: [columns, rows] };
    (real && unit(row) && unit(column) && right).then_some(place)
}
