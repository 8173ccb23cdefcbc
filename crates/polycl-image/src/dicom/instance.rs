//! The images behind the slices of a volume.

/// Which image a slice of the volume comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub sop_class: String,
    pub sop_instance: String,
    /// Counted from 1, as DICOM does, for multi-frame files; `None` for the others.
    pub frame: Option<u32>,
}
