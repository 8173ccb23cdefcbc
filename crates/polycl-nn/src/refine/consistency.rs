//! Slices whose refined mask fits their neighbours less well than the coarse one did.

use std::collections::BTreeMap;

use polycl_metrics::dice_of;

use super::decision::Decision;
use super::gate::Choice;

/// Loss of agreement with the neighbours that is too much.
const TOLERANCE: f64 = 0.05;

/// Labels of a volume, slice after slice, before and after refinement.
pub struct Slices<'a> {
    pub before: &'a [u16],
    pub after: &'a mut [u16],
    /// Pixels of a slice.
    pub pixels: usize,
}

impl Slices<'_> {
    /// Takes slices of a label back whose refined pixels agree with those of the slices above and
    /// below less than the coarse pixels do. `decisions` have the numbers of slices in this order.
    pub fn make_consistent(&mut self, decisions: &mut [Decision]) {
        let refined = self.after.to_vec();
        let slices = refined.len() / self.pixels;
        let pixels = self.pixels;
        let plane = |k: usize| k * pixels..(k + 1) * pixels;
        let mut of_slice: BTreeMap<(usize, u16), Vec<&mut Decision>> = BTreeMap::new();
        for decision in decisions.iter_mut() {
            of_slice.entry((decision.slice, decision.label)).or_default().push(decision);
        }
        for ((k, label), decisions) in of_slice {
            if k == 0 || k + 1 == slices || decisions.iter().all(|decision| decision.choice.keeps()) {
                continue;
            }
            let neighbours = [k - 1, k + 1].map(|k| &refined[plane(k)]);
            let overlap = |own: &[u16], other: &[u16]| {
                dice_of(own.iter().zip(other).map(|(&a, &b)| (a == label, b == label))).unwrap_or(1.0)
            };
            let fit = |own: &[u16]| neighbours.map(|other| overlap(own, other)).iter().sum::<f64>() / 2.0;
            let (before, after) = (&self.before[plane(k)], &refined[plane(k)]);
            if fit(after) >= fit(before) - TOLERANCE {
                continue;
            }
            for (voxel, &before) in self.after[plane(k)].iter_mut().zip(before) {
                if *voxel == label && before != label {
                    *voxel = 0;
                } else if before == label {
                    *voxel = label;
                }
            }
            for decision in decisions {
                decision.choice = Choice::TakenBack;
                decision.pixels[1] = decision.pixels[0];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three slices of six pixels; the middle one was refined to something its neighbours are not.
    #[test]
    fn a_slice_unlike_its_neighbours_is_taken_back() {
        let before = [1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0];
        let mut after = [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 2, 1, 1, 1, 0, 0, 0];
        let decision = |slice, label| Decision {
            slice,
            label,
            first: [0; 3],
            last: [0; 3],
            pixels: [2, 3],
            evidence: None,
            choice: Choice::Refined,
        };
        let mut decisions = [decision(0, 1), decision(1, 1), decision(2, 1)];
        Slices { before: &before, after: &mut after, pixels: 6 }.make_consistent(&mut decisions);
        // Another label's pixel stays.
        assert_eq!(after[6..12], [1, 1, 0, 0, 0, 2]);
        assert_eq!(decisions.map(|d| d.choice), [Choice::Refined, Choice::TakenBack, Choice::Refined]);
    }
}
