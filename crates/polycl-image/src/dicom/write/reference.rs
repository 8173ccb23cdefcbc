//! References to the images of a series.

use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use polycl_base::Result;

use super::element::{item, text};
use super::header;
use crate::dicom::Instance;

/// A reference to an instance of the series.
pub(in crate::dicom) fn image(path: &Path, instance: &Instance) -> Result<InMemDicomObject> {
    let class = header::checked(path, "the SOP class of each slice of the series", &instance.sop_class)?;
    let uid =
        header::checked(path, "the SOP instance UID of each slice of the series", &instance.sop_instance)?;
    Ok(item(|object| {
        text(object, tags::REFERENCED_SOP_CLASS_UID, VR::UI, class);
        text(object, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, uid);
    }))
}
