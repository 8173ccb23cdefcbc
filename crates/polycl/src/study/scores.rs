//! What the networks of a study scored.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use polycl_volume::compare::Scores;
use polycl_volume::metrics::SummaryFile;
use polycl_volume::output;

use super::plan::{Finish, Network, Plan};
use super::worker::SCORES;

/// The measures of a study, as the report calls them.
pub const MEASURES: [&str; 2] = ["Dice", "HD95 (mm)"];

/// One case of one network, as `evaluate` has scored it.
pub struct Row {
    pub network: usize,
    pub finish: Finish,
    /// Index in [`Plan::tests`].
    pub test: usize,
    pub case: String,
    pub patient: String,
    pub organ: String,
    /// In the order of [`MEASURES`].
    pub values: [f64; 2],
}

/// The rows of one network on one test.
pub fn read(plan: &Plan, number: usize, test: usize, finish: Finish) -> anyhow::Result<Vec<Row>> {
    let network = &plan.networks[number];
    let tested = &plan.tests[test];
    let folder = plan.result(network, tested, finish).join(SCORES);
    let summary = SummaryFile::read(&folder)?;
    let index = &plan.datasets[tested.dataset].1.index;
    // `predict` knows scans by their voxels, and `evaluate` tells whom the network had seen.
    let seen = Vec::from_iter(summary.seen());
    ensure!(
        seen.is_empty(),
        "{}: expected patients whom no network has seen, found {seen:?}",
        folder.display()
    );
    let numbers = plan.numbers();
    let mut rows = Vec::new();
    for case in &summary.metric_per_case {
        let name = polycl_volume::files::case_name(&case.reference_file);
        let name = name.context("a reference of no format we read")?;
        let scan = index.scans.iter().find(|scan| scan.case == name).context("a case of another data set")?;
        for organ in &plan.config.organs {
            let scores = case.metrics.get(&numbers[organ.as_str()]);
            let scores = scores.with_context(|| format!("{}: no scores of {organ}", folder.display()))?;
            rows.push(Row {
                network: number,
                finish,
                test,
                case: name.clone(),
                patient: scan.patient.clone(),
                organ: organ.clone(),
                // Nothing is there, and nothing was found: as right as can be, where a false alarm is the worst.
                values: [scores.dice.unwrap_or(1.0), scores.hd95.unwrap_or(0.0)],
            });
        }
    }
    Ok(rows)
}

/// All rows there are, in the order of the plan.
pub fn read_all(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let complete: Vec<bool> = (0..plan.arms.len()).map(|arm| plan.complete(arm)).collect();
    let networks = plan.networks.iter().enumerate().filter(|(_, network)| complete[network.arm]);
    for (number, network) in networks {
        for &test in &network.tests {
            for finish in plan.finishes(network) {
                rows.extend(read(plan, number, test, finish)?);
            }
        }
    }
    Ok(rows)
}

