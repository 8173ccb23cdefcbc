//! The frames: their bits, where each lies, what it shows, and which slice it was drawn on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom_core::VR;
use dicom_core::value::PrimitiveValue;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use polycl_base::{Error, Kind, Result};

use super::grid::Grid;
use crate::Mask;
use crate::dicom::Instance;
use crate::dicom::write::codes::code;
use crate::dicom::write::element::{binary, item, sequence, text};
use crate::dicom::write::reference::image;
use crate::dicom::write::shown::Shown;
use crate::dicom::write::uid::uid;
use crate::dicom::write::{Source, header};

/// One slice of one segment.
struct Frame {
    /// Counted from 1.
    segment: u16,
    /// The label's value in the mask.
    value: u16,
    slice: usize,
}

pub(super) fn put(
    object: &mut InMemDicomObject,
    path: &Path,
    source: &Source,
    mask: &Mask,
    segments: &[Shown],
    grid: &Grid,
) -> Result<()> {
    let frames: Vec<Frame> = (1..)
        .zip(segments)
        .flat_map(|(segment, of)| {
            of.slices.iter().map(move |&slice| Frame { segment, value: of.value, slice })
        })
        .collect();
    binary(object, tags::ROWS, VR::US, grid.rows() as u16);
    binary(object, tags::COLUMNS, VR::US, grid.columns() as u16);
    text(object, tags::NUMBER_OF_FRAMES, VR::IS, frames.len().to_string());
    let series = header::uid(path, source.header, tags::SERIES_INSTANCE_UID, "SeriesInstanceUID")?;
    put_dimensions(object, &uid(series.as_bytes(), "dimensions"));
    put_shared(object, source, grid);
    let images = source.instances.iter().map(|instance| image(path, instance)).collect::<Result<Vec<_>>>()?;
    put_references(object, series, source.instances, &images);
    // Positions are counted among those that occur, since the standard wants indices without gaps.
    let slices: BTreeSet<usize> = frames.iter().map(|frame| frame.slice).collect();
    let places: BTreeMap<usize, u32> = slices.into_iter().zip(1..).collect();
    let items = frames.iter().map(|frame| {
        item(|object| {
            put_derivation(object, &images[frame.slice], source.instances[frame.slice].frame);
            put_frame(object, frame, places[&frame.slice], grid);
        })
    });
    sequence(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, items.collect());
    binary(object, tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bits(path, mask, &frames)?.into()));
    Ok(())
}

/// The frames one after the other, a bit for each pixel, the lowest first. A frame begins with the
/// bit after the last one of the frame before, wherever in a byte that is.
fn bits(path: &Path, mask: &Mask, frames: &[Frame]) -> Result<Vec<u8>> {
    let pixels = mask.space.shape[0] * mask.space.shape[1];
    let bytes = pixels.checked_mul(frames.len()).map(|bits| bits.div_ceil(8).next_multiple_of(2));
    // The length of an element is a number of 32 bits, of which the last means "unknown".
    let Some(bytes) = bytes.filter(|&bytes| bytes < u32::MAX as usize) else {
        let found = format!("{} frames of {pixels} pixels", frames.len());
        return Err(Error::new(path, Kind::Request, "at most 4 GiB of frames in one object", found)
            .hint("write the labels in several files, or as NIfTI"));
    };
    let mut packed = vec![0u8; bytes];
    for (n, frame) in frames.iter().enumerate() {
        let shown = mask.plane(frame.slice).iter().enumerate().filter(|&(_, &value)| value == frame.value);
        for (pixel, _) in shown {
            let bit = n * pixels + pixel;
            packed[bit / 8] |= 1 << (bit % 8);
        }
    }
    Ok(packed)
}

