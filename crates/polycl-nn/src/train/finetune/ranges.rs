//! Where a slice lies in the range of an organ.

use polycl_data::Scan;

/// The farthest that a slice is told to lie from an organ, in halves of its range.
const FAR: f32 = 2.0;

/// Ranges in a scan of so many slices: its own, or those of another scan, stretched.
pub struct Ranges<'a> {
    of: &'a Scan,
    slices: usize,
}

impl<'a> Ranges<'a> {
    pub fn own(scan: &'a Scan) -> Self {
        Self { of: scan, slices: scan.slices }
    }

    /// Those of `other`, as if they were of `scan`.
    pub fn of_another(other: &'a Scan, scan: &Scan) -> Self {
        Self { of: other, slices: scan.slices }
    }

    pub fn slices(&self) -> usize {
        self.slices
    }

    pub fn shows(&self, organ: &str, slice: usize) -> Option<bool> {
        self.of.shows(organ, slice * self.of.slices / self.slices)
    }

    /// The height of a slice in the range of each organ: -1 at its lower end, 1 at its upper end, and so on beyond them.
    /// An organ that the scan does not have, or of which nobody has said where it is, is far.
    pub fn heights(&self, organs: &[String], slice: usize) -> Vec<f32> {
        let of = |organ: &String| {
            let ranges = self.of.presence.get(organ)?;
            let first = ranges.iter().map(|range| range[0]).min()?;
            let last = ranges.iter().map(|range| range[1]).max()?;
            // A range that nobody has named may go on beyond the slices that are drawn.
            let beyond = [first.checked_sub(1), Some(last + 1).filter(|&next| next < self.of.slices)];
            if beyond.into_iter().flatten().any(|next| self.of.shows(organ, next).is_none()) {
                return None;
            }
            let (first, end) = (first as f32, last as f32 + 1.0);
            let at = (slice as f32 + 0.5) * self.of.slices as f32 / self.slices as f32;
            Some(((2.0 * at - first - end) / (end - first)).clamp(-FAR, FAR))
        };
        organs.iter().map(|organ| of(organ).unwrap_or(FAR)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::teach::tests::scan;
    use super::*;

    #[test]
    fn heights_run_from_end_to_end() {
        let scan = scan(10, [4, 5]);
        let organs = ["liver".to_owned(), "spleen".to_owned()];
        let liver = |ranges: &Ranges<'_>, slice| ranges.heights(&organs, slice)[0];
        let own = Ranges::own(&scan);
        assert_eq!([3, 4, 5, 6, 0].map(|slice| liver(&own, slice)), [-1.5, -0.5, 0.5, 1.5, -2.0]);
        assert_eq!(own.heights(&organs, 4)[1], FAR);
        let longer = self::scan(20, [0, 1]);
        let stretched = Ranges::of_another(&scan, &longer);
        assert_eq!([8, 11].map(|slice| liver(&stretched, slice)), [-0.75, 0.75]);
    }
}
