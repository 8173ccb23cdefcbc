//! Elements of a data set as text and numbers.

use dicom_core::Tag;
use dicom_core::value::{PrimitiveValue, Value};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// The elements of `tags` as text, without padding; empty where absent.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let found = object.get(tag).and_then(|element| element.to_str().ok());
    found.map(|text| text.trim_matches([' ', '\0']).to_owned()).unwrap_or_default()
}

/// Numbers, also those written with a decimal comma, where that can mean nothing else; see [`has_commas`].
pub(super) fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    let Some(element) = object.get(tag) else { return Vec::new() };
    match element.value() {
        Value::Primitive(text @ (PrimitiveValue::Str(_) | PrimitiveValue::Strs(_))) => {
            // Thousands are no lengths and no cosines.
            let small =
                [tags::PIXEL_SPACING, tags::SLICE_THICKNESS, tags::IMAGE_ORIENTATION_PATIENT].contains(&tag);
            let text = text.to_raw_str();
            let numbers: Option<Vec<f64>> = text.split('\\').map(|one| number(one, small)).collect();
            numbers.unwrap_or_default()
        }
        other => other.to_multi_float64().unwrap_or_default(),
    }
}

pub(super) fn number(text: &str, small: bool) -> Option<f64> {
    let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    let Some((whole, part)) = text.split_once(',') else { return text.parse().ok() };
    let thousands = part.len() == 3 && !whole.trim_start_matches(['+', '-']).starts_with('0');
    if !part.bytes().all(|byte| byte.is_ascii_digit()) || (thousands && !small) {
        return None;
    }
    format!("{whole}.{part}").parse().ok()
}

/// True where an element's numbers are read with decimal commas.
pub(super) fn has_commas(object: &InMemDicomObject, tag: Tag) -> bool {
    text(object, tag).contains(',') && !numbers(object, tag).is_empty()
}

pub(super) fn whole(object: &InMemDicomObject, tag: Tag) -> Option<u32> {
    object.get(tag).and_then(|element| element.to_int().ok())
}

pub(super) fn positive(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    numbers(object, tag).first().copied().filter(|&mm| mm > 0.0 && mm.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_is_decimal_where_it_cannot_be_of_thousands() {
        for (text, small, expected) in [
            ("1,5000", false, Some(1.5)),
            ("-0,625 ", false, Some(-0.625)),
            ("1,500", true, Some(1.5)),
            ("-1,024", false, None),
            ("1,5,0", true, None),
            ("1,5e3", true, None),
            ("1.5\0\0", false, Some(1.5)),
            ("", true, None),
        ] {
            assert_eq!(number(text, small), expected, "{text}");
        }
    }
}
