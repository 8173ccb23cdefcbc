//! Elements of a data set in one line each.

use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_object::InMemDicomObject;

/// Puts text, which for several values has backslashes between them.
pub(in crate::dicom) fn text(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: impl Into<String>) {
    object.put_str(tag, vr, value);
}

/// Puts numbers with decimals; see [`decimal`].
pub(in crate::dicom) fn decimals(object: &mut InMemDicomObject, tag: Tag, values: &[f64]) {
    let values: Vec<String> = values.iter().map(|&value| decimal(value)).collect();
    text(object, tag, VR::DS, values.join("\\"));
}

pub(in crate::dicom) fn binary(
    object: &mut InMemDicomObject,
    tag: Tag,
    vr: VR,
    value: impl Into<PrimitiveValue>,
) {
    object.put(DataElement::new(tag, vr, value.into()));
}

pub(in crate::dicom) fn sequence(object: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}

/// An item of a sequence, filled by `fill`.
pub(in crate::dicom) fn item(fill: impl FnOnce(&mut InMemDicomObject)) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    fill(&mut object);
    object
}

/// One line of at most `length` characters, without those that the standard keeps for itself.
pub(in crate::dicom) fn line(value: &str, length: usize) -> String {
    let plain = value.chars().map(|c| if c == '\\' || c.is_control() { ' ' } else { c });
    plain.take(length).collect::<String>().trim().to_owned()
}

/// The longest text that the standard allows for a number.
const LENGTH: usize = 16;

/// A number below 1e10 in at most 16 characters, with as many decimals as these hold: six and more.
pub(in crate::dicom) fn decimal(value: f64) -> String {
    let shortest = format!("{value}");
    if shortest.len() <= LENGTH {
        return if value == 0.0 { "0".to_owned() } else { shortest };
    }
    let whole = format!("{:.0}", value.trunc()).len().max(if value < 0.0 { 2 } else { 1 });
    // Rounding may add a digit before the point, as in 9.99999...
    let digits = (0..LENGTH - whole).rev().map(|decimals| format!("{value:.decimals$}"));
    let text = digits.into_iter().find(|text| text.len() <= LENGTH).unwrap_or_default();
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if matches!(text, "-0" | "") { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_short_and_near() {
        let values = [0.0, -0.0, 1.0, -1.0, 0.1 + 0.2, -1.0 / 3.0, 9.999_999_999_999_999, 1e-17, -1e-17];
        let large = [-12_345.678_901_234_5, 123_456_789.123_456_78, -9_999_999_999.9, 0.5f64.sqrt(), -9.5];
        for value in values.into_iter().chain(large) {
            let text = decimal(value);
            assert!(text.len() <= LENGTH && !text.ends_with('.') && text != "-0", "{text}");
            let back: f64 = text.parse().unwrap();
            assert!((back - value).abs() <= 1e-13_f64.max(value.abs() * 1e-12), "{value} became {text}");
        }
        assert_eq!(decimal(-0.0), "0");
        assert_eq!(decimal(-1.0 / 3.0), "-0.3333333333333");
    }

    #[test]
    fn lines_hold_no_separator() {
        assert_eq!(line(" liver\\left\nlobe ", 64), "liver left lobe");
        assert_eq!(line("Überlänge", 4), "Über");
    }
}
