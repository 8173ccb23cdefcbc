//! Scores while a study runs.

use std::collections::BTreeMap;

use polycl_base::told;
use serde::Serialize;

use super::event::{Event, Failed, JobEnd};
use super::job::Job;
use super::plan::{Finish, StudyPlan};
use super::scores::{mean, read};

/// Mean Dice so far of every method at every budget, on the first test.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The test's name.
    pub test: String,
    pub budgets: Vec<String>,
    pub methods: Vec<MethodStanding>,
}

#[derive(Debug, Clone, Serialize)]
pub struct MethodStanding {
    pub title: String,
    /// At each budget; none before the first network is tested.
    pub cells: Vec<Option<Mean>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Mean {
    pub dice: f64,
    /// The number of networks it is of.
    pub networks: usize,
}

/// Dice on the first test of each network so far, by arm and budget.
#[derive(Default)]
pub struct SoFar(BTreeMap<(usize, usize), Vec<f64>>);

impl SoFar {
    /// Takes a fine-tuning in, and tells its mean Dice on each test.
    fn add(&mut self, plan: &StudyPlan, number: usize) -> Vec<(String, Option<f64>)> {
        let finetuning = &plan.finetunings[number];
        let mut tests = Vec::new();
        for (place, &test) in finetuning.tests.iter().enumerate() {
            let rows = read(plan, number, test, Finish::Plain).unwrap_or_default();
            let dice = mean(rows.iter().map(|row| row.values[0]));
            if let (0, Some(dice)) = (place, dice) {
                self.0.entry((finetuning.arm, finetuning.budget)).or_default().push(dice);
            }
            tests.push((plan.test_names[plan.tests[test].name].clone(), dice));
        }
        tests
    }

    /// Takes the end of a job in: the event that tells of it, and the job among those that failed.
    pub fn ended(&mut self, plan: &StudyPlan, job: Job, end: anyhow::Result<()>) -> (Event, Option<Failed>) {
        let (name, mut failed) = (job.name(plan), None);
        let end = match (end, job) {
            (Err(error), _) => {
                let words = told(&*error);
                failed = Some(Failed { name: name.clone(), words: words.clone() });
                JobEnd::Failed(words)
            }
            (Ok(()), Job::Pretraining(_)) => JobEnd::Pretrained,
            (Ok(()), Job::Finetuning(number)) => JobEnd::Tested(self.add(plan, number)),
        };
        (Event::Ended { name, end, work: job.work(plan), standing: self.standing(plan) }, failed)
    }

    pub fn standing(&self, plan: &StudyPlan) -> Standing {
        let cell = |arm: usize, budget: usize| {
            let dice = self.0.get(&(arm, budget))?;
            Some(Mean { dice: dice.iter().sum::<f64>() / dice.len() as f64, networks: dice.len() })
        };
        let budgets = &plan.config.budgets;
        let row = |(arm, title): (usize, &String)| MethodStanding {
            title: title.clone(),
            cells: (0..budgets.len()).map(|budget| cell(arm, budget)).collect(),
        };
        Standing {
            test: plan.test_names.first().cloned().unwrap_or_default(),
            budgets: budgets.iter().map(ToString::to_string).collect(),
            methods: plan.arms.iter().map(|arm| &arm.title).enumerate().map(row).collect(),
        }
    }
}
