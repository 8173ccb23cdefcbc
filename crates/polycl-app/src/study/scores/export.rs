//! Every score as CSV, for those who want to ask other questions.

use std::io::Write;
use std::path::Path;

use polycl_base::output;

use super::ScoreRow;
use crate::study::plan::{Finish, StudyPlan};

pub fn write(plan: &StudyPlan, rows: &[ScoreRow], path: &Path) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "method", "masks", "budget", "seed", "fold", "refined", "test", "case", "patient", "organ", "dice",
        "hd95_mm", "oracle",
    ])?;
    for row in rows {
        let finetuning = &plan.finetunings[row.finetuning];
        let arm = &plan.arms[finetuning.arm];
        table.write_record([
            arm.method.name.clone(),
            arm.labels.clone().unwrap_or_else(|| "hand".to_owned()),
            plan.config.budgets[finetuning.budget].to_string(),
            finetuning.seed.to_string(),
            finetuning.fold.map_or(String::new(), |fold| fold.to_string()),
            u8::from(row.finish == Finish::Refined).to_string(),
            plan.test_names[plan.tests[row.test].name].clone(),
            row.case.clone(),
            row.patient.clone(),
            row.organ.clone(),
            row.values[0].to_string(),
            row.values[1].to_string(),
            u8::from(row.finish == Finish::Oracle).to_string(),
        ])?;
    }
    let text = table.into_inner()?;
    Ok(output::atomically(path, |file| file.write_all(&text))?)
}
