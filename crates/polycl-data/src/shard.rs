//! A share of the cases of a cohort, for one of several processes that do them together.

use std::fmt;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, Subject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Shard `at` of `of`, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub at: u32,
    pub of: u32,
}

/// The folder, in that of the results, in which shards work until they are merged.
pub fn folder(out: &Path) -> PathBuf {
    out.join("shards")
}

/// The file in that folder that tells what all shards have in common.
pub fn beginning(out: &Path) -> PathBuf {
    folder(out).join("shards.json")
}

impl Shard {
    fn new(at: u32, of: u32) -> Option<Self> {
        (at < of).then_some(Self { at, of })
    }

    /// True for one of its cases: by the hash of the name, so that cases may come and others keep their shard.
    pub fn has(self, case: &str) -> bool {
        let hash = Sha256::digest(case.as_bytes());
        let number = hash.iter().take(8).fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        number % u64::from(self.of) == u64::from(self.at)
    }

    /// Its own folder for the results in `out`.
    pub fn folder(self, out: &Path) -> PathBuf {
        folder(out).join(self.at.to_string())
    }

    /// The shard that is asked for: `I/N`, or `auto` for what a scheduler tells in environment variables. These are
    /// `POLYCL_SHARD` as I/N, a task of a Slurm array, or a pod of an indexed Job of Kubernetes, which is not told how many
    /// there are: `auto/N` says it.
    ///
    /// # Errors
    /// [`Kind::Request`]
    pub fn asked(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        match text.strip_prefix("auto") {
            Some("") => Self::of_environment(None, variable),
            Some(count) => {
                let of = count.strip_prefix('/').and_then(|of| of.parse().ok());
                Self::of_environment(Some(of.ok_or_else(|| unknown("--shard", text))?), variable)
            }
            None => Self::parse("--shard", text),
        }
    }

    fn parse(whence: &str, text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(at, of)| Some((at.parse().ok()?, of.parse().ok()?)));
        numbers.and_then(|(at, of)| Self::new(at, of)).ok_or_else(|| unknown(whence, text))
    }

    fn of_environment(of: Option<u32>, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let number = |name: &str| variable(name).and_then(|text| text.trim().parse::<u32>().ok());
        if let Some(text) = variable("POLYCL_SHARD") {
            let told = Self::parse("POLYCL_SHARD", &text)?;
            return match of.filter(|of| *of != told.of) {
                None => Ok(told),
                Some(of) => Err(refused(format!("one of {of} shards"), format!("POLYCL_SHARD={text}"))),
            };
        }
        let (at, of, told) = if let Some(id) = number("SLURM_ARRAY_TASK_ID") {
            let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP").unwrap_or(1).max(1);
            let at = id.checked_sub(first).map(|from_first| from_first / step);
            let count = number("SLURM_ARRAY_TASK_COUNT");
            if let (Some(of), Some(count)) = (of, count.filter(|count| Some(*count) != of)) {
                let found = format!("a Slurm array of {count}");
                return Err(refused(format!("one of {of} shards"), found)
                    .hint("give --shard I/N, or submit the whole array"));
            }
            (at, of.or(count), format!("task {id} of a Slurm array"))
        } else if let Some(index) = number("JOB_COMPLETION_INDEX") {
            (Some(index), of, format!("pod {index} of an indexed Job"))
        } else {
            let expected = "POLYCL_SHARD, SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX in the environment";
            return Err(refused(expected, "none of them").hint("give --shard I/N, such as 0/8"));
        };
        let Some(of) = of else {
            return Err(refused("the number of shards", told).hint("give --shard auto/N"));
        };
        at.and_then(|at| Self::new(at, of)).ok_or_else(|| {
            refused(format!("one of {of} shards"), told).hint("give --shard I/N, or submit the whole array")
        })
    }
}

fn refused(expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::new(Subject::Flag("--shard".into()), Kind::Request, expected, found)
}

fn unknown(whence: &str, text: &str) -> Error {
    let expected = "I/N with I from 0 and below N, such as 0/8";
    let about = match whence {
        "--shard" => Subject::Flag(whence.into()),
        setting => Subject::Setting(setting.into()),
    };
    Error::new(about, Kind::Request, expected, text)
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.at, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_in_one_shard_and_shards_are_alike_in_size() {
        let of = 8;
        let cases: Vec<String> = (0..4000).map(|number| format!("case_{number:04}")).collect();
        let sizes: Vec<usize> =
            (0..of).map(|at| cases.iter().filter(|case| Shard { at, of }.has(case)).count()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), cases.len());
        assert!(sizes.iter().all(|size| (400..600).contains(size)), "{sizes:?}");
        // No version may put a case elsewhere: shards of a cohort may be done over weeks. The number is Python's hashlib's.
        assert!(Shard { at: 6, of }.has("case_0000"));
    }

    #[test]
    fn schedulers_tell_the_shard_in_their_own_ways() {
        let told = |text: &str, variables: &[(&str, &str)]| {
            let found = |name: &str| {
                variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
            };
            Shard::asked(text, found).map_or_else(|error| error.to_string(), |shard| shard.to_string())
        };
        assert_eq!(told("3/8", &[]), "3/8");
        assert_eq!(told("auto", &[("POLYCL_SHARD", "3/8")]), "3/8");
        let slurm =
            [("SLURM_ARRAY_TASK_ID", "4"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_COUNT", "8")];
        assert_eq!(told("auto", &slurm), "3/8");
        let pod = [("JOB_COMPLETION_INDEX", "7")];
        assert_eq!(told("auto/8", &pod), "7/8");
        for (text, variables, says) in [
            ("auto", &pod[..], "the number of shards"),
            ("auto/7", &pod[..], "one of 7 shards"),
            ("auto/9", &slurm[..], "a Slurm array of 8"),
            ("auto/9", &[("POLYCL_SHARD", "3/8")], "one of 9 shards"),
            ("auto", &[], "none of them"),
            ("auto", &[("POLYCL_SHARD", "8/8")], "POLYCL_SHARD"),
            ("autos", &[], "autos"),
            ("8/8", &[], "8/8"),
            ("1", &[], "found 1"),
            ("-1/8", &[], "-1/8"),
            ("0/0", &[], "0/0"),
        ] {
            let found = told(text, variables);
            assert!(found.contains(says), "{found}");
        }
    }
}
