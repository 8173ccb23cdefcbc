use std::path::Path;

use polycl_base::counted;
use polycl_image::nifti;
use polycl_metrics::{CaseOfFile, SummaryFile, dice_of};
use polycl_nn::train::RunCard;

/// The number of the demo's only organ in its masks.
const LIVER: u16 = 1;

/// The scores of one network by `evaluate` on the patients of one hospital.
pub struct Score {
    pub network: String,
    title: String,
    patients: usize,
    /// Dice of each patient, a miss as 0.
    by_patient: Vec<f64>,
    dice: Option<f64>,
    interval: Option<[f64; 2]>,
    hd95: Option<f64>,
    surface_dice: Option<f64>,
}

impl Score {
    pub fn read(out: &Path, network: &str, title: &str, domain: &str) -> anyhow::Result<Self> {
        let summary = SummaryFile::read(&out.join(format!("{network}-{domain}-scores")))?;
        let mean = |metric: &str| summary.mean.get(&LIVER).and_then(|mean| *mean.get(metric)?);
        let dice = |case: &CaseOfFile| case.metrics.get(&LIVER).and_then(|scores| scores.dice).unwrap_or(0.0);
        Ok(Self {
            network: network.to_owned(),
            title: title.to_owned(),
            patients: summary.metric_per_case.len(),
            by_patient: summary.metric_per_case.iter().map(dice).collect(),
            dice: mean("Dice"),
            interval: summary.interval(LIVER, "Dice"),
            hd95: mean("HD95"),
            surface_dice: mean("NSD"),
        })
    }

    pub fn row(&self, domain: &str) -> Vec<String> {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("undefined".to_owned(), |value| format!("{value:.digits$}"))
        };
        // Of too few patients there is none.
        let interval = self.interval.map(|[low, high]| format!("{low:.3} to {high:.3}"));
        vec![
            self.title.clone(),
            format!("{} of hospital {domain}", self.patients),
            number(self.dice, 3),
            interval.unwrap_or_else(|| "–".to_owned()),
            number(self.hd95, 1),
            number(self.surface_dice, 3),
        ]
    }
}

/// Compares draw by draw, in words: as many slices spread over scans, and in one patient.
pub fn compared(domain: &str, spread: &[&Score], whole: &[&Score]) -> String {
    let mean = |score: &Score| score.by_patient.iter().sum::<f64>() / score.by_patient.len().max(1) as f64;
    let all = |scores: &[&Score]| scores.iter().map(|s| mean(s)).sum::<f64>() / scores.len().max(1) as f64;
    let ahead = spread.iter().zip(whole).filter(|(spread, whole)| mean(spread) > mean(whole)).count();
    format!(
        "Hospital {domain}: one slice a scan reaches a mean Dice of {:.3}, as many in one patient {:.3}. One slice a scan is \
         ahead in {ahead} of {}, and {:+.3} on average over {}.",
        all(spread),
        all(whole),
        counted(spread.len(), "draw"),
        all(spread) - all(whole),
        counted(spread.first().map_or(0, |score| score.patients), "patient"),
    )
}

/// The agreement of a network with a mask that a machine made, as a row of a table.
pub fn agreement(
    run: &Path,
    title: &str,
    case: &str,
    [made, predicted]: [&Path; 2],
    label: u16,
) -> anyhow::Result<Vec<String>> {
    let (made, predicted) = (nifti::read_mask(made)?, nifti::read_mask(predicted)?);
    let pairs = made.voxels.iter().zip(&predicted.voxels);
    let dice = dice_of(pairs.map(|(&made, &predicted)| (made == label, predicted == label)));
    let seen = RunCard::read(run)?.training_cases.iter().any(|seen| seen.case == case);
    Ok(vec![
        title.to_owned(),
        case.to_owned(),
        if seen { "yes" } else { "no" }.to_owned(),
        dice.map_or("undefined".to_owned(), |dice| format!("{dice:.3}")),
    ])
}
