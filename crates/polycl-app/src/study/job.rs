//! The jobs of a study: its pre-trainings, and its fine-tunings with their tests.

use std::path::Path;

use super::plan::{Finetuning, Pretraining, StudyPlan};

/// A training and all that follows it, by its number in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    Pretraining(usize),
    Finetuning(usize),
}

/// All jobs. Fine-tunings stand behind the pre-trainings of their seed and fold, so that results come early.
pub fn in_order(plan: &StudyPlan) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for (number, finetuning) in plan.finetunings.iter().enumerate() {
        let before = finetuning.pretraining.map(Job::Pretraining).filter(|job| !jobs.contains(job));
        jobs.extend(before);
        jobs.push(Job::Finetuning(number));
    }
    jobs
}

impl Job {
    /// The folder in which all of it happens.
    pub fn folder(self, plan: &StudyPlan) -> &Path {
        match self {
            Self::Pretraining(number) => &plan.pretrainings[number].dir,
            Self::Finetuning(number) => &plan.finetunings[number].dir,
        }
    }

    /// The job that must be done before.
    pub fn needs(self, plan: &StudyPlan) -> Option<Self> {
        match self {
            Self::Pretraining(_) => None,
            Self::Finetuning(number) => plan.finetunings[number].pretraining.map(Self::Pretraining),
        }
    }

    pub fn name(self, plan: &StudyPlan) -> String {
        match self {
            Self::Pretraining(number) => plan.pretrainings[number].title.clone(),
            Self::Finetuning(number) => {
                let Finetuning { arm, budget, seed, fold, .. } = plan.finetunings[number];
                let fold = fold.map_or(String::new(), |fold| format!(", fold {fold}"));
                let (title, budget) = (&plan.arms[arm].title, plan.config.budgets[budget]);
                format!("{title}, budget {budget}, seed {seed}{fold}")
            }
        }
    }

    /// The size of this, in slices that pass a network once.
    pub fn work(self, plan: &StudyPlan) -> u64 {
        let work = match self {
            Self::Pretraining(number) => pretraining(plan, &plan.pretrainings[number]),
            Self::Finetuning(number) => finetuning(plan, &plan.finetunings[number]),
        };
        work as u64
    }
}

/// Passes of a slice that is trained on: forwards, and twice that backwards.
const TRAINING: usize = 3;

fn pretraining(plan: &StudyPlan, pretraining: &Pretraining) -> usize {
    let settings = &pretraining.config.training;
    TRAINING * settings.epochs * settings.steps.unwrap_or(0) * plan.config.images_per_step
}

fn finetuning(plan: &StudyPlan, finetuning: &Finetuning) -> usize {
    let settings = &finetuning.config.training;
    // Without a number of steps, a guess that the first epochs will not take long to belie.
    let steps = settings.steps.unwrap_or(30);
    let tested = finetuning.tests.iter().flat_map(|&test| {
        let test = &plan.tests[test];
        let scans = &plan.dataset(test.dataset).index.scans;
        test.scans.iter().map(|&scan| scans[scan].slices)
    });
    // The decoder makes it twice as much, a refinement many times.
    let tests = tested.sum::<usize>() * if finetuning.refine { 40 } else { 2 };
    let taught = 1 + usize::from(finetuning.config.self_train == Some(true));
    2 * TRAINING * taught * settings.epochs * steps * settings.batch + tests
}
