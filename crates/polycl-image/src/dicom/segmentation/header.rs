//! What a segmentation says of itself as a whole: the patient and study of its scan, and who made it.

use std::path::Path;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use polycl_base::Result;

use crate::dicom::write::element::{binary, line, text};
use crate::dicom::write::header::{keep, moment, put_equipment, put_series, value};
use crate::dicom::write::{Automation, How, Source, header};

/// Taken over from the scan where it has them: they are of images.
const KEPT_IF_THERE: [(Tag, VR); 3] = [
    (tags::BODY_PART_EXAMINED, VR::CS),
    (tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS),
    (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS),
];

pub(super) fn put(object: &mut InMemDicomObject, path: &Path, source: &Source, how: &How) -> Result<()> {
    let scan = source.header;
    header::put(object, path, source)?;
    keep(object, scan, &KEPT_IF_THERE);
    put_series(object, scan, how, "SEG", uids::SEGMENTATION_STORAGE);
    put_equipment(object);
    put_content(object, scan, how);
    put_pixels(object, scan);
    Ok(())
}

fn put_content(object: &mut InMemDicomObject, scan: &InMemDicomObject, how: &How) {
    let (date, time) = moment(scan);
    text(object, tags::CONTENT_DATE, VR::DA, date);
    text(object, tags::CONTENT_TIME, VR::TM, time);
    text(object, tags::INSTANCE_NUMBER, VR::IS, "1");
    let label = if how.automatic == Automation::Manual { "MANUAL" } else { "SEGMENTATION" };
    text(object, tags::CONTENT_LABEL, VR::CS, label);
    text(object, tags::CONTENT_DESCRIPTION, VR::LO, line(&how.description, 64));
    text(object, tags::CONTENT_CREATOR_NAME, VR::PN, "");
}

fn put_pixels(object: &mut InMemDicomObject, scan: &InMemDicomObject) {
    text(object, tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY");
    text(object, tags::SEGMENTATION_TYPE, VR::CS, "BINARY");
    // Said of the scan: what was lost there is not known to the mask either.
    let lossy = value(scan, tags::LOSSY_IMAGE_COMPRESSION).is_some_and(|value| value == "01");
    text(object, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, if lossy { "01" } else { "00" });
    text(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    for (tag, number) in [
        (tags::SAMPLES_PER_PIXEL, 1u16),
        (tags::BITS_ALLOCATED, 1),
        (tags::BITS_STORED, 1),
        (tags::HIGH_BIT, 0),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        binary(object, tag, VR::US, number);
    }
}
