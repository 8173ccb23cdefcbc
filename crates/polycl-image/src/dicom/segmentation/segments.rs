//! What was segmented: which labels a mask has, and how each is told.

use dicom_core::VR;
use dicom_core::value::PrimitiveValue;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::dicom::write::element::{binary, item, line, sequence, text};
use crate::dicom::write::shown::{self, Shown};
use crate::dicom::write::{Automation, How, codes};

pub(super) fn put(object: &mut InMemDicomObject, segments: &[Shown], how: &How) {
    let items = (1..).zip(segments).map(|(number, segment)| described(number, segment, how));
    sequence(object, tags::SEGMENT_SEQUENCE, items.collect());
    // A voxel of a mask has one label.
    text(object, tags::SEGMENTS_OVERLAP, VR::CS, "NO");
}

fn described(number: u16, segment: &Shown, how: &How) -> InMemDicomObject {
    item(|object| {
        binary(object, tags::SEGMENT_NUMBER, VR::US, number);
        text(object, tags::SEGMENT_LABEL, VR::LO, line(&segment.name, 64));
        text(object, tags::SEGMENT_DESCRIPTION, VR::ST, format!("label {}", segment.value));
        text(object, tags::SEGMENT_ALGORITHM_TYPE, VR::CS, how.automatic.term());
        if how.automatic != Automation::Manual {
            text(object, tags::SEGMENT_ALGORITHM_NAME, VR::LO, line(&how.algorithm, 64));
        }
        let colour = PrimitiveValue::U16(colour(number).into_iter().collect());
        binary(object, tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, VR::US, colour);
        codes::put(object, &segment.name);
    })
}

/// A colour as the standard scales it.
fn colour(number: u16) -> [u16; 3] {
    let [lightness, a, b] = shown::colour(number);
    let scaled = |value: f64, low: f64, range: f64| ((value - low) / range * 65_535.0).round() as u16;
    [scaled(lightness, 0.0, 100.0), scaled(a, -128.0, 255.0), scaled(b, -128.0, 255.0)]
}
