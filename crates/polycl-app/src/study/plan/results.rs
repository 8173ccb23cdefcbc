//! The places of results: masks and scores of every fine-tuning, test and finish.

use std::path::PathBuf;

use super::{Finetuning, StudyPlan, Test};

/// The file that says that a test is done.
pub const SUMMARY: &str = "scores/summary.json";
/// The folder of it.
pub const SCORES: &str = "scores";

/// The last thing done to masks before they are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finish {
    /// Nothing.
    Plain,
    /// A Segment Anything network has refined them.
    Refined,
    /// Voxels of an organ outside its true slices were set to zero.
    Oracle,
}

impl Finish {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Refined, Self::Oracle];

    /// The end of a method's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Refined => ", refined",
            Self::Oracle => ", oracle",
        }
    }
}

impl StudyPlan {
    /// All that is scored of a fine-tuning.
    pub fn finishes(&self, finetuning: &Finetuning) -> impl Iterator<Item = Finish> + use<> {
        let (refined, oracle) = (finetuning.refine, self.config.oracle);
        Finish::ALL.into_iter().filter(move |finish| match finish {
            Finish::Plain => true,
            Finish::Refined => refined,
            Finish::Oracle => oracle,
        })
    }

    /// The folder of the masks and scores on a test; refined ones are another network's, too.
    pub fn result(&self, finetuning: &Finetuning, test: &Test, finish: Finish) -> PathBuf {
        let name = test.dir.file_name().unwrap_or_default();
        let kind = match finish {
            Finish::Plain => "tests".to_owned(),
            Finish::Refined => format!("refined by {}", self.refined_by),
            Finish::Oracle => "oracle".to_owned(),
        };
        finetuning.dir.join(kind.replace(|c: char| !c.is_ascii_alphanumeric(), "_")).join(name)
    }

    /// True once all that an arm needs was trained and tested; one of which a part failed is not compared.
    pub fn complete(&self, arm: usize) -> bool {
        let scored = |finetuning: &Finetuning, finish| {
            let mut results =
                finetuning.tests.iter().map(|&test| self.result(finetuning, &self.tests[test], finish));
            results.all(|result| result.join(SUMMARY).exists())
        };
        let mut finetunings = self.finetunings.iter().filter(|finetuning| finetuning.arm == arm);
        finetunings.all(|finetuning| self.finishes(finetuning).all(|finish| scored(finetuning, finish)))
    }
}
