//! Pre-training and fine-tuning alike: settings in layers, and the curve in the run's folder.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use polycl_base::Watch;
use polycl_nn::train::{Begin, Epoch, State, TEACHER, read_log};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::figures::curve;
use crate::settings::overlay;

/// A run to begin or to go on with, and where its settings come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    pub dataset: PathBuf,
    /// Folder of the run to write.
    pub out: PathBuf,
    /// Settings in a TOML file.
    pub config: Option<PathBuf>,
    /// Settings that go over those of the file.
    pub settings: Table,
    pub resume: bool,
    /// The longest time between two checkpoints.
    pub save_every: Duration,
}

impl RunSettings {
    /// True where a run is there to go on with.
    pub(crate) fn resumes(&self) -> bool {
        self.resume && self.out.join("config.toml").exists()
    }

    pub(crate) fn begin(&self) -> Begin {
        Begin { resume: self.resume, save_every: self.save_every }
    }

    /// The settings of the run: those it began with where it is resumed, over them those of the file,
    /// over them those that were given.
    pub(crate) fn read<C: DeserializeOwned>(&self) -> anyhow::Result<C> {
        let begun = self.out.join("config.toml");
        let begun = Some(begun.as_path()).filter(|_| self.resumes());
        let files: Vec<&Path> = begun.into_iter().chain(self.config.as_deref()).collect();
        let mut settings = Table::new();
        for path in &files {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            overlay(&mut settings, text.parse().with_context(|| format!("{}: not TOML", path.display()))?);
        }
        overlay(&mut settings, self.settings.clone());
        let name = files.last().map_or("settings".to_owned(), |path| path.display().to_string());
        C::deserialize(settings).map_err(|e| anyhow::anyhow!("{name}: {}", e.message()))
    }
}

/// The state of a training that has ended or was stopped.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Epochs asked for.
    pub epochs: usize,
    pub state: State,
}

/// Draws the curve of a training after each epoch.
pub(crate) struct Drawing<'a> {
    title: &'a str,
    run: &'a Path,
    watch: &'a dyn Watch,
}

impl<'a> Drawing<'a> {
    pub fn new(title: &'a str, run: &'a Path, watch: &'a dyn Watch) -> Self {
        Self { title, run, watch }
    }

    /// A kill may have come between the last epoch of the run, or of its teacher, and its picture.
    pub fn finish(&self) {
        for run in [self.run.join(TEACHER), self.run.to_path_buf()] {
            if read_log(&run).is_ok_and(|log| !log.is_empty()) {
                self.draw(&run);
            }
        }
    }

    /// The picture is a convenience; that it cannot be drawn must not end a training.
    fn draw(&self, run: &Path) {
        let drawn = read_log(run)
            .map_err(anyhow::Error::from)
            .and_then(|log| curve::draw(&run.join("curve.svg"), self.title, &log));
        if let Err(error) = drawn {
            self.watch.note(&format!("note: no curve: {}", polycl_base::told(error.as_ref())));
        }
    }
}

impl Watch for Drawing<'_> {
    fn inner(&self) -> Option<&dyn Watch> {
        Some(self.watch)
    }

    fn partial(&self, result: &dyn Any) {
        self.watch.partial(result);
        if let Some(epoch) = result.downcast_ref::<Epoch>() {
            self.draw(&epoch.run);
        }
    }
}
