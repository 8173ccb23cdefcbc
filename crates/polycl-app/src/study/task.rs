//! A job as the commands a person would type, one after the other, so that it can be repeated by hand.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use polycl_base::output;
use serde::Serialize;

use super::folder::Beginning;
use super::job::Job;
use super::oracle;
use super::plan::{Finetuning, Finish, SCORES, SUMMARY, StudyPlan, Test};
use super::trained::{self, Trained};

/// A job under way. What is there already is not done again.
pub struct Task {
    plan: Arc<StudyPlan>,
    job: Job,
    steps: VecDeque<Step>,
}

enum Step {
    /// Trains.
    Train,
    /// Notes that it is trained.
    Note,
    /// Makes the masks of a test, by its number.
    Masks(usize, Finish),
    /// Scores them.
    Scores(usize, Finish),
    /// Notes that nothing is left to do.
    Done,
}

/// The file that is there once nothing is left to do in a job. A study that asks for more tests, or for refinement, asks
/// for another file.
pub fn done(plan: &StudyPlan, job: Job) -> PathBuf {
    let folder = job.folder(plan);
    let Job::Finetuning(number) = job else { return folder.join("done.json") };
    let finetuning = &plan.finetunings[number];
    let mut results = Vec::new();
    for &test in &finetuning.tests {
        for finish in plan.finishes(finetuning) {
            let result = plan.result(finetuning, &plan.tests[test], finish);
            results.push(result.strip_prefix(folder).unwrap_or(&result).to_string_lossy().into_owned());
        }
    }
    folder.join(format!("done-{:08x}.json", crc32c::crc32c(results.join("\n").as_bytes())))
}

pub fn is_done(plan: &StudyPlan, job: Job) -> bool {
    done(plan, job).exists()
}

impl Task {
    /// # Errors
    /// For a fine-tuning whose encoder is not there.
    pub(super) fn new(plan: &Arc<StudyPlan>, job: Job) -> anyhow::Result<Self> {
        let mut steps = VecDeque::from([Step::Train, Step::Note]);
        if let Job::Finetuning(number) = job {
            let finetuning = &plan.finetunings[number];
            if let Some(pretraining) = finetuning.pretraining {
                let done = trained::is_done(&plan.pretrainings[pretraining].dir);
                ensure!(done, "the pre-training before it failed");
            }
            for &test in &finetuning.tests {
                for finish in plan.finishes(finetuning) {
                    steps.extend([Step::Masks(test, finish), Step::Scores(test, finish)]);
                }
            }
        }
        steps.push_back(Step::Done);
        Ok(Self { plan: Arc::clone(plan), job, steps })
    }

    /// The folder in which all of it happens.
    pub fn folder(&self) -> &Path {
        self.job.folder(&self.plan)
    }

    /// The words of the next command, once the one before has ended well; none when the job is done. Does what needs
    /// no command on the way there.
    pub fn next_command(&mut self) -> anyhow::Result<Option<Vec<String>>> {
        while let Some(step) = self.steps.pop_front() {
            if let Some(words) = self.words(&step)? {
                return Ok(Some(words));
            }
        }
        Ok(None)
    }

    fn words(&self, step: &Step) -> anyhow::Result<Option<Vec<String>>> {
        match (step, self.job) {
            (Step::Train, _) if trained::is_done(self.folder()) => Ok(None),
            (Step::Train, Job::Pretraining(number)) => {
                let config = &self.plan.pretrainings[number].config;
                self.train("pretrain", &self.plan.config.dataset, config).map(Some)
            }
            (Step::Train, Job::Finetuning(number)) => {
                let Finetuning { config, dataset, pretraining, .. } = &self.plan.finetunings[number];
                let mut config = config.clone();
                config.encoder = pretraining.map(|number| self.plan.pretrainings[number].dir.join("run"));
                self.train("finetune", dataset, &config).map(Some)
            }
            (Step::Note, _) => Trained::note(self.folder()).map(|()| None),
            (Step::Done, _) => self.note_done().map(|()| None),
            (&Step::Masks(test, finish), Job::Finetuning(number)) => self.masks(number, test, finish),
            (&Step::Scores(test, finish), Job::Finetuning(number)) => self.scores(number, test, finish),
            (Step::Masks(..) | Step::Scores(..), Job::Pretraining(_)) => Ok(None),
        }
    }