/// That frames are told apart by their segment and their position.
fn put_dimensions(object: &mut InMemDicomObject, organization: &str) {
    let dimension = |pointer, group, label| {
        item(|object| {
            text(object, tags::DIMENSION_ORGANIZATION_UID, VR::UI, organization);
            binary(object, tags::DIMENSION_INDEX_POINTER, VR::AT, PrimitiveValue::from(pointer));
            binary(object, tags::FUNCTIONAL_GROUP_POINTER, VR::AT, PrimitiveValue::from(group));
            text(object, tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, label);
        })
    };
    let organizations =
        vec![item(|object| text(object, tags::DIMENSION_ORGANIZATION_UID, VR::UI, organization))];
    sequence(object, tags::DIMENSION_ORGANIZATION_SEQUENCE, organizations);
    let dimensions = vec![
        dimension(tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE, "Segment Number"),
        dimension(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, "Image Position Patient"),
    ];
    sequence(object, tags::DIMENSION_INDEX_SEQUENCE, dimensions);
}

/// What holds for all frames.
fn put_shared(object: &mut InMemDicomObject, source: &Source, grid: &Grid) {
    let thickness = header::value(source.header, tags::SLICE_THICKNESS).and_then(|text| text.parse().ok());
    let thickness = thickness.filter(|&thickness: &f64| thickness > 0.0 && thickness < 1e4);
    let shared = item(|object| {
        let measures = item(|object| grid.put_measures(object, thickness));
        sequence(object, tags::PIXEL_MEASURES_SEQUENCE, vec![measures]);
        let orientation = item(|object| grid.put_orientation(object));
        sequence(object, tags::PLANE_ORIENTATION_SEQUENCE, vec![orientation]);
    });
    sequence(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
}

fn put_frame(object: &mut InMemDicomObject, frame: &Frame, place: u32, grid: &Grid) {
    let content = item(|object| {
        let indices = PrimitiveValue::U32([u32::from(frame.segment), place].into_iter().collect());
        binary(object, tags::DIMENSION_INDEX_VALUES, VR::UL, indices);
    });
    sequence(object, tags::FRAME_CONTENT_SEQUENCE, vec![content]);
    sequence(
        object,
        tags::PLANE_POSITION_SEQUENCE,
        vec![item(|object| grid.put_position(object, frame.slice))],
    );
    let segment = item(|object| binary(object, tags::REFERENCED_SEGMENT_NUMBER, VR::US, frame.segment));
    sequence(object, tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![segment]);
}

/// Which slice a frame was drawn on.
fn put_derivation(object: &mut InMemDicomObject, image: &InMemDicomObject, frame: Option<u32>) {
    let mut image = image.clone();
    if let Some(frame) = frame {
        text(&mut image, tags::REFERENCED_FRAME_NUMBER, VR::IS, frame.to_string());
    }
    let purpose = code("DCM", ("121322", "Source image for image processing operation"));
    sequence(&mut image, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose]);
    text(&mut image, tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES");
    let derivation = item(|object| {
        sequence(object, tags::SOURCE_IMAGE_SEQUENCE, vec![image]);
        let segmentation = code("DCM", ("113076", "Segmentation"));
        sequence(object, tags::DERIVATION_CODE_SEQUENCE, vec![segmentation]);
    });
    sequence(object, tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation]);
}

/// The whole series, each instance once: viewers look there for the scan under a segmentation.
fn put_references(
    object: &mut InMemDicomObject,
    series: String,
    instances: &[Instance],
    images: &[InMemDicomObject],
) {
    let mut seen = BTreeSet::new();
    let once = instances.iter().zip(images).filter(|(instance, _)| seen.insert(&instance.sop_instance));
    let images = once.map(|(_, image)| image.clone()).collect();
    let referenced = item(|object| {
        sequence(object, tags::REFERENCED_INSTANCE_SEQUENCE, images);
        text(object, tags::SERIES_INSTANCE_UID, VR::UI, series);
    });
    sequence(object, tags::REFERENCED_SERIES_SEQUENCE, vec![referenced]);
}
