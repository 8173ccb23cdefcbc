//! The summary as aligned columns for a person.

use std::fmt;

use polycl_base::some;

use super::{Estimate, FEWEST, LEVEL, LabelSummary, RESAMPLES, Report, Seen};

const HEADER: [&str; 10] = [
    "label",
    "cases",
    "Dice",
    "IoU",
    "NSD",
    "HD95 mm",
    "ASSD mm",
    "missed",
    "false positives",
    "absent in both",
];

/// The means with their intervals, what an empty mask scored, and the cases that prove nothing.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_aligned(f, &self.rows())?;
        if self.summary.labels.is_empty() {
            writeln!(f, "no mask holds a label: there is nothing to score")?;
        }
        // The policy decides over no other case.
        if self.summary.labels.values().any(|LabelSummary { tally, .. }| tally.missed + tally.false_alarm > 0)
        {
            let policy = self.options.empty;
            writeln!(f, "{} (--empty {policy})", policy.explanation())?;
        }
        writeln!(f, "NSD at a tolerance of {} mm", self.options.tolerance)?;
        if self.has_brackets() && self.cases.len() < FEWEST {
            writeln!(f, "[–: no interval of fewer than {FEWEST} cases]")?;
        } else if self.has_brackets() {
            let percent = LEVEL * 100.0;
            let seed = self.options.seed;
            writeln!(f, "[{percent}% interval of {RESAMPLES} bootstrap resamples over cases, seed {seed}]")?;
        }
        self.write_seen(f)
    }
}

impl Report {
    /// True if an interval, or that there is none, follows the mean.
    fn has_brackets(&self) -> bool {
        self.cases.len() > 1
    }

    fn rows(&self) -> Vec<[String; 10]> {
        let labels = self.summary.labels.iter();
        let mut rows = vec![HEADER.map(str::to_owned)];
        rows.extend(labels.map(|(&label, summary)| self.row(label, summary)));
        if self.summary.labels.len() > 1 {
            let mut row: [String; 10] = Default::default();
            row[0] = "mean of labels".to_owned();
            fill_scores(&mut row, &self.summary.foreground, self.has_brackets());
            rows.push(row);
        }
        rows
    }

    fn row(&self, label: u16, LabelSummary { tally, estimates }: &LabelSummary) -> [String; 10] {
        let mut row: [String; 10] = Default::default();
        row[0] = self.names.get(&label).map_or_else(|| label.to_string(), |name| format!("{label} {name}"));
        let counts = [self.cases.len(), tally.missed, tally.false_alarm, tally.neither];
        for (column, count) in [1, 7, 8, 9].into_iter().zip(counts) {
            row[column] = count.to_string();
        }
        fill_scores(&mut row, estimates, self.has_brackets());
        row
    }

    fn write_seen(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.cases.len();
        let parts = [
            (Seen::Training, "took part in the training of this model"),
            (Seen::Validation, "validated: they chose the checkpoint of this model"),
        ];
        for (part, text) in parts {
            let cases = self.cases_seen(|seen| seen == part);
            if !cases.is_empty() {
                let (n, list) = (cases.len(), some(&cases));
                writeln!(f, "WARNING: {n} of {all} cases {text}: {list}")?;
            }
        }
        if !self.cases_seen(Seen::trained).is_empty() {
            writeln!(f, "WARNING: these scores do not tell how it does on new patients")?;
        }
        let pretrained = self.cases_seen(|seen| seen == Seen::Pretraining);
        if !pretrained.is_empty() {
            let (n, list) = (pretrained.len(), some(&pretrained));
            writeln!(f, "note: {n} of {all} cases were seen in training, without their masks: {list}")?;
        }
        Ok(())
    }
}

/// Dice with its interval in brackets, if they are wanted, then the means of the others; `-` is undefined.
fn fill_scores(row: &mut [String; 10], estimates: &[Estimate], brackets: bool) {
    let columns = [(2, "Dice", 3), (3, "IoU", 3), (4, "NSD", 3), (5, "HD95", 2), (6, "ASSD", 2)];
    for (column, metric, digits) in columns {
        let Some(estimate) = estimates.iter().find(|estimate| estimate.metric == metric) else { continue };
        row[column] = estimate.mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.digits$}"));
        if column == 2 && brackets && estimate.mean.is_some() {
            let interval = estimate.interval.map(|[low, high]| format!("{low:.digits$}, {high:.digits$}"));
            row[column] += &format!(" [{}]", interval.as_deref().unwrap_or("–"));
        }
    }
}

/// The first column to the left, the others to the right of their widest cell.
fn write_aligned(f: &mut fmt::Formatter<'_>, rows: &[[String; 10]]) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 10] = std::array::from_fn(width);
    for row in rows {
        let first = format!("{:<width$}", row[0], width = widths[0]);
        let rest = std::iter::zip(&row[1..], &widths[1..]).map(|(cell, width)| format!("  {cell:>width$}"));
        writeln!(f, "{}", (first + &rest.collect::<String>()).trim_end())?;
    }
    Ok(())
}
