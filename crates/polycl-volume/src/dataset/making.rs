//! How the label of a scan was made: by whom, what it draws, and how far it can be believed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use super::origin::{Maker, Origin, Records};
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
        let parts = pair.label.iter().flat_map(Label::parts);
        let parts: Vec<_> = parts.filter(|(organ, ..)| numbering.contains_key(*organ)).collect();
        let mut makers = BTreeMap::new();
        for &(_, mask, _) in &parts {
            if let Entry::Vacant(entry) = makers.entry(mask) {
                entry.insert(maker(mask, pair.origin, records)?);
            }
        }
        let told = makers.values().flatten().map(|maker| maker.origin).max().unwrap_or_default();
        let mut making = Self { origin: pair.origin.unwrap_or(told), ..Self::default() };
        for (organ, mask, value) in parts {
            if let Some(propagation) = makers[mask].as_ref().and_then(|maker| maker.propagation.as_ref()) {
                let Some(trust) = propagation.trust(value, space, kept)? else { continue };
                making.trust.insert(organ.to_owned(), trust);
            }
            making.organs.insert(organ.to_owned());
        }
        Ok(making)
    }
}

/// The machine that made a mask, which must not be stated to be drawn by hand then.
fn maker(mask: &Path, stated: Option<Origin>, records: &mut Records) -> Result<Option<Maker>> {
    match records.maker(mask)? {
        Some(maker) if stated == Some(Origin::Hand) => {
            Err(maker.refused(mask, "a mask drawn by hand, as is stated"))
        }
        maker => Ok(maker),
    }
}
