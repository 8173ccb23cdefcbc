//! A round of training on what was reviewed so far: its commands, which are those that a person could type, and the words
//! by which their processes are steered.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The environment variable that makes a command follow its standard input: [`PAUSE`] and [`GO`], a line each. The end of
/// the input asks it to stop in order, so that no command outlives the process that began it.
pub const STEERED: &str = "POLYCL_STEERED";
pub const PAUSE: &str = "pause";
pub const GO: &str = "go";

/// The folder of a round, and all that decides over its networks.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    pub folder: &'a Path,
    pub pretrained: bool,
    /// The organs that the network learns.
    pub organs: &'a [String],
    pub scale: Scale,
}

/// The size of slices and the length of trainings; those of the commands where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scale {
    /// Side of the slices.
    pub size: Option<u32>,
    pub epochs: Option<u32>,
    /// Steps of an epoch.
    pub steps: Option<u32>,
    /// Slices of a step.
    pub batch: Option<u32>,
}

impl Round<'_> {
    /// The masks that train, with their table.
    pub fn masks(&self) -> PathBuf {
        self.folder.join("masks")
    }

    pub fn encoder(&self) -> PathBuf {
        self.folder.join("encoder")
    }

    pub fn network(&self) -> PathBuf {
        self.folder.join("network")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Builds the data set, or goes on with it.
    pub fn import(&self) -> Vec<OsString> {
        let manifest = self.masks().join("manifest.csv");
        let mut words = words(["import", "--continue", "--manifest"]);
        words.extend([manifest.into(), "--out".into(), self.data().into()]);
        with(words, [("--size", self.scale.size)])
    }

    /// Pre-trains on all scans of the data set, or goes on with that.
    pub fn pretrain(&self) -> Vec<OsString> {
        let mut words = words(["pretrain", "--resume", "--strategy", "scan", "--out"]);
        words.extend([self.encoder().into(), self.data().into()]);
        self.trained(words)
    }

    /// Fine-tunes on all masks of the data set, or goes on with that.
    pub fn finetune(&self) -> Vec<OsString> {
        let mut words = words(["finetune", "--resume", "--self-train", "false", "--out"]);
        words.push(self.network().into());
        if self.pretrained {
            words.extend(["--encoder".into(), self.encoder().into()]);
        }
        // A name may begin with a dash.
        words.extend(self.organs.iter().map(|organ| format!("--organ={organ}").into()));
        words.push(self.data().into());
        self.trained(words)
    }

    fn trained(&self, words: Vec<OsString>) -> Vec<OsString> {
        let Scale { epochs, steps, batch, .. } = self.scale;
        with(words, [("--epochs", epochs), ("--steps", steps), ("--batch", batch)])
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.into_iter().map(OsString::from).collect()
}

/// The words with the flags that have a value.
fn with<const N: usize>(mut words: Vec<OsString>, flags: [(&str, Option<u32>); N]) -> Vec<OsString> {
    for (flag, value) in flags {
        words.extend(value.into_iter().flat_map(|value| [flag.into(), value.to_string().into()]));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_three_commands() {
        let scale = Scale { size: Some(64), epochs: Some(2), ..Scale::default() };
        let organs = ["liver".to_owned()];
        let round = Round { folder: Path::new("r"), pretrained: true, organs: &organs, scale };
        let line = |words: Vec<OsString>| words.join(&OsString::from(" ")).into_string().unwrap();
        let separate = std::path::MAIN_SEPARATOR_STR;
        let expected = |line: &str| line.replace('/', separate);
        assert_eq!(
            line(round.import()),
            expected("import --continue --manifest r/masks/manifest.csv --out r/data --size 64")
        );
        assert_eq!(
            line(round.pretrain()),
            expected("pretrain --resume --strategy scan --out r/encoder r/data --epochs 2")
        );
        let tuned = "finetune --resume --self-train false --out r/network --encoder r/encoder --organ=liver r/data --epochs 2";
        assert_eq!(line(round.finetune()), expected(tuned));
        let plain = Round { pretrained: false, scale: Scale::default(), ..round };
        assert_eq!(
            line(plain.finetune()),
            expected("finetune --resume --self-train false --out r/network --organ=liver r/data")
        );
    }
}
