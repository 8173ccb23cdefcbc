//! The trainings of a study, by seed, then fold, then budget.

use std::collections::BTreeSet;

use anyhow::Context;
use polycl_nn::train::{finetune, pretrain};

use super::labelled::Taught;
use super::names::{key, titled};
use super::{Arm, Finetuning, Pretraining, StudyPlan, TRAINING};

impl StudyPlan {
    pub(super) fn trainings(&mut self) -> anyhow::Result<()> {
        let folds: Vec<Option<usize>> = match self.config.folds {
            Some(folds) => (0..folds).map(Some).collect(),
            None => vec![None],
        };
        for seed in self.config.seeds.clone() {
            for &fold in &folds {
                self.trainings_of(seed, fold)?;
            }
        }
        Ok(())
    }

    /// The trainings of all arms at all budgets.
    fn trainings_of(&mut self, seed: u32, fold: Option<usize>) -> anyhow::Result<()> {
        let exclude = self.left_out_of(fold);
        let encoders = self.encoders_of(seed, fold, &exclude)?;
        let mut scans = self.by_hand(TRAINING, self.config.domain.as_deref());
        scans.retain(|&scan| !exclude.contains(&self.training().index.scans[scan].patient));
        let drawable = self.drawable(&scans, seed)?;
        for budget in 0..self.config.budgets.len() {
            for (arm, &encoder) in encoders.iter().enumerate() {
                let mut taught = self
                    .taught([arm, budget], seed, &scans, &drawable)
                    .with_context(|| format!("budget {}", self.config.budgets[budget]))?;
                taught.ranged = self.ranged(&exclude, &taught);
                self.add_finetuning([arm, budget], (seed, fold), encoder, taught)?;
            }
        }
        Ok(())
    }

    /// The patients of the training data who are left out of everything, and those who are tested in a fold.
    fn left_out_of(&self, fold: Option<usize>) -> Vec<String> {
        let tests = self.tests.iter().filter(|test| fold.is_some() && test.fold == fold);
        let index = &self.training().index;
        let patients = tests.flat_map(|test| &test.scans).map(|&scan| index.scans[scan].patient.clone());
        Vec::from_iter(patients.chain(self.config.exclude.iter().cloned()).collect::<BTreeSet<_>>())
    }

    /// The pre-training of every arm, if it has one; methods with the same settings share it.
    fn encoders_of(
        &mut self,
        seed: u32,
        fold: Option<usize>,
        exclude: &[String],
    ) -> anyhow::Result<Vec<Option<usize>>> {
        let mut encoders = Vec::new();
        for arm in 0..self.arms.len() {
            let method = self.arms[arm].method.clone();
            let Some(mut config) = method.pretraining else {
                encoders.push(None);
                continue;
            };
            config.training.seed = seed.into();
            config.exclude = exclude.to_vec();
            pretrain::check(self.training(), &config).with_context(|| format!("method '{}'", method.name))?;
            let key = key(&(&config, self.training().index.fingerprint()));
            let known = self.pretrainings.iter().position(|known| known.key == key);
            encoders.push(Some(known.unwrap_or_else(|| {
                let title = titled(&method.name, seed, fold);
                let dir = self.place("encoders", &title, &key);
                self.pretrainings.push(Pretraining {
                    title: format!("pre-training {title}"),
                    dir,
                    config,
                    key,
                });
                self.pretrainings.len() - 1
            })));
        }
        Ok(encoders)
    }

    fn add_finetuning(
        &mut self,
        [arm, budget]: [usize; 2],
        (seed, fold): (u32, Option<usize>),
        pretraining: Option<usize>,
        Taught { split, drawn, ranged }: Taught,
    ) -> anyhow::Result<()> {
        let Arm { method, finetuning, dataset, title, .. } = &self.arms[arm];
        let number = self.datasets.iter().position(|(path, _)| path == dataset);
        let data = self.dataset(number.context("data sets were opened before")?);
        let mut config = finetuning.clone();
        config.training.seed = seed.into();
        self.check_labels(data, &split).with_context(|| title.clone())?;
        config.split = Some(split);
        config.drawn = drawn;
        // Where all masks train whole there is nothing else to learn from.
        config.self_train = config.self_train.map(|wanted| wanted && !ranged.is_empty());
        config.ranged = Some(ranged).filter(|_| config.self_train == Some(true));
        config.permuted_ranges &= config.ranged.is_some();
        finetune::check(data, &config).with_context(|| title.clone())?;
        let upstream = pretraining.map(|number| self.pretrainings[number].key.as_str());
        let key = key(&(&config, data.index.fingerprint(), upstream));
        let labels = self.arms[arm].labels.as_ref().map_or(String::new(), |labels| format!(" {labels}"));
        let wanted = self.config.budgets[budget];
        let title = titled(&format!("{}{labels} {wanted}", method.name), seed, fold);
        let finetuning = Finetuning {
            arm,
            budget,
            seed,
            fold,
            pretraining,
            dataset: dataset.clone(),
            dir: self.place("networks", &title, &key),
            tests: self.tests_of(fold),
            refine: self.refines(arm, budget),
            config,
        };
        self.finetunings.push(finetuning);
        Ok(())
    }

    /// The tests of what was trained for a fold, or for none.
    fn tests_of(&self, fold: Option<usize>) -> Vec<usize> {
        let of = |test: &usize| self.tests[*test].fold.is_none_or(|own| fold == Some(own));
        (0..self.tests.len()).filter(of).collect()
    }

    fn refines(&self, arm: usize, budget: usize) -> bool {
        let method = &self.arms[arm].method.name;
        self.config.refinement.as_ref().is_some_and(|refinement| {
            let (methods, budgets) = (&refinement.methods, &refinement.budgets);
            (methods.is_empty() || methods.contains(method))
                && (budgets.is_empty() || budgets.contains(&self.config.budgets[budget]))
        })
    }
}
