//! What we need of one file's header.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dicom_core::VR;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;
use polycl_base::{Error, Kind, Result};

use super::charset;
use super::elements::{has_commas, numbers, positive, text, whole};
use super::lack::Lack;
use super::layout::Layout;
use super::patient::Patient;
use super::place::{Place, place, within};
use super::scan::{Element, Syntax};
use super::source::{BIG, Head};
use super::wanted::WANTED;

/// One image file of a series.
pub(super) struct Shot {
    pub path: PathBuf,
    pub patient: Patient,
    pub study: String,
    pub series: String,
    pub frame_of_reference: String,
    pub description: String,
    pub modality: String,
    pub class: String,
    pub instance: String,
    pub kernel: String,
    pub localizer: bool,
    /// The stored value of pixels outside the scan, if one is set.
    pub padding: Option<f64>,
    /// The unit of rescaled values; empty where none is told.
    pub unit: String,
    pub tilt: f64,
    pub thickness: Option<f64>,
    pub layout: Layout,
    pub store: Store,
    /// What each frame says of itself; a classic multi-frame file, which says nothing, has one entry for all.
    pub frames: Vec<Frame>,
    /// The lack of the first frame without a place.
    pub lack: Option<Lack>,
    /// Numbers are written with decimal commas.
    pub commas: bool,
    /// Little endian where the transfer syntax says big, or the other way round.
    pub mislabelled: bool,
    pub counts: Counts,
    /// Hashes of the frames' values once they were asked for; `None` where these cannot be read.
    pub digests: OnceLock<Option<Vec<[u8; 32]>>>,
}

/// Numbers of images by one image's header.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Counts {
    pub acquisition: String,
    pub images: Option<u32>,
    /// The files of one enhanced object.
    pub files: Option<u32>,
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

/// The data set of the elements that `wanted` picks, without the pixel data.
pub(super) fn parse(path: &Path, head: &Head, wanted: impl Fn(&Element) -> bool) -> Result<InMemDicomObject> {
    let mut bytes = Vec::new();
    for element in head.scan.elements.iter().filter(|element| wanted(element)) {
        copy(head, element, &mut bytes);
    }
    let syntax = match (head.syntax.explicit, head.syntax.big) {
        (false, _) => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        (true, false) => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        (true, true) => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
    };
    // What dicom-rs says of a value may quote it, and a value may be a name: it is not passed on.
    InMemDicomObject::read_dataset_with_ts(&bytes[..], &syntax).map_err(|_| {
        Error::new(path, Kind::Format, "an intact DICOM header", "elements that cannot be read")
            .hint("export the file again: it is damaged")
    })
}

