//! The making of a scan's label: by whom, what it draws, and how far it can be believed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use polycl_base::{Result, some};
use polycl_image::{Space, files};

use super::pair::{Label, Pair};
use super::provenance::propagation::Pixels;
use super::provenance::{Maker, Origin, Records, Trust};

#[derive(Default)]
pub(super) struct Making {
    pub(super) origin: Origin,
    /// Organs that are kept and that the label draws or, where it was propagated, that were looked for.
    pub(super) organs: BTreeSet<String>,
    pub(super) trust: BTreeMap<String, Trust>,
    /// Pixels of organs that were propagated, as `propagate.csv` tells; none where it says nothing of one.
    told: BTreeMap<String, Option<Pixels>>,
    /// Files that say that another program made masks of the scan, which program, and how.
    pub(super) programs: BTreeSet<(PathBuf, &'static str, Origin)>,
    /// Sentences about what is odd about the headers of the masks, and how they lie on the scan.
    pub(super) notes: Vec<String>,
}

impl Making {
    /// The origin as it is stated, else as the files beside the masks tell. Of several masks the
    /// least believable counts.
    ///
    /// # Errors
    /// As [`Records::maker`]; [`polycl_base::Kind::Request`] where a hand is stated and a file beside the
    /// mask knows of a machine; [`polycl_base::Kind::Format`] for a slice that the scan does not have.
    pub(super) fn of(
        pair: &Pair,
        space: &Space,
        kept: &Range<usize>,
        numbering: &BTreeMap<String, u16>,
        records: &mut Records,
    ) -> Result<Self> {
        let parts = pair.label.iter().flat_map(Label::parts);
        let parts: Vec<_> = parts.filter(|(organ, ..)| numbering.contains_key(*organ)).collect();
        let (mut makers, mut overridden) = (BTreeMap::new(), BTreeSet::new());
        // Of a DICOM object each structure has a maker, of other files all that is in them.
        let key = |mask: &'_ Path, value: Option<u16>| value.filter(|_| files::case_name(mask).is_none());
        for &(_, mask, value) in &parts {
            if let Entry::Vacant(entry) = makers.entry((mask, key(mask, value))) {
                entry.insert(maker((mask, key(mask, value)), pair.origin, records, &mut overridden)?);
            }
        }
        let told = makers.values().flatten().map(|maker| maker.origin).max().unwrap_or_default();
        let programs = makers
            .values()
            .flatten()
            .filter_map(|maker| Some((maker.record.clone(), maker.program?, maker.origin)));
        let programs = programs.collect();
        let notes = overridden.into_iter().collect();
        let mut making = Self { origin: pair.origin.unwrap_or(told), programs, notes, ..Self::default() };
        for (organ, mask, value) in parts {
            let maker = makers[&(mask, key(mask, value))].as_ref();
            if let Some(propagation) = maker.and_then(|maker| maker.propagation.as_ref()) {
                making.told.insert(organ.to_owned(), propagation.pixels(value, space)?);
                let Some(trust) = propagation.trust(value, space, kept)? else { continue };
                making.trust.insert(organ.to_owned(), trust);
            } else if maker.is_none() && pair.origin.is_none() && !told.is_hand() {
                // A person drew it, and a machine the organs beside it.
                making.trust.insert(organ.to_owned(), Trust::full(kept.len(), true));
            }
            making.organs.insert(organ.to_owned());
        }
        Ok(making)
    }

    /// True where `propagate.csv` tells of slices by their numbers.
    pub(super) fn is_propagated(&self) -> bool {
        !self.told.is_empty()
    }

    /// Sentences about organs of which the mask, whose pixels of each label in every slice of the file
    /// are given, is not what propagation left.
    pub(super) fn surprises(
        &self,
        pixels: &BTreeMap<u16, Vec<u64>>,
        numbering: &BTreeMap<String, u16>,
    ) -> Vec<String> {
        let (mut changed, mut untold) = (Vec::new(), Vec::new());
        for (organ, told) in &self.told {
            let found = pixels.get(&numbering[organ]);
            match (told, found) {
                (None, Some(_)) => untold.push(organ.as_str()),
                (Some(told), found) if told.differ(found.map_or(&[], Vec::as_slice)) => {
                    changed.push(organ.as_str());
                }
                _ => {}
            }
        }
        let sentences = [
            (
                changed,
                "its mask has changed since propagate.csv was written; a corrected mask belongs in another folder",
            ),
            (untold, "propagate.csv has no rows of it, though the mask shows it; it is left out"),
        ];
        let sentences = sentences.into_iter().filter(|(organs, _)| !organs.is_empty());
        sentences.map(|(organs, text)| format!("{}: {text}", some(&organs))).collect()
    }
}

/// The machine that made a mask, which must not be stated to be drawn by hand then.
fn maker(
    (mask, value): (&Path, Option<u16>),
    stated: Option<Origin>,
    records: &mut Records,
    overridden: &mut BTreeSet<String>,
) -> Result<Option<Maker>> {
    match records.maker_of(mask, value)? {
        Some(maker) if stated == Some(Origin::Hand) && maker.program.is_none() => {
            Err(maker.refused(mask, "a mask drawn by hand, as --origin or the manifest states"))
        }
        // Nobody but a person can know that a mask was corrected since.
        Some(Maker { record, origin, program: Some(program), .. }) if stated == Some(Origin::Hand) => {
            overridden.insert(format!(
                "its mask counts as drawn by hand, as stated, though {} says that {program} made it ({origin})",
                record.display(),
            ));
            Ok(None)
        }
        maker => Ok(maker),
    }
}
