//! The parts of an object's header that all of ours share: the patient and study of its scan, its series, and who made it.

use std::path::Path;

use dicom_core::chrono::Local;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use polycl_base::{Error, Kind, Result};

use super::codes;
use super::element::{line, sequence, text};
use super::how::How;
use super::source::Source;

/// Taken over from the scan, and there though empty.
const KEPT: [(Tag, VR); 10] = [
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::STUDY_ID, VR::SH),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::POSITION_REFERENCE_INDICATOR, VR::LO),
];

/// Taken over from the scan where it has them.
const KEPT_IF_THERE: [(Tag, VR); 18] = [
    (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH),
    (tags::STUDY_DESCRIPTION, VR::LO),
    (tags::ISSUER_OF_PATIENT_ID, VR::LO),
    (tags::PATIENT_AGE, VR::AS),
    (tags::PATIENT_SIZE, VR::DS),
    (tags::PATIENT_WEIGHT, VR::DS),
    (tags::CLINICAL_TRIAL_SPONSOR_NAME, VR::LO),
    (tags::CLINICAL_TRIAL_PROTOCOL_ID, VR::LO),
    (tags::CLINICAL_TRIAL_PROTOCOL_NAME, VR::LO),
    (tags::CLINICAL_TRIAL_SITE_ID, VR::LO),
    (tags::CLINICAL_TRIAL_SITE_NAME, VR::LO),
    (tags::CLINICAL_TRIAL_SUBJECT_ID, VR::LO),
    (tags::CLINICAL_TRIAL_SUBJECT_READING_ID, VR::LO),
    (tags::CLINICAL_TRIAL_TIME_POINT_ID, VR::LO),
    (tags::CLINICAL_TRIAL_TIME_POINT_DESCRIPTION, VR::ST),
    (tags::PATIENT_IDENTITY_REMOVED, VR::CS),
    (tags::DEIDENTIFICATION_METHOD, VR::LO),
    (tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED, VR::CS),
];

/// Without these an object belongs to nothing.
const NEEDED: [(Tag, &str); 2] =
    [(tags::STUDY_INSTANCE_UID, "StudyInstanceUID"), (tags::FRAME_OF_REFERENCE_UID, "FrameOfReferenceUID")];

/// Longer text in these elements is no name or date but a mistake, or an attack on who reads it.
const LONGEST: usize = 1024;

/// Ways of de-identification that are repeated; the standard knows about ten.
const CODES: usize = 32;

/// When a scan was made, from the most to the least precise.
const MOMENTS: [(Tag, Tag); 4] = [
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
    (tags::SERIES_DATE, tags::SERIES_TIME),
    (tags::STUDY_DATE, tags::STUDY_TIME),
];

/// Puts the patient and the study of the scan.
pub(in crate::dicom) fn put(object: &mut InMemDicomObject, path: &Path, source: &Source) -> Result<()> {
    let scan = source.header;
    // Whatever the scan was written in: its text has been decoded, and is encoded again.
    text(object, tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    for (tag, vr) in KEPT {
        text(object, tag, vr, value(scan, tag).unwrap_or_default());
    }
    keep(object, scan, &KEPT_IF_THERE);
    let methods = scan.get(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE).and_then(|e| e.items());
    if let Some(items) = methods {
        let items = items.iter().take(CODES).filter_map(code_again).collect();
        sequence(object, tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, items);
    }
    for (tag, name) in NEEDED {
        text(object, tag, VR::UI, uid(path, scan, tag, name)?);
    }
    Ok(())
}

/// Puts those of `tags` that the scan has.
pub(in crate::dicom) fn keep(object: &mut InMemDicomObject, scan: &InMemDicomObject, tags: &[(Tag, VR)]) {
    for &(tag, vr) in tags {
        if let Some(value) = value(scan, tag) {
            text(object, tag, vr, value);
        }
    }
}

/// A code of the scan without whatever else is in its item.
fn code_again(code: &InMemDicomObject) -> Option<InMemDicomObject> {
    let scheme = value(code, tags::CODING_SCHEME_DESIGNATOR)?;
    let (value, meaning) = (value(code, tags::CODE_VALUE)?, value(code, tags::CODE_MEANING)?);
    Some(codes::code(&scheme, (&value, &meaning)))
}

/// Puts the series that the object begins.
pub(in crate::dicom) fn put_series(
    object: &mut InMemDicomObject,
    scan: &InMemDicomObject,
    how: &How,
    modality: &str,
    class: &str,
) {
    let number = value(scan, tags::SERIES_NUMBER).and_then(|number| number.parse::<u32>().ok());
    // Viewers list series by number; this one stands far behind those of the scanner.
    let number = 1000 + number.filter(|&number| number < 1_000_000).unwrap_or_default();
    text(object, tags::MODALITY, VR::CS, modality);
    text(object, tags::SERIES_NUMBER, VR::IS, number.to_string());
    text(object, tags::SERIES_DESCRIPTION, VR::LO, line(&how.description, 64));
    text(object, tags::SOP_CLASS_UID, VR::UI, class);
}

/// The standard wants a serial number; a program has none but its version.
pub(in crate::dicom) fn put_equipment(object: &mut InMemDicomObject) {
    let version = env!("CARGO_PKG_VERSION");
    text(object, tags::MANUFACTURER, VR::LO, "PolyCL");
    text(object, tags::MANUFACTURER_MODEL_NAME, VR::LO, "polycl");
    text(object, tags::DEVICE_SERIAL_NUMBER, VR::LO, version);
    text(object, tags::SOFTWARE_VERSIONS, VR::LO, version);
}

/// The date and time of the scan, so that an object of it is the same whenever it is written; today
/// where the scan has none, since the standard wants one.
pub(in crate::dicom) fn moment(scan: &InMemDicomObject) -> (String, String) {
    let dated = MOMENTS.iter().find_map(|&(date, time)| {
        let date = value(scan, date).filter(|date| date.len() == 8 && digits(date))?;
        Some((date, value(scan, time)))
    });
    let (date, time) = dated.unwrap_or_else(|| (Local::now().format("%Y%m%d").to_string(), None));
    let time = time.filter(|time| time.len() >= 2 && digits(&time.replacen('.', "", 1)));
    (date, time.unwrap_or_else(|| "000000".to_owned()))
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Text of the scan, trimmed; `None` where there is none or too much.
pub(in crate::dicom) fn value(scan: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = scan.get(tag)?.to_str().ok()?;
    let value = value.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    (!value.is_empty() && value.len() <= LONGEST).then(|| value.to_owned())
}

/// A UID of the scan that must be there.
pub(in crate::dicom) fn uid(path: &Path, scan: &InMemDicomObject, tag: Tag, name: &str) -> Result<String> {
    let found = value(scan, tag);
    checked(path, &format!("a {name} in the scan's header"), found.as_deref().unwrap_or_default())
}

/// A UID as the standard spells it.
pub(in crate::dicom) fn checked(path: &Path, expected: &str, uid: &str) -> Result<String> {
    let spelt = uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if spelt && (1..=64).contains(&uid.len()) {
        return Ok(uid.to_owned());
    }
    let found = if uid.is_empty() { "no such UID".to_owned() } else { format!("{:?}", line(uid, 80)) };
    Err(Error::new(path, Kind::Format, expected, found)
        .hint("write the mask as NIfTI instead: without this UID, it cannot be tied to the scan"))
}
