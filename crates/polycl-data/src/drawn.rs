//! Which slices of a mask a person has drawn, where not all are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, counted, only, table};
use polycl_image::Space;
use polycl_image::orient::Reorientation;

use super::Scan;
use super::presence::{ranges_of, within};
use super::provenance::Trust;

/// A CSV file of `scan,slice` and maybe `organ`, a row for each slice that is drawn, counted as those of
/// [`super::Ranges`]; without an organ, all of the scan's. Masks of scans without a row are whole.
#[derive(Debug)]
pub struct DrawnSlices {
    file: PathBuf,
    /// By scan, in file order; the organ, if one is named.
    known: BTreeMap<String, BTreeSet<(usize, Option<String>)>>,
}

impl DrawnSlices {
    /// # Errors
    /// [`Kind::Format`] where a row is not as described above, or where there is none.
    pub fn read(file: &Path) -> Result<Self> {
        let mut known: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
        for row in table::read(file, &["scan", "slice"], &["organ"])? {
            let text = row.need("slice", file)?;
            let slice =
                table::whole(text).ok_or_else(|| row.error(file, Kind::Format, "a slice from 0", text))?;
            let organ = row.get("organ").map(str::to_owned);
            known.entry(row.need("scan", file)?.to_owned()).or_default().insert((slice, organ));
        }
        if known.is_empty() {
            return Err(Error::new(file, Kind::Format, "a row for each drawn slice", "no rows"));
        }
        Ok(Self { file: file.to_path_buf(), known })
    }

    /// Refuses scans that are not among the cases, and organs that no mask of the import has.
    ///
    /// # Errors
    /// [`Kind::Pairing`], [`Kind::Labels`].
    pub(super) fn check(&self, cases: &BTreeSet<&str>, organs: &BTreeMap<String, u16>) -> Result<()> {
        super::presence::check_cases(&self.file, self.known.keys(), cases)?;
        let mut named = self.known.values().flatten().filter_map(|(_, organ)| organ.as_ref());
        match named.find(|organ| !organs.contains_key(*organ)) {
            Some(unknown) => {
                let expected = format!("a mask of '{unknown}', whose drawn slices it names");
                Err(Error::new(&self.file, Kind::Labels, expected, only(organs.keys(), "organ in the masks")))
            }
            None => Ok(()),
        }
    }

    /// Refuses rows of a scan of which nobody has drawn a mask.
    ///
    /// # Errors
    /// [`Kind::Labels`].
    pub(super) fn check_mask(&self, scan: &Scan) -> Result<()> {
        let drawn = scan.labelled() && scan.origin.is_hand();
        if drawn || !self.known.contains_key(&scan.case) {
            return Ok(());
        }
        let found = if scan.labelled() { scan.origin.to_string() } else { "no mask".to_owned() };
        Err(Error::new(&self.file, Kind::Labels, format!("a mask of {} drawn by hand", scan.case), found)
            .hint("leave out the rows of that scan"))
    }

    /// For each kept slice of the store, true if an organ of a case is drawn; `None` where no row speaks of it.
    ///
    /// # Errors
    /// [`Kind::Request`] for a slice that the scan does not have.
    pub(super) fn of(
        &self,
        case: &str,
        organ: &str,
        space: &Space,
        kept: &Range<usize>,
    ) -> Result<Option<Vec<bool>>> {
        let Some(rows) = self.known.get(case) else { return Ok(None) };
        let canonical = Reorientation::to_canonical(space);
        let mut drawn = vec![false; space.shape[canonical.slice_axis()]];
        let mut spoken = false;
        for (slice, named) in rows {
            let Some(place) = (*slice < drawn.len()).then(|| canonical.slice_to_canonical(*slice, space))
            else {
                let expected = format!("drawn slices below {} in {case}", drawn.len());
                return Err(Error::new(&self.file, Kind::Request, expected, slice.to_string())
                    .hint("count slices from 0, in the order of the file"));
            };
            if named.as_ref().is_none_or(|named| named == organ) {
                (drawn[place], spoken) = (true, true);
            }
        }
        Ok(spoken.then(|| drawn[kept.clone()].to_vec()))
    }

    /// True if a row speaks of an organ of a case.
    pub(super) fn tells(&self, case: &str, organ: &str) -> bool {
        let mut rows = self.known.get(case).into_iter().flatten();
        rows.any(|(_, named)| named.as_ref().is_none_or(|named| named == organ))
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// The knowledge of an organ whose mask a person drew in some slices: `shown` are those of the mask that show it,
/// `range` those that a person has said to, `drawn` those that a table lists.
pub(super) struct Part<'a> {
    pub(super) shown: &'a [[usize; 2]],
    pub(super) range: Option<&'a [[usize; 2]]>,
    pub(super) drawn: Option<&'a [bool]>,
}

impl Part<'_> {
    /// True if the mask of a slice is as a person meant it: it is drawn, or lies beyond the ends that were named.
    /// Without a table, slices within the range of which the mask shows nothing are not drawn.
    fn exact(&self, slice: usize) -> bool {
        let absent = self.range.is_some_and(|range| !within(range, slice));
        let drawn = match self.drawn {
            Some(drawn) => drawn[slice],
            None => within(self.shown, slice) || self.range.is_none(),
        };
        absent || drawn
    }

    /// The trust in each slice of the scan; `None` where the mask is whole.
    pub(super) fn trust(&self, slices: usize) -> Option<Trust> {
        let exact: Vec<bool> = (0..slices).map(|slice| self.exact(slice)).collect();
        let confidence = exact.iter().map(|&exact| exact.then_some(1.0)).collect();
        (!exact.iter().all(|&exact| exact))
            .then(|| Trust { confidence, by_hand: ranges_of(exact.iter().copied()) })
    }

    /// A slice in which the mask contradicts the table: it shows the organ and is said not to be drawn, or is said to
    /// be drawn within the range and shows nothing.
    pub(super) fn stray(&self, slices: usize) -> Option<usize> {
        let drawn = self.drawn?;
        let named = |slice: usize| self.range.is_some_and(|range| within(range, slice));
        (0..slices).find(|&slice| {
            let shown = within(self.shown, slice);
            shown && !drawn[slice] || !shown && drawn[slice] && named(slice)
        })
    }
}

/// A sentence about an organ that is drawn in some of the slices that show it; `None` where it is in all.
pub(super) fn told(scan: &Scan, organ: &str) -> Option<String> {
    let shown = || (0..scan.slices).filter(|&slice| scan.shows(organ, slice) == Some(true));
    let (all, drawn) = (shown().count(), shown().filter(|&slice| scan.by_hand(organ, slice)).count());
    let case = &scan.case;
    match (scan.left_undrawn_anywhere(organ), drawn) {
        (false, _) => None,
        (true, 0) => Some(format!("{case}, {organ}: no slice that shows it is drawn")),
        (true, _) => {
            Some(format!("{case}, {organ}: {} drawn, of {all} that show it", counted(drawn, "slice")))
        }
    }
}
