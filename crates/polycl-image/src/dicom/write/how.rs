//! The making of a mask, for those who read its file.

/// How much of a mask is a machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automation {
    Automatic,
    Semiautomatic,
    Manual,
}

/// Where a mask comes from, as its readers are told.
#[derive(Debug, Clone)]
pub struct How {
    /// The program or method by name, such as `polycl 0.1.0`.
    pub algorithm: String,
    pub automatic: Automation,
    /// What the object holds, in a few words: the description of its series.
    pub description: String,
}

impl Automation {
    /// The defined term, which segments and ROIs share.
    pub(in crate::dicom) fn term(self) -> &'static str {
        match self {
            Self::Automatic => "AUTOMATIC",
            Self::Semiautomatic => "SEMIAUTOMATIC",
            Self::Manual => "MANUAL",
        }
    }
}
