//! A slice to choose from.

use crate::select::SliceId;

pub(super) struct Candidate {
    pub(super) id: SliceId,
    pub(super) height: Option<Height>,
    /// True if it is drawn already.
    pub(super) drawn: bool,
}

/// The place of a slice in an organ, from 0 at the lowest slice that shows it to 1 at the highest.
#[derive(Debug, Clone, PartialEq)]
pub struct Height {
    pub organ: String,
    pub at: f64,
}
