//! The folder of a study: whose it is, and what the study in it began with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use polycl_base::{Error, Kind, lock, output};
use serde::{Deserialize, Serialize};

use super::plan::StudyPlan;

/// Takes the folder for as long as the file lives: two studies in one would get into each other's way.
pub fn alone(out: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, "make the folder", &e))?;
    lock::file(&out.join(".lock"))?.with_context(|| {
        let out = out.display();
        format!("{out}: expected a folder in which no study runs; another `polycl study` is at work")
    })
}

/// The beginning of a study, in `study.json`.
#[derive(Default, Serialize, Deserialize)]
pub struct Beginning {
    /// Hashes of data sets by path.
    data: BTreeMap<String, String>,
    /// The primary method.
    pub primary: Option<String>,
}

impl Beginning {
    pub fn read(out: &Path) -> anyhow::Result<Self> {
        let path = out.join("study.json");
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Refuses a data set that has changed since the study began: old and new results would not be of one kind.
    pub fn same_data(&self, plan: &StudyPlan) -> anyhow::Result<()> {
        for (path, dataset) in &plan.datasets {
            let then = self.data.get(&path.display().to_string());
            if then.is_some_and(|then| *then != dataset.index.fingerprint()) {
                let expected = "the data set that the study began with";
                return Err(Error::new(path, Kind::Request, expected, "another data set")
                    .hint("import it again as it was, or begin a new study with another --out")
                    .into());
            }
        }
        Ok(())
    }

    /// Takes in what is new; what was settled on stays.
    pub fn noted(mut self, plan: &StudyPlan) -> anyhow::Result<Self> {
        for (path, dataset) in &plan.datasets {
            self.data.insert(path.display().to_string(), dataset.index.fingerprint());
        }
        let primary = plan.primary().map(|arm| plan.arms[arm].method.name.clone());
        self.primary = self.primary.or(primary);
        let text = serde_json::to_string_pretty(&self)?;
        output::atomically(&plan.out.join("study.json"), |file| writeln!(file, "{text}"))?;
        Ok(self)
    }
}
