//! Elements of a data set as text and numbers.

use dicom_core::Tag;
use dicom_object::InMemDicomObject;

/// The elements of `tags` as text, without padding; empty where absent.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let found = object.get(tag).and_then(|element| element.to_str().ok());
    found.map(|text| text.trim_matches([' ', '\0']).to_owned()).unwrap_or_default()
}

pub(super) fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    object.get(tag).and_then(|element| element.to_multi_float64().ok()).unwrap_or_default()
}

pub(super) fn whole(object: &InMemDicomObject, tag: Tag) -> Option<u32> {
    object.get(tag).and_then(|element| element.to_int().ok())
}

pub(super) fn positive(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    numbers(object, tag).first().copied().filter(|&mm| mm > 0.0 && mm.is_finite())
}
