//! How the label of a scan was made: by whom, what it draws, and how far it can be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::origin::{Origin, Records};
use super::pairs::Pair;
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
        for (mask, organs) in pair.label.iter().flat_map(|label| label.files()) {
            let organs = organs.into_iter().filter(|(organ, _)| numbering.contains_key(*organ));
            let organs: Vec<_> = organs.collect();
            if organs.is_empty() {
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
            let Some(propagation) = maker.and_then(|maker| maker.propagation) else {
                making.organs.extend(organs.into_iter().map(|(organ, _)| organ.to_owned()));
                continue;
            };
            for (organ, value) in organs {
                if let Some(trust) = propagation.trust(value, space, kept)? {
                    making.organs.insert(organ.to_owned());
                    making.trust.insert(organ.to_owned(), trust);
                }
            }
        }
        Ok(making)
    }
}
