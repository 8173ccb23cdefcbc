//! What was segmented: which labels a mask has, and how each is told.

use std::collections::BTreeMap;

use dicom_core::VR;
use dicom_core::value::PrimitiveValue;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::codes;
use super::element::{binary, item, line, sequence, text};
use super::how::{Automation, How};
use crate::Mask;
use crate::names::Names;

pub(super) struct Segment {
    /// The label's value in the mask.
    pub(super) value: u16,
    name: String,
    /// The slices that show it, ascending; one without voxels stands in the first.
    pub(super) slices: Vec<usize>,
}

/// The labels with voxels, by value; all that have names where there is no voxel at all.
pub(super) fn of(mask: &Mask, names: &Names) -> Vec<Segment> {
    let mut slices: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for k in 0..mask.space.shape[2] {
        let mut last = 0;
        // Neighbours mostly agree, and only changes are looked at.
        for &value in mask.plane(k) {
            if value != last && value != 0 {
                let seen = slices.entry(value).or_default();
                if seen.last() != Some(&k) {
                    seen.push(k);
                }
            }
            last = value;
        }
    }
    if slices.is_empty() {
        slices = names.keys().filter(|&&value| value != 0).map(|&value| (value, vec![0])).collect();
    }
    let name = |value: u16| names.get(&value).cloned().unwrap_or_else(|| format!("label {value}"));
    slices.into_iter().map(|(value, slices)| Segment { value, name: name(value), slices }).collect()
}

pub(super) fn put(object: &mut InMemDicomObject, segments: &[Segment], how: &How) {
    let items = (1..).zip(segments).map(|(number, segment)| described(number, segment, how));
    sequence(object, tags::SEGMENT_SEQUENCE, items.collect());
    // A voxel of a mask has one label.
    text(object, tags::SEGMENTS_OVERLAP, VR::CS, "NO");
}

fn described(number: u16, segment: &Segment, how: &How) -> InMemDicomObject {
    item(|object| {
        binary(object, tags::SEGMENT_NUMBER, VR::US, number);
        text(object, tags::SEGMENT_LABEL, VR::LO, line(&segment.name, 64));
        text(object, tags::SEGMENT_DESCRIPTION, VR::ST, format!("label {}", segment.value));
        let automatic = match how.automatic {
            Automation::Automatic => "AUTOMATIC",
            Automation::Semiautomatic => "SEMIAUTOMATIC",
            Automation::Manual => "MANUAL",
        };
        text(object, tags::SEGMENT_ALGORITHM_TYPE, VR::CS, automatic);
        if how.automatic != Automation::Manual {
            text(object, tags::SEGMENT_ALGORITHM_NAME, VR::LO, line(&how.algorithm, 64));
        }
        let colour = PrimitiveValue::U16(colour(number).into_iter().collect());
        binary(object, tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, VR::US, colour);
        codes::put(object, &segment.name);
    })
}

/// A colour in CIE L*a*b*, as the standard scales it: hues a golden angle apart, so that however
/// many there are, neighbouring numbers differ, all as light and as strong as each other.
fn colour(number: u16) -> [u16; 3] {
    const GOLDEN: f64 = 137.507_764;
    let (lightness, strength) = (68.0, 45.0);
    let (b, a) = (f64::from(number) * GOLDEN).to_radians().sin_cos();
    let scaled = |value: f64, low: f64, range: f64| ((value - low) / range * 65_535.0).round() as u16;
    let tint = |value: f64| scaled(strength * value, -128.0, 255.0);
    [scaled(lightness, 0.0, 100.0), tint(a), tint(b)]
}
