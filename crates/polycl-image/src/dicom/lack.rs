//! The words for an image that does not say where it lies.

use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use polycl_base::{Error, Kind};

use super::elements::text;
use super::place::{directions, point, sides, within};

/// Values are repeated up to this many characters.
const SHOWN: usize = 64;

/// The part of an image's place that is missing or unusable, and what stands there.
#[derive(Debug, Clone)]
pub(super) struct Lack {
    expected: String,
    found: String,
    hint: &'static str,
}

impl Lack {
    pub fn error(&self, path: &Path) -> Error {
        Error::new(path, Kind::Geometry, &*self.expected, &*self.found).hint(self.hint)
    }

    /// The lack of a frame, by the levels that might say its place.
    pub fn of(levels: &[&InMemDicomObject], object: &InMemDicomObject) -> Self {
        let parts = [
            ("a position", tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT),
            ("an orientation", tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT),
            ("a pixel spacing", tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING),
        ];
        let missing: Vec<&str> = parts
            .iter()
            .filter(|(_, group, tag)| stands(levels, *group, *tag).is_empty())
            .map(|part| part.0)
            .collect();
        if !missing.is_empty() {
            let expected = format!("{} for each image", list(&missing));
            return Self {
                expected,
                found: format!("images without {}", missing[0]),
                hint: hint(&missing, object),
            };
        }
        let usable = |group: Tag, tag: Tag| {
            let numbers = within(levels, group, tag);
            match tag {
                tags::IMAGE_POSITION_PATIENT => point(&numbers).is_some(),
                tags::IMAGE_ORIENTATION_PATIENT => directions(&numbers).is_some(),
                _ => sides(&numbers).is_some(),
            }
        };
        let bad = parts.iter().find(|(_, group, tag)| !usable(*group, *tag)).unwrap_or(&parts[0]);
        let found = format!("'{}'", shown(&stands(levels, bad.1, bad.2)));
        let expected = format!("{} for each image", bad.0);
        Self { expected, found, hint: "export the series again: the header is damaged" }
    }
}

/// The text of the first level that holds some.
fn stands(levels: &[&InMemDicomObject], group: Tag, tag: Tag) -> String {
    let of = |level: &&InMemDicomObject| {
        let item = level.get(group).and_then(|element| element.items()).and_then(<[_]>::first);
        item.map(|item| text(item, tag)).filter(|found| !found.is_empty()).unwrap_or_else(|| text(level, tag))
    };
    levels.iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Numbers as they stand; anything else might be of the patient.
fn shown(text: &str) -> String {
    let number = |c: char| c.is_ascii_digit() || "\\.,+- ".contains(c);
    text.chars().take(SHOWN).map(|c| if number(c) { c } else { '?' }).collect()
}

fn hint(missing: &[&str], object: &InMemDicomObject) -> &'static str {
    if missing != ["a pixel spacing"] {
        return "name the series of the scan itself: a screenshot, a photograph or a projection has no place in the patient";
    }
    if object.get(tags::IMAGER_PIXEL_SPACING).is_some() {
        return "export the series with Pixel Spacing: Imager Pixel Spacing is there, but is measured at the detector, not in the patient";
    }
    if object.get(tags::NOMINAL_SCANNED_PIXEL_SPACING).is_some() {
        return "export the series with Pixel Spacing: Nominal Scanned Pixel Spacing is there, but is that of a scanned film";
    }
    "export the series with Pixel Spacing: without a spacing, nothing can be measured in mm"
}

fn list(words: &[&str]) -> String {
    match words {
        [before @ .., last] if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => words.concat(),
    }
}
