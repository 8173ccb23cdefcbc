//! Names of trainings and of their folders.

use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::StudyPlan;

impl StudyPlan {
    /// The folder of what has this key: that of the same training for another method, the one it has already,
    /// whatever it was called then, or a new one.
    pub(super) fn place(&self, kind: &str, title: &str, key: &str) -> PathBuf {
        let parent = self.out.join(kind);
        let there = std::fs::read_dir(&parent).into_iter().flatten().flatten().map(|entry| entry.path());
        let planned = self.finetunings.iter().map(|finetuning| finetuning.dir.clone());
        let same = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(&format!("-{key}")));
        planned.chain(there).find(same).unwrap_or_else(|| parent.join(folder(title, key)))
    }
}

pub fn titled(what: &str, seed: u32, fold: Option<usize>) -> String {
    let fold = fold.map_or(String::new(), |fold| format!(" fold {fold}"));
    format!("{what} seed {seed}{fold}")
}

/// Twelve digits tell runs apart; the version decides, too, for it may compute otherwise.
pub fn key(of: &impl Serialize) -> String {
    let text = serde_json::to_string(&(of, env!("CARGO_PKG_VERSION"))).expect("settings are JSON");
    let digest = Sha256::digest(text);
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// A folder's name that a person can read, and that is another for other settings.
pub fn folder(title: &str, key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("{}-{key}", title.chars().take(60).map(plain).collect::<String>())
}
