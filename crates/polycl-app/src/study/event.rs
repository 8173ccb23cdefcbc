//! The course of a study, told to whoever watches it through [`polycl_base::Watch::partial`].

use serde::Serialize;

use super::standing::Standing;

#[derive(Debug, Clone, Serialize)]
pub enum Event {
    /// All is checked, and nothing has begun.
    Planned(Planned),
    /// The folder is this study's from here on: a good time to listen to signals.
    Opened { work: u64, standing: Standing },
    /// A job has begun.
    Began { name: String },
    /// A job has ended: its part of the work of all, and the scores so far.
    Ended { name: String, end: JobEnd, work: u64, standing: Standing },
    /// All jobs have ended, unless the study was stopped. The report comes next.
    Over { failed: Vec<Failed> },
}

/// All that there is to do.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// Methods, each with the masks it learns from.
    pub methods: usize,
    pub budgets: usize,
    pub seeds: usize,
    pub folds: Option<usize>,
    pub pretrainings: Count,
    pub finetunings: Count,
    /// Jobs at a time.
    pub jobs: usize,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Count {
    pub all: usize,
    /// Those that an earlier run has done.
    pub done: usize,
}

#[derive(Debug, Clone, Serialize)]
pub enum JobEnd {
    Pretrained,
    /// Tested on each test by its name; mean Dice, where it is defined.
    Tested(Vec<(String, Option<f64>)>),
    /// The reason in words.
    Failed(String),
}

/// A job that failed, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    pub name: String,
    pub words: String,
}
