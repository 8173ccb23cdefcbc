//! How the label of a scan was made: by whom, what it draws, and how far it can be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::origin::{Origin, Records};
use super::pairs::{Label, Pair};
use super::propagated::Trust;
use crate::{Result, Space};

#[derive(Default)]
pub(super) struct Making {
    pub(super) origin: Origin,
    /// Organs that are kept and that the label draws or, where it was propagated, that were looked for.
    pub(super) organs: BTreeSet<String>,
    pub(super) trust: BTreeMap<String, Trust>,
}

impl Making {
    /// The origin as it is stated, else as the files beside the masks tell. Of several masks the
    /// least believable counts.
    ///
    /// # Errors
    /// As [`Records::maker`]; [`crate::Kind::Request`] where a hand is stated and a file beside the
    /// mask knows of a machine; [`crate::Kind::Format`] for a slice that the scan does not have.
    pub(super) fn of(
        pair: &Pair,
        space: &Space,
        kept: &Range<usize>,
        numbering: &BTreeMap<String, u16>,
        records: &mut Records,
    ) -> Result<Self> {
        let mut making = Self { origin: pair.origin.unwrap_or_default(), ..Self::default() };
        for (organ, mask, value) in pair.label.iter().flat_map(Label::parts) {
            if !numbering.contains_key(organ) {
                continue;
            }
            let maker = records.maker(mask)?;
            match (&maker, pair.origin) {
                (Some(maker), Some(Origin::Hand)) => {
                    return Err(maker.refused(mask, "a mask drawn by hand, as is stated"));
                }
                (Some(maker), None) => making.origin = making.origin.max(maker.origin),
                _ => {}
            }
            if let Some(propagation) = maker.and_then(|maker| maker.propagation) {
                let Some(trust) = propagation.trust(value, space, kept)? else { continue };
                making.trust.insert(organ.to_owned(), trust);
            }
            making.organs.insert(organ.to_owned());
        }
        Ok(making)
    }
}