/// Every score as CSV, for those who want to ask other questions.
pub fn write(plan: &Plan, rows: &[Row], path: &Path) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "method", "masks", "budget", "seed", "fold", "refined", "test", "case", "patient", "organ", "dice",
        "hd95_mm", "oracle",
    ])?;
    for row in rows {
        let network = &plan.networks[row.network];
        let arm = &plan.arms[network.arm];
        table.write_record([
            arm.method.name.clone(),
            arm.labels.clone().unwrap_or_else(|| "hand".to_owned()),
            plan.config.budgets[network.budget].to_string(),
            network.seed.to_string(),
            network.fold.map_or(String::new(), |fold| fold.to_string()),
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

/// One cell of the study: a method with its masks, at a budget, on a test, and what was done to what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Index in [`Plan::test_names`].
    pub test: usize,
    pub finish: Finish,
    pub budget: usize,
    pub arm: usize,
}

/// The scores of every cell, for each measure: patients in the order of their names, a patient's scans and
/// organs averaged.
pub type Table = BTreeMap<Cell, [Scores; 2]>;

/// What one cell's patients scored, by place of the seed and of the patient.
type Found = BTreeMap<(usize, usize), Vec<[f64; 2]>>;

pub fn table(plan: &Plan, rows: &[Row]) -> Table {
    // Patients of each test; a cell has the same whichever method it is of.
    let mut patients: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for row in rows {
        patients.entry(plan.tests[row.test].name).or_default().push(&row.patient);
    }
    for names in patients.values_mut() {
        names.sort_unstable();
        names.dedup();
    }
    let mut values: BTreeMap<Cell, Found> = BTreeMap::new();
    for row in rows {
        let Network { arm, budget, seed, .. } = plan.networks[row.network];
        let test = plan.tests[row.test].name;
        let cell = Cell { test, finish: row.finish, budget, arm };
        let seed = plan.config.seeds.iter().position(|&known| known == seed).unwrap_or(0);
        let patient = patients[&test].binary_search(&row.patient.as_str()).unwrap_or(0);
        values.entry(cell).or_default().entry((seed, patient)).or_default().push(row.values);
    }
    let seeds = plan.config.seeds.len();
    let scores = |cell: &Cell, found: &Found, measure: usize| {
        let count = patients[&cell.test].len();
        let at =
            |i: usize| mean(found.get(&(i / count, i % count)).into_iter().flatten().map(|v| v[measure]));
        Scores::new(count, (0..seeds * count).map(at).collect())
    };
    values.iter().map(|(cell, found)| (*cell, [0, 1].map(|measure| scores(cell, found, measure)))).collect()
}

/// The mean over patients of each seed.
pub fn by_seed(scores: &Scores) -> Vec<Option<f64>> {
    let patients = |seed| (0..scores.patients()).filter_map(move |patient| scores.at(seed, patient));
    (0..scores.seeds()).map(|seed| mean(patients(seed))).collect()
}

/// Nothing of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Mean Dice while a study runs.
#[derive(Default)]
pub struct Sofar(BTreeMap<(usize, usize), Vec<f64>>);

impl Sofar {
    /// Takes a network in, and tells how it did on each test.
    pub fn add(&mut self, plan: &Plan, number: usize) -> String {
        let network = &plan.networks[number];
        let mut said = Vec::new();
        for (place, &test) in network.tests.iter().enumerate() {
            let rows = read(plan, number, test, Finish::Plain).unwrap_or_default();
            let dice = mean(rows.iter().map(|row| row.values[0]));
            if let (0, Some(dice)) = (place, dice) {
                self.0.entry((network.arm, network.budget)).or_default().push(dice);
            }
            let dice = dice.map_or("undefined".to_owned(), |dice| format!("{dice:.3}"));
            said.push(format!("{dice} {}", plan.test_names[plan.tests[test].name]));
        }
        format!("Dice {}", said.join(", "))
    }

    /// The lines of a table: methods by budgets, and how many networks a mean is of.
    pub fn rows(&self, plan: &Plan) -> Vec<String> {
        let width = plan.arms.iter().map(|arm| arm.title.len()).max().unwrap_or(0);
        let test = plan.test_names.first().map_or("", String::as_str);
        let budgets = plan.config.budgets.iter().map(|budget| format!("{budget:>12}"));
        let mut rows = vec![
            format!("mean Dice so far (networks), {test}"),
            format!("{:width$}{}", "budget", budgets.collect::<String>()),
        ];
        for (arm, title) in plan.arms.iter().map(|arm| &arm.title).enumerate() {
            let cell = |budget: usize| match self.0.get(&(arm, budget)) {
                Some(dice) => {
                    format!(
                        "{:>12}",
                        format!("{:.3} ({})", dice.iter().sum::<f64>() / dice.len() as f64, dice.len())
                    )
                }
                None => format!("{:>12}", "-"),
            };
            let cells: String = (0..plan.config.budgets.len()).map(cell).collect();
            rows.push(format!("{title:width$}{cells}"));
        }
        rows
    }
}
