//! The scores of one label in one case.

use std::collections::BTreeMap;

use polycl_image::{Mask, Space};
use serde::{Deserialize, Serialize};

use super::overlap::{Overlap, overlaps};
use super::surface::Surfaces;
use super::{EmptyPolicy, Options, Outcome};

/// Scores of one label in one case, named as in nnU-Net v2's `summary.json`; `None` is undefined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    #[serde(rename = "Dice")]
    pub dice: Option<f64>,
    #[serde(rename = "IoU")]
    pub iou: Option<f64>,
    /// Normalised surface Dice at [`Options::tolerance`].
    #[serde(rename = "NSD")]
    pub nsd: Option<f64>,
    /// Hausdorff distance in mm.
    #[serde(rename = "HD")]
    pub hd: Option<f64>,
    /// 95th percentile Hausdorff distance in mm.
    #[serde(rename = "HD95")]
    pub hd95: Option<f64>,
    /// Average symmetric surface distance in mm.
    #[serde(rename = "ASSD")]
    pub assd: Option<f64>,
    /// Predicted volume less reference volume.
    pub volume_difference_ml: f64,
    /// The same as a fraction of the reference volume; undefined where that is 0.
    pub volume_difference_relative: Option<f64>,
    #[serde(rename = "TP")]
    pub tp: u64,
    #[serde(rename = "FP")]
    pub fp: u64,
    #[serde(rename = "FN")]
    pub fn_: u64,
    #[serde(rename = "TN")]
    pub tn: u64,
    pub n_pred: u64,
    pub n_ref: u64,
}

impl Scores {
    /// Keys of [`Scores::values`], in the same order. The first [`Scores::JUDGED`] judge the
    /// prediction and get an interval; the rest are voxel counts.
    pub const KEYS: [&'static str; 14] = [
        "Dice",
        "IoU",
        "NSD",
        "HD",
        "HD95",
        "ASSD",
        "volume_difference_ml",
        "volume_difference_relative",
        "TP",
        "FP",
        "FN",
        "TN",
        "n_pred",
        "n_ref",
    ];
    pub const JUDGED: usize = 8;
    /// Number of the first keys, those that [`EmptyPolicy`] governs; volumes and counts are facts under any.
    pub const GOVERNED: usize = 6;

    pub fn values(&self) -> [Option<f64>; 14] {
        let count = |n: u64| Some(n as f64);
        [
            self.dice,
            self.iou,
            self.nsd,
            self.hd,
            self.hd95,
            self.assd,
            Some(self.volume_difference_ml),
            self.volume_difference_relative,
            count(self.tp),
            count(self.fp),
            count(self.fn_),
            count(self.tn),
            count(self.n_pred),
            count(self.n_ref),
        ]
    }

    pub fn outcome(&self) -> Outcome {
        match (self.n_ref > 0, self.n_pred > 0) {
            (true, true) => Outcome::Both,
            (true, false) => Outcome::Missed,
            (false, true) => Outcome::FalseAlarm,
            (false, false) => Outcome::Neither,
        }
    }

    /// Voxel counts and volumes; what [`EmptyPolicy`] governs is still undefined.
    fn counts(overlap: &Overlap, space: &Space) -> Self {
        let Overlap { tp, n_ref, n_pred, .. } = *overlap;
        let difference = n_pred as f64 - n_ref as f64;
        Self {
            dice: None,
            iou: None,
            nsd: None,
            hd: None,
            hd95: None,
            assd: None,
            volume_difference_ml: difference * voxel_ml(space),
            volume_difference_relative: (n_ref > 0).then(|| difference / n_ref as f64),
            tp,
            fp: n_pred - tp,
            fn_: n_ref - tp,
            tn: space.voxels() as u64 + tp - n_pred - n_ref,
            n_pred,
            n_ref,
        }
    }
}

/// Scores the labels of `options` of a prediction against its reference. Both masks lie on the same
/// voxels (see [`polycl_image::Space::disagreement`]).
pub fn score(reference: &Mask, prediction: &Mask, options: &Options) -> BTreeMap<u16, Scores> {
    let overlaps = overlaps(reference, prediction);
    let chosen = &options.labels;
    let labels: Vec<u16> =
        if chosen.is_empty() { overlaps.keys().copied().collect() } else { chosen.iter().copied().collect() };
    let of = |label| {
        let overlap = overlaps.get(&label).copied().unwrap_or_default();
        score_label(reference, prediction, label, &overlap, options)
    };
    labels.into_iter().map(|label| (label, of(label))).collect()
}

/// The scores for a label that neither mask of a case holds, with so many voxels ignored.
pub fn absent(space: &Space, ignored: u64) -> Scores {
    let scores = Scores::counts(&Overlap::default(), space);
    Scores { tn: scores.tn - ignored, ..scores }
}

fn score_label(
    reference: &Mask,
    prediction: &Mask,
    label: u16,
    overlap: &Overlap,
    options: &Options,
) -> Scores {
    let mut scores = Scores::counts(overlap, &reference.space);
    match scores.outcome() {
        Outcome::Both => {
            let surfaces = Surfaces::between(reference, prediction, label, overlap.bounds);
            scores.dice = overlap.dice();
            scores.iou = overlap.iou();
            scores.nsd = Some(surfaces.dice(options.tolerance));
            scores.hd = Some(surfaces.hausdorff());
            scores.hd95 = Some(surfaces.percentile(0.95));
            scores.assd = Some(surfaces.average());
        }
        Outcome::Missed | Outcome::FalseAlarm if options.empty == EmptyPolicy::Worst => {
            let farthest = Some(diagonal(&reference.space));
            (scores.dice, scores.iou, scores.nsd) = (Some(0.0), Some(0.0), Some(0.0));
            (scores.hd, scores.hd95, scores.assd) = (farthest, farthest, farthest);
        }
        _ => {}
    }
    scores
}

/// Diagonal in mm of the box that all voxels fill, from outer face to outer face. No two surfaces
/// in the image can be farther apart.
fn diagonal(space: &Space) -> f64 {
    let sides = std::iter::zip(space.shape, space.spacing());
    sides.map(|(voxels, step)| (voxels as f64 * step).powi(2)).sum::<f64>().sqrt()
}

fn voxel_ml(space: &Space) -> f64 {
    space.world_from_voxel.matrix3.determinant().abs() / 1000.0
}
