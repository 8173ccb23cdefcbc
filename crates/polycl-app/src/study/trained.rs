//! Trainings that are done.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use polycl_base::output;
use polycl_nn::checkpoint;
use polycl_nn::train::{TEACHER, read_log, weights};
use serde::{Deserialize, Serialize};

/// The file that says that a training is done.
const DONE: &str = "trained.json";

/// The record that a training leaves when it is done.
#[derive(Serialize, Deserialize)]
pub struct Trained {
    /// The time of all epochs, whenever they were trained.
    pub seconds: f64,
}

/// True for the folder of a training that is done. Its run alone may be half trained.
pub fn is_done(dir: &Path) -> bool {
    dir.join(DONE).exists()
}

impl Trained {
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(DONE);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes the record of a training whose command has ended well, unless it is there.
    pub fn note(dir: &Path) -> anyhow::Result<()> {
        if is_done(dir) {
            return Ok(());
        }
        let run = dir.join("run");
        ensure!(weights(&run).exists(), "no weights in {}", run.display());
        let teacher = Some(run.join(TEACHER)).filter(|teacher| teacher.exists());
        let mut seconds = 0.0;
        for run in [&run].into_iter().chain(&teacher) {
            seconds += read_log(run)?.iter().map(|record| record.seconds).sum::<f64>();
        }
        let text = serde_json::to_string(&Self { seconds })?;
        output::atomically(&dir.join(DONE), |file| writeln!(file, "{text}"))?;
        // Nobody goes on from a training that is done. A kill before this leaves a larger file, no more.
        for run in [&run].into_iter().chain(&teacher) {
            checkpoint::forget_optimiser(&run.join("latest.safetensors"))?;
        }
        Ok(())
    }
}
