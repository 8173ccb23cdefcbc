//! Which slices show an organ: from masks, or from a person who names its first and last slice.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use polycl_base::table::{self, Row};
use polycl_base::{Error, Kind, Result};
use polycl_image::Space;
use polycl_image::orient::Reorientation;

/// The slices that show an organ: inclusive ranges, ascending and apart.
pub type Shown = Vec<[usize; 2]>;

/// A CSV file of `scan,organ,first_slice,last_slice`: slices are counted from 0 in file order
/// along the slice axis, both ends belong to the range. An organ that shows in several ranges has
/// several rows; one that is known to be absent has a row without slices.
#[derive(Debug)]
pub struct Ranges {
    file: PathBuf,
    /// By scan and organ, in file order.
    known: BTreeMap<String, BTreeMap<String, Shown>>,
}

impl Ranges {
    /// # Errors
    /// [`Kind::Format`] where a row is not as described above, or its first slice comes after its last;
    /// where there is no row.
    pub fn read(file: &Path) -> Result<Self> {
        let mut known: BTreeMap<String, BTreeMap<String, Shown>> = BTreeMap::new();
        let rows = table::read(file, &["scan", "organ", "first_slice", "last_slice"], &[])?;
        if rows.is_empty() {
            return Err(Error::new(file, Kind::Format, "a row for each organ of a scan", "no rows"));
        }
        for row in rows {
            let organs = known.entry(row.need("scan", file)?.to_owned()).or_default();
            let ranges = organs.entry(row.need("organ", file)?.to_owned()).or_default();
            ranges.extend(range(&row, file)?);
        }
        Ok(Self { file: file.to_path_buf(), known })
    }

    /// # Errors
    /// [`Kind::Pairing`] for a scan that is not among the cases.
    pub(super) fn check_cases(&self, cases: &BTreeSet<&str>) -> Result<()> {
        check_cases(&self.file, self.known.keys(), cases)
    }

    /// The organs of a case with the slices of the store that show them.
    ///
    /// # Errors
    /// [`Kind::Request`] for a slice that the scan does not have.
    pub(super) fn of(
        &self,
        case: &str,
        space: &Space,
        kept: &Range<usize>,
    ) -> Result<BTreeMap<String, Shown>> {
        let canonical = Reorientation::to_canonical(space);
        let slices = space.shape[canonical.slice_axis()];
        let mut organs = BTreeMap::new();
        for (organ, ranges) in self.known.get(case).into_iter().flatten() {
            let mut shown = vec![false; slices];
            for &[first, last] in ranges {
                if last >= slices {
                    let expected = format!("slices below {slices} for {organ} in {case}");
                    return Err(Error::new(&self.file, Kind::Request, expected, last.to_string())
                        .hint("count slices from 0"));
                }
                (first..=last).for_each(|k| shown[canonical.slice_to_canonical(k, space)] = true);
            }
            organs.insert(organ.clone(), ranges_of(shown[kept.clone()].iter().copied()));
        }
        Ok(organs)
    }

    /// The organs of a case with the slices of the whole scan that show them, counted from the feet.
    ///
    /// # Errors
    /// [`Kind::Request`] for a slice that the scan does not have.
    pub fn of_whole(&self, case: &str, space: &Space) -> Result<BTreeMap<String, Shown>> {
        self.of(case, space, &(0..space.shape[Reorientation::to_canonical(space).slice_axis()]))
    }

    /// Leaves out the rows of organs that are not `wanted`.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.known.values_mut().for_each(|organs| organs.retain(|organ, _| wanted(organ)));
        self.known.retain(|_, organs| !organs.is_empty());
    }

    /// The rows of each scan as they stand in the file.
    pub fn rows(&self) -> &BTreeMap<String, BTreeMap<String, Shown>> {
        &self.known
    }

    /// True if a row speaks of an organ of a case.
    pub(super) fn tells(&self, case: &str, organ: &str) -> bool {
        self.known.get(case).is_some_and(|organs| organs.contains_key(organ))
    }

    pub fn organs(&self) -> impl Iterator<Item = &str> {
        self.known.values().flat_map(BTreeMap::keys).map(String::as_str)
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// Refuses scans of a table that are not among the cases.
pub(super) fn check_cases<'a>(
    file: &Path,
    mut scans: impl Iterator<Item = &'a String>,
    cases: &BTreeSet<&str>,
) -> Result<()> {
    match scans.find(|scan| !cases.contains(scan.as_str())) {
        Some(scan) => Err(Error::new(file, Kind::Pairing, "scans of this import", scan.clone())
            .hint("call a scan by its file name without .nii.gz and without nnU-Net's _0000")),
        None => Ok(()),
    }
}

/// The range of a row; `None` where both ends are empty.
fn range(row: &Row, file: &Path) -> Result<Option<[usize; 2]>> {
    let (first, last) = (row.get("first_slice"), row.get("last_slice"));
    if first.is_none() && last.is_none() {
        return Ok(None);
    }
    let text = format!("{}..{}", first.unwrap_or(""), last.unwrap_or(""));
    let number = |cell: Option<&str>| cell.and_then(table::whole);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Some([first, last])),
        _ => Err(row.error(file, Kind::Format, "a first slice and a last one that is not before it", text)),
    }
}

/// The ranges in which a slice-by-slice answer is yes.
pub(super) fn ranges_of(shown: impl Iterator<Item = bool>) -> Shown {
    let mut ranges: Shown = Vec::new();
    for (slice, _) in shown.enumerate().filter(|&(_, shown)| shown) {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == slice => *last = slice,
            _ => ranges.push([slice, slice]),
        }
    }
    ranges
}

/// True if one of the ranges holds a slice.
pub fn within(ranges: &[[usize; 2]], slice: usize) -> bool {
    ranges.iter().any(|&[first, last]| (first..=last).contains(&slice))
}

/// True if ranges are ascending, apart, and within so many slices.
pub(super) fn in_order(ranges: &[[usize; 2]], slices: usize) -> bool {
    let each = ranges.iter().all(|&[first, last]| first <= last && last < slices);
    each && ranges.windows(2).all(|w| w[0][1] < w[1][0])
}

#[cfg(test)]
mod tests {
    use super::ranges_of;

    #[test]
    fn ranges_are_inclusive_and_apart() {
        let ranges = |text: &str| ranges_of(text.chars().map(|c| c == 'x'));
        assert_eq!(ranges(".xx.x."), [[1, 2], [4, 4]]);
        assert_eq!(ranges("xxx"), [[0, 2]]);
        assert_eq!(ranges("..."), [] as [[usize; 2]; 0]);
    }
}
