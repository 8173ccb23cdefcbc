//! The folder of a study: whose it is, and what the study in it began with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use polycl_base::claim::Claims;
use polycl_base::{Error, Kind, lock, output};
use polycl_nn::kernels::instruction_set;
use polycl_nn::smooth::SMOOTH;
use serde::{Deserialize, Serialize};

use super::plan::StudyPlan;

/// Takes the folder for as long as the file lives: two studies in one would get into each other's way.
pub fn alone(out: &Path) -> anyhow::Result<File> {
    held(out, lock::file, "expected a folder in which no study runs; another `polycl study` is at work")
}

/// Takes part in a study that other processes do as well, for as long as the file lives.
pub fn shared(out: &Path) -> anyhow::Result<File> {
    held(
        out,
        lock::shared,
        "expected a study that is done by several processes; one without --join is at work",
    )
}

fn held(
    out: &Path,
    lock: fn(&Path) -> polycl_base::Result<Option<File>>,
    refusal: &str,
) -> anyhow::Result<File> {
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, "make the folder", &e))?;
    lock(&out.join(".lock"))?.with_context(|| format!("{}: {refusal}", out.display()))
}

/// The beginning of a study, in `study.json`.
#[derive(Default, Serialize, Deserialize)]
pub struct Beginning {
    /// Hashes of data sets by path.
    data: BTreeMap<String, String>,
    /// The primary method.
    pub primary: Option<String>,
    /// The instruction set by which all of it is computed: another one rounds otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    simd: Option<String>,
    /// Millimetres by which predictions are smoothed along the body; studies of earlier versions do not smooth.
    #[serde(default)]
    pub smooth: f64,
}

/// The instruction sets that a processor has whose best is this one.
fn has(best: &str, wanted: &str) -> bool {
    wanted == "portable" || wanted == best || (best, wanted) == ("avx512", "avx2")
}

impl Beginning {
    pub fn read(out: &Path) -> anyhow::Result<Self> {
        let path = out.join("study.json");
        if !path.exists() {
            return Ok(Self { smooth: SMOOTH, ..Self::default() });
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

    fn simd(&self, out: &Path, ours: &str) -> anyhow::Result<String> {
        let Some(simd) = &self.simd else { return Ok(ours.to_owned()) };
        if has(ours, simd) {
            return Ok(simd.clone());
        }
        let expected = format!("a processor with {simd}, on which the study began");
        let hint = format!("use other computers, or begin anew with POLYCL_SIMD={ours} on all of them");
        Err(Error::new(out, Kind::Request, expected, ours.to_owned()).hint(hint).into())
    }

    /// Takes in what is new; what was settled on stays.
    pub fn noted(mut self, plan: &StudyPlan) -> anyhow::Result<Self> {
        self.simd.get_or_insert_with(|| instruction_set().to_owned());
        for (path, dataset) in &plan.datasets {
            self.data.insert(path.display().to_string(), dataset.index.fingerprint());
        }
        let primary = plan.primary().map(|arm| plan.arms[arm].method.name.clone());
        self.primary = self.primary.or(primary);
        self.write(&plan.out)?;
        Ok(self)
    }

    fn write(&self, out: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        Ok(output::atomically(&out.join("study.json"), |file| writeln!(file, "{text}"))?)
    }
}

/// The instruction set that commands of the study in a folder are held to. Where it is `shared` with other processes, the
/// first of them settles it for all.
///
/// # Errors
/// [`Kind::Request`] where the study began on a better processor, or one of another kind; [`Kind::Io`].
pub fn simd(out: &Path, shared: Option<Duration>) -> anyhow::Result<String> {
    let ours = instruction_set();
    let Some(patience) = shared else { return Beginning::read(out)?.simd(out, ours) };
    let _claim = Claims::new(patience).in_turn(out, "beginning")?;
    let mut beginning = Beginning::read(out)?;
    if beginning.simd.is_none() {
        beginning.simd = Some(ours.to_owned());
        beginning.write(out)?;
    }
    beginning.simd(out, ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_keeps_to_the_instructions_that_it_began_with() {
        let began = |simd: &str| Beginning { simd: Some(simd.into()), ..Beginning::default() };
        let held = |began: &Beginning, ours| began.simd(Path::new("study"), ours).ok();
        assert_eq!(held(&Beginning::default(), "avx512").unwrap(), "avx512");
        assert_eq!(held(&began("avx2"), "avx512").unwrap(), "avx2");
        assert_eq!(held(&began("portable"), "neon").unwrap(), "portable");
        assert!(held(&began("avx512"), "avx2").is_none() && held(&began("neon"), "avx2").is_none());
    }

    #[test]
    fn a_study_smooths_as_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let smooth = || Beginning::read(folder.path()).unwrap().smooth;
        assert_eq!(smooth(), SMOOTH);
        std::fs::write(folder.path().join("study.json"), r#"{"data": {}, "primary": null}"#).unwrap();
        assert_eq!(smooth(), 0.0, "an earlier version began it");
        Beginning { smooth: 4.0, ..Beginning::default() }.write(folder.path()).unwrap();
        assert_eq!(smooth(), 4.0);
    }
}