    fn note_done(&self) -> anyhow::Result<()> {
        let file = done(&self.plan, self.job);
        if !file.exists() {
            // `study.json` tells the instruction set, which commands are held to and this process is not.
            let text = serde_json::json!({"polycl": env!("CARGO_PKG_VERSION")});
            output::atomically(&file, |file| writeln!(file, "{text}"))?;
        }
        Ok(())
    }

    fn train(&self, command: &str, dataset: &Path, config: &impl Serialize) -> anyhow::Result<Vec<String>> {
        let settings = self.folder().join("settings.toml");
        let toml = toml::to_string(config)?;
        output::atomically(&settings, |file| file.write_all(toml.as_bytes()))?;
        let words = [command.to_owned(), text(dataset)?, "--config".into(), text(&settings)?];
        let run = text(&self.folder().join("run"))?;
        Ok(words.into_iter().chain(["--out".into(), run, "--resume".into()]).collect())
    }

    /// The folder of a result that is not there yet.
    fn missing(&self, number: usize, test: &Test, finish: Finish) -> Option<PathBuf> {
        let out = self.plan.result(&self.plan.finetunings[number], test, finish);
        (!out.join(SUMMARY).exists()).then_some(out)
    }

    fn masks(&self, number: usize, test: usize, finish: Finish) -> anyhow::Result<Option<Vec<String>>> {
        let test = &self.plan.tests[test];
        let Some(out) = self.missing(number, test, finish) else { return Ok(None) };
        let masks = out.join("masks");
        match finish {
            Finish::Plain => self.predict(test, &masks, Vec::new()).map(Some),
            Finish::Refined => self.predict(test, &masks, self.refining()?).map(Some),
            Finish::Oracle => self.clip(number, test, &masks).map(|()| None),
        }
    }

    fn predict(&self, test: &Test, masks: &Path, flags: Vec<String>) -> anyhow::Result<Vec<String>> {
        let (run, images) = (self.folder().join("run"), test.dir.join("images"));
        let words = ["predict".to_owned(), text(&run)?, text(&images)?, "--out".into(), text(masks)?];
        let smooth = Beginning::read(&self.plan.out)?.smooth.to_string();
        let always = ["--continue".to_owned(), "--smooth".into(), smooth];
        Ok(words.into_iter().chain(always).chain(flags).collect())
    }

    /// The flags of `predict` that refine.
    fn refining(&self) -> anyhow::Result<Vec<String>> {
        let refinement = self.plan.config.refinement.as_ref().context("a refinement")?;
        let mut flags = vec!["--refine".to_owned(), refinement.model.to_string()];
        flags.extend(["--cache".to_owned(), text(&self.plan.out.join("cache"))?]);
        if let Some(weights) = &refinement.weights {
            flags.extend(["--weights".to_owned(), text(weights)?]);
        }
        Ok(flags)
    }

    fn clip(&self, number: usize, test: &Test, out: &Path) -> anyhow::Result<()> {
        if out.exists() {
            return Ok(());
        }
        let scans = &self.plan.dataset(test.dataset).index.scans;
        let cases = test.scans.iter().map(|&scan| scans[scan].case.as_str());
        let masks = self.plan.result(&self.plan.finetunings[number], test, Finish::Plain).join("masks");
        Ok(oracle::clip_all(cases, &masks, &test.dir.join("labels"), out)?)
    }

    /// Scores the masks in a folder beside them.
    fn scores(&self, number: usize, test: usize, finish: Finish) -> anyhow::Result<Option<Vec<String>>> {
        let test = &self.plan.tests[test];
        let Some(out) = self.missing(number, test, finish) else { return Ok(None) };
        let (masks, scores, labels) = (out.join("masks"), out.join(SCORES), test.dir.join("labels"));
        let reference = ["evaluate".to_owned(), "--reference".into(), text(&labels)?];
        let prediction = ["--prediction".to_owned(), text(&masks)?, "--out".into(), text(&scores)?];
        Ok(Some(reference.into_iter().chain(prediction).collect()))
    }
}

/// A path as a word of a command.
pub fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{}: expected a name in UTF-8", path.display()))
}