/// Copies an element; one of unknown VR, as archives write what they do not know, with the VR that the standard has for it.
fn copy(head: &Head, element: &Element, bytes: &mut Vec<u8>) {
    let value = &head.bytes[element.value..element.end];
    let little = head.syntax == (Syntax { explicit: true, big: false });
    if !little || element.vr != VR::UN || element.length.is_none() {
        return bytes.extend_from_slice(&head.bytes[element.start..element.end]);
    }
    let vr = StandardDataDictionary.by_tag(element.tag).map(|entry| entry.vr().relaxed());
    let short = |vr: &VR| {
        matches!(vr, VR::CS | VR::DS | VR::IS | VR::LO | VR::PN | VR::SH | VR::UI)
            || (matches!(vr, VR::US | VR::SS) && value.len().is_multiple_of(2))
    };
    bytes.extend_from_slice(&head.bytes[element.start..element.start + 4]);
    match (vr.filter(short), u16::try_from(value.len())) {
        (Some(vr), Ok(length)) => {
            bytes.extend_from_slice(vr.to_string().as_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        _ => {
            bytes.extend_from_slice(b"UN\0\0");
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
    }
    bytes.extend_from_slice(value);
}

/// Reads what we need of an image's header.
pub(super) fn shot(path: &Path, head: &Head, pixels: Element) -> Result<Shot> {
    let object = parse(path, head, |element| WANTED.contains(&element.tag))?;
    let text = |tag| text(&object, tag);
    let (frames, lack) = frames(path, &object)?;
    let commas = [
        tags::IMAGE_POSITION_PATIENT,
        tags::IMAGE_ORIENTATION_PATIENT,
        tags::PIXEL_SPACING,
        tags::RESCALE_SLOPE,
        tags::RESCALE_INTERCEPT,
    ];
    Ok(Shot {
        path: path.to_owned(),
        patient: Patient {
            id: text(tags::PATIENT_ID),
            name: text(tags::PATIENT_NAME),
            born: text(tags::PATIENT_BIRTH_DATE),
        },
        study: text(tags::STUDY_INSTANCE_UID),
        series: text(tags::SERIES_INSTANCE_UID),
        frame_of_reference: text(tags::FRAME_OF_REFERENCE_UID),
        description: description(path, head, &object),
        modality: text(tags::MODALITY),
        class: text(tags::SOP_CLASS_UID),
        instance: text(tags::SOP_INSTANCE_UID),
        kernel: text(tags::CONVOLUTION_KERNEL),
        localizer: text(tags::IMAGE_TYPE).split('\\').any(|word| word.trim() == "LOCALIZER"),
        padding: numbers(&object, tags::PIXEL_PADDING_VALUE).first().copied(),
        unit: text(tags::RESCALE_TYPE),
        tilt: numbers(&object, tags::GANTRY_DETECTOR_TILT).first().copied().unwrap_or(0.0),
        thickness: positive(&object, tags::SLICE_THICKNESS),
        layout: Layout::of(&object, head),
        store: Store { syntax: head.syntax, start: head.start, held: head.held, pixels },
        frames,
        lack,
        commas: commas.into_iter().any(|tag| has_commas(&object, tag)),
        mislabelled: !head.transfer.is_empty() && head.syntax.big != (head.transfer == BIG),
        counts: Counts {
            acquisition: text(tags::ACQUISITION_NUMBER),
            images: [tags::IMAGES_IN_ACQUISITION, tags::NUMBER_OF_SLICES]
                .iter()
                .find_map(|&tag| whole(&object, tag)),
            files: whole(&object, tags::IN_CONCATENATION_TOTAL_NUMBER),
        },
        digests: OnceLock::new(),
    })
}

/// The description of the series. Several character sets are beyond dicom-rs.
fn description(path: &Path, head: &Head, object: &InMemDicomObject) -> String {
    let declared = charset::declared(object);
    let alone = |element: &Element| element.tag == tags::SERIES_DESCRIPTION;
    let decoded = declared.contains('\\').then(|| parse(path, head, alone).ok()).flatten().map(|mut raw| {
        charset::decode_all(&mut raw, &declared);
        text(&raw, tags::SERIES_DESCRIPTION)
    });
    decoded.unwrap_or_else(|| text(object, tags::SERIES_DESCRIPTION))
}

/// What the frames say of themselves: each frame's functional groups, then the shared ones, then (where there
/// is a single frame) the top level. With that, what the first one without a place lacks.
fn frames(path: &Path, object: &InMemDicomObject) -> Result<(Vec<Frame>, Option<Lack>)> {
    let items = |tag| object.get(tag).and_then(|element| element.items());
    let shared = items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).and_then(<[_]>::first);
    let each = items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).unwrap_or_default();
    let claimed = whole(object, tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1) as usize;
    if each.is_empty() {
        let alone = (claimed == 1).then_some(object);
        let levels = [shared, alone];
        let levels: Vec<_> = levels.into_iter().flatten().collect();
        let scale = [shared, Some(object)].into_iter().flatten().collect::<Vec<_>>();
        let frame = frame(&levels, &scale);
        return Ok((vec![frame], frame.place.is_none().then(|| Lack::of(&levels, object))));
    }
    if each.len() != claimed {
        return Err(Error::new(
            path,
            Kind::Format,
            format!("a functional group for each of {claimed} frames"),
            each.len().to_string(),
        )
        .hint("export the file again: it is damaged"));
    }
    let levels = |item| [Some(item), shared].into_iter().flatten().collect::<Vec<_>>();
    let scale = |item| [Some(item), shared, Some(object)].into_iter().flatten().collect::<Vec<_>>();
    let frames: Vec<Frame> = each.iter().map(|item| frame(&levels(item), &scale(item))).collect();
    let lacking = frames.iter().position(|frame| frame.place.is_none());
    let lack = lacking.map(|k| Lack::of(&levels(&each[k]), object));
    Ok((frames, lack))
}

/// A frame by what `levels` say of its place, and `scale` of its values.
fn frame(levels: &[&InMemDicomObject], scale: &[&InMemDicomObject]) -> Frame {
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
