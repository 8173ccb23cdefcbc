//! Voxel counts of every label of a pair of masks, gathered in one pass.

use std::collections::BTreeMap;
use std::ops::Range;

use polycl_image::Mask;

/// The voxels of one label in a reference and in a prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Voxels that carry the label in both masks.
    pub tp: u64,
    pub n_ref: u64,
    pub n_pred: u64,
    /// Smallest box that holds the label of both masks.
    pub bounds: Bounds,
}

/// A box of voxels, from `low` up to but not including `high`; empty by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    pub low: [usize; 3],
    pub high: [usize; 3],
}

impl Bounds {
    fn include(&mut self, other: Bounds) {
        if self.high == [0; 3] {
            *self = other;
        }
        for axis in 0..3 {
            self.low[axis] = self.low[axis].min(other.low[axis]);
            self.high[axis] = self.high[axis].max(other.high[axis]);
        }
    }
}

impl Overlap {
    /// As [`dice`].
    pub fn dice(&self) -> Option<f64> {
        dice(self.tp, self.n_ref + self.n_pred)
    }

    /// TP / (TP + FP + FN); `None` where both masks are empty.
    /// As "intersection over union" (Jaccard index) in MetricsReloaded.
    pub fn iou(&self) -> Option<f64> {
        ratio(self.tp, self.n_ref + self.n_pred - self.tp)
    }
}

/// Dice of two masks that share `common` voxels and have `together` of them, each mask for itself:
/// 2 TP / (n_ref + n_pred); `None` where both are empty. As "Dice similarity coefficient" in MetricsReloaded.
pub fn dice(common: u64, together: u64) -> Option<f64> {
    ratio(2 * common, together)
}

/// [`dice`] of two masks, voxel by voxel.
pub fn dice_of(pairs: impl Iterator<Item = (bool, bool)>) -> Option<f64> {
    let (common, together) = pairs.fold((0, 0), |(common, together), (a, b)| {
        (common + u64::from(a && b), together + u64::from(a) + u64::from(b))
    });
    dice(common, together)
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Counts every label above 0 that occurs in either mask. Both masks have the same shape.
pub fn overlaps(reference: &Mask, prediction: &Mask) -> BTreeMap<u16, Overlap> {
    let mut labels = BTreeMap::new();
    let [nx, ny, _] = reference.space.shape;
    let rows = reference.voxels.chunks(nx.max(1)).zip(prediction.voxels.chunks(nx.max(1)));
    for (row, (reference, prediction)) in rows.enumerate() {
        for run in runs(reference, prediction) {
            let (r, p) = (reference[run.start], prediction[run.start]);
            let (j, k) = (row % ny, row / ny);
            let bounds = Bounds { low: [run.start, j, k], high: [run.end, j + 1, k + 1] };
            count(&mut labels, (r, p), run.len() as u64, bounds);
        }
    }
    labels
}

/// Adds `n` voxels that carry `r` in the reference and `p` in the prediction.
fn count(labels: &mut BTreeMap<u16, Overlap>, (r, p): (u16, u16), n: u64, bounds: Bounds) {
    let mut add = |label: u16, tp: u64, n_ref: u64, n_pred: u64| {
        if label > 0 {
            let overlap = labels.entry(label).or_default();
            overlap.tp += tp;
            overlap.n_ref += n_ref;
            overlap.n_pred += n_pred;
            overlap.bounds.include(bounds);
        }
    };
    if r == p {
        add(r, n, n, n);
    } else {
        add(r, 0, n, 0);
        add(p, 0, 0, n);
    }
}

/// The stretches of a row along which neither mask changes.
fn runs<'a>(reference: &'a [u16], prediction: &'a [u16]) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = (*reference.get(start)?, *prediction.get(start)?);
        let rest = reference[start..].iter().zip(&prediction[start..]);
        let len = rest.take_while(|&(r, p)| (*r, *p) == first).count();
        let run = start..start + len;
        start = run.end;
        Some(run)
    })
}
