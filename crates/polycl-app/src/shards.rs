//! A cohort done by several processes, each its shard in a folder of its own; merging then leaves what one process would have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::lock::{self, Lock};
use polycl_base::{Error, Kind, Result, Until, Watch, hex, output};
use polycl_data::Shard;
use polycl_data::shard::{beginning, folder};
use polycl_nn::kernels::{instruction_set, keep_to};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The lock of the merge.
const LOCK: &str = ".polycl-merge.lock";

/// The facts that all shards of a piece of work share, in `shards.json`; the first of them settles these.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Beginning {
    shards: u32,
    cases: usize,
    /// Hash of the request and of the list of cases.
    work: String,
    /// The instruction set of networks, where one computes: another one rounds otherwise.
    simd: Option<String>,
}

/// The progress of a shard, in a file beside its folder.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    done: bool,
    /// That of the beginning.
    work: String,
    simd: Option<String>,
    /// Its cases by their number among all.
    cases: BTreeMap<usize, String>,
    /// Those that could not be done, and why.
    failed: BTreeMap<String, String>,
}

/// The shard that this process does, and nobody else, as long as it lives.
pub struct Own {
    pub folder: PathBuf,
    record: PathBuf,
    progress: Progress,
    lock: Lock,
}

/// Work that shards do together.
pub struct Work<'a> {
    /// All of its cases in their order.
    pub cases: Vec<&'a str>,
    /// All that decides over the results; equal for all shards.
    pub request: String,
    /// True where a network computes.
    pub computes: bool,
}

/// The hash of a request, of what was read for it, and of the content of files that it names.
pub fn hashed(request: &impl Debug, read: &impl Debug, files: &[&Path]) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{} {request:?} {read:?}", env!("CARGO_PKG_VERSION")));
    for file in files {
        hash.update(fs::read(file).map_err(|e| Error::io(*file, "read it", &e))?);
    }
    Ok(hex(&hash.finalize()))
}

impl Own {
    /// Takes the shard that is asked for; without one, refuses a folder whose shards are not merged, for `command`.
    ///
    /// # Errors
    /// As [`Self::take`] and [`refuse_unmerged`]; what `work` says.
    pub fn asked<'a>(
        (command, out): (&str, &Path),
        shard: Option<Shard>,
        work: impl FnOnce() -> Result<Work<'a>>,
    ) -> Result<Option<Self>> {
        match shard {
            Some(shard) => Self::take(out, shard, &work()?).map(Some),
            None => refuse_unmerged(out, command).map(|()| None),
        }
    }

    /// Takes a shard of work whose results lie in `out`.
    ///
    /// # Errors
    /// [`Kind::Request`] where shards of another number, of other cases or of another request are there, where another
    /// process does this one, or the processor lacks the instruction set of the others; [`Kind::Io`].
    fn take(out: &Path, shard: Shard, work: &Work<'_>) -> Result<Self> {
        let (simd, work_hash) = begin(out, shard, work)?;
        let own = shard.folder(out);
        let lock = lock::beside(&own)?;
        let cases = work.cases.iter().enumerate().filter(|(_, case)| shard.has(case));
        let cases = cases.map(|(number, case)| (number, (*case).to_owned())).collect();
        let progress = Progress { done: false, work: work_hash, simd, cases, failed: BTreeMap::new() };
        let record = own.with_extension("json");
        write(&record, &progress)?;
        Ok(Self { folder: own, record, progress, lock })
    }

    /// Does the work of a shard, or of one process alone. It is asked to stop, and comes to nothing, where another process has
    /// taken the shard over.
    ///
    /// # Errors
    /// As [`Self::check`], and what `work` says.
    pub fn hold<T, E: From<Error>>(
        own: Option<&Self>,
        watch: &dyn Watch,
        work: impl FnOnce(&dyn Watch) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let stop = || watch.stop() || own.is_some_and(Self::is_lost);
        let done = work(&Until { watch, stop });
        if let Some(own) = own {
            own.check().inspect_err(|_| own.clear())?;
        }
        done
    }

    /// True once another process may have the shard; asks no file.
    pub fn is_lost(&self) -> bool {
        self.lock.is_lost()
    }

    /// Refuses to go on where another process has taken the shard over.
    ///
    /// # Errors
    /// [`Kind::Request`]
    pub fn check(&self) -> Result<()> {
        self.lock.check()
    }

    /// Removes what it wrote after the shards were merged: a process may be paused in the middle of a file.
    fn clear(&self) {
        if self.begun().exists() {
            return;
        }
        let _ = fs::remove_dir_all(&self.folder);
        // Others may have theirs there still.
        let _ = self.folder.parent().map(fs::remove_dir);
    }

    /// The file that tells what all shards have in common.
    fn begun(&self) -> PathBuf {
        self.record.with_file_name("shards.json")
    }

    pub fn has(&self, case: &str) -> bool {
        self.progress.cases.values().any(|own| own == case)
    }

    /// Notes that every case is done, or failed for a reason that is told. Notes nothing where another process has taken the shard
    /// over, or the work was begun anew meanwhile.
    ///
    /// # Errors
    /// [`Kind::Request`] then; [`Kind::Io`].
    pub fn finish(mut self, failed: BTreeMap<String, String>) -> Result<()> {
        self.check()?;
        let begun = self.begun();
        let is_ours = begun.is_file() && read::<Beginning>(&begun)?.work == self.progress.work;
        if !is_ours {
            let found = "a folder that was removed or begun anew";
            return Err(Error::new(
                &self.folder,
                Kind::Request,
                "the shards that this one began with",
                found,
            )
            .hint("run the command again"));
        }
        (self.progress.done, self.progress.failed) = (true, failed);
        write(&self.record, &self.progress)
    }
}

/// Settles what all shards have in common, or holds this one to it; the instruction set to compute with, and the hash of the
/// work.
fn begin(out: &Path, shard: Shard, work: &Work<'_>) -> Result<(Option<String>, String)> {
    let path = beginning(out);
    let mut hash = Sha256::new();
    hash.update(&work.request);
    work.cases.iter().for_each(|case| hash.update(format!("\n{case}")));
    let (cases, own) = (work.cases.len(), hex(&hash.finalize()));
    let _lock = lock::wait(&folder(out))?;
    // None begins while all are merged.
    drop(lock::hold(&folder(out), LOCK)?);
    if !path.is_file() {
        let simd = work.computes.then(|| instruction_set().to_owned());
        write(&path, &Beginning { shards: shard.of, cases, work: own.clone(), simd: simd.clone() })?;
        return Ok((simd, own));
    }
    let there: Beginning = read(&path)?;
    let hint =
        format!("run the same command in all shards, or remove {} to begin anew", folder(out).display());
    let refused = |expected: String, found: String| {
        Err(Error::new(out, Kind::Request, expected, found).hint(hint.clone()))
    };
    if there.shards != shard.of {
        return refused(
            format!("one of {} shards, as the first said", there.shards),
            format!("shard {shard}"),
        );
    }
    if there.cases != cases {
        return refused(
            format!("the {} cases that the first shard found", there.cases),
            format!("{cases} cases"),
        );
    }
    if there.work != own {
        return refused(
            "the cases and flags of the first shard".to_owned(),
            "other cases or flags".to_owned(),
        );
    }
    if let Some(simd) = &there.simd
        && !keep_to(simd)
    {
        let expected = format!("a processor with {simd}, on which the first shard began");
        return Err(Error::new(out, Kind::Request, expected, instruction_set()).hint(format!(
            "use other computers, or remove {} and begin anew with POLYCL_SIMD={} on all of them",
            folder(out).display(),
            instruction_set()
        )));
    }
    Ok((there.simd, own))
}

/// All shards of a piece of work, each of them done.
pub struct Shards {
    out: PathBuf,
    /// Their folders.
    pub folders: Vec<PathBuf>,
    /// Number of each case among all.
    pub order: BTreeMap<String, usize>,
    /// Cases that could not be done, and why.
    pub failed: BTreeMap<String, String>,
    /// Locks of the merge and of each shard.
    locks: Vec<Lock>,
}

impl Shards {
    /// The shards of work whose results are to lie in `out`.
    ///
    /// # Errors
    /// [`Kind::Request`] where none were begun, or some are missing, not done, at work, or computed on another kind of
    /// processor; [`Kind::Io`] and [`Kind::Format`].
    pub fn all(out: &Path) -> Result<Self> {
        if !beginning(out).is_file() {
            return Err(Error::new(out, Kind::Request, "a folder of shards", "none that were begun there")
                .hint("run the command with --shard first; what is merged already needs nothing more"));
        }
        let lock = lock::hold(&folder(out), LOCK)?;
        let there: Beginning = read(&beginning(out))?;
        if there.shards == 0 {
            return Err(Error::new(beginning(out), Kind::Format, "a number of shards above 0", "0")
                .hint("remove its folder and run the shards again"));
        }
        let mut all = Self {
            out: out.to_path_buf(),
            folders: Vec::new(),
            order: BTreeMap::new(),
            failed: BTreeMap::new(),
            locks: vec![lock],
        };
        let mut open = BTreeSet::new();
        for at in 0..there.shards {
            let shard = Shard { at, of: there.shards };
            let own = shard.folder(out);
            let file = own.with_extension("json");
            let progress: Option<Progress> = file.is_file().then(|| read(&file)).transpose()?;
            // A record that another work has left is none.
            let is_done = |progress: &Progress| progress.done && progress.work == there.work;
            let Some(progress) = progress.filter(is_done) else {
                open.insert(at);
                continue;
            };
            if progress.simd != there.simd {
                let told =
                    |simd: &Option<String>| simd.clone().unwrap_or_else(|| "nothing computed".to_owned());
                let found = told(&progress.simd);
                return Err(Error::new(own, Kind::Request, told(&there.simd), found)
                    .hint(format!("run it again with --shard {shard}")));
            }
            // Nobody does it again meanwhile.
            all.locks.push(lock::beside(&own)?);
            all.order.extend(progress.cases.into_iter().map(|(number, case)| (case, number)));
            all.failed.extend(progress.failed);
            all.folders.push(own);
        }
        if !open.is_empty() {
            let list = |prefix: &str| {
                let some = open.iter().take(10).map(|at| format!("{prefix}{at}/{}", there.shards));
                some.collect::<Vec<_>>().join(", ") + if open.len() > 10 { ", …" } else { "" }
            };
            let expected = format!("{} shards that are done", there.shards);
            let found = format!("{} that are not: {}", open.len(), list(""));
            return Err(Error::new(out, Kind::Request, expected, found)
                .hint(format!("run them again: {}", list("--shard "))));
        }
        if all.order.len() != there.cases {
            let found = format!("{}", all.order.len());
            return Err(Error::new(
                out,
                Kind::Request,
                format!("{} cases in all shards", there.cases),
                found,
            )
            .hint(format!("remove {} and begin anew", folder(out).display())));
        }
        Ok(all)
    }

    /// Removes the folder of the shards, once all of it is where it belongs.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn remove(self) -> Result<()> {
        let Self { out, locks, .. } = self;
        // Gone at once, wherever a kill comes: old records must not count for new shards.
        let (path, merged) = (folder(&out), out.join(".polycl-shards-merged"));
        let _ = fs::remove_dir_all(&merged);
        let removed = fs::rename(&path, &merged);
        drop(locks);
        let removed = removed.and_then(|()| fs::remove_dir_all(&merged));
        removed.map_err(|e| Error::io(&path, "remove what is merged", &e))
    }
}

/// Refuses a folder in which shards are at work or wait to be merged, to whoever is none of them.
///
/// # Errors
/// [`Kind::Request`]
fn refuse_unmerged(out: &Path, command: &str) -> Result<()> {
    if !beginning(out).is_file() {
        return Ok(());
    }
    Err(Error::new(out, Kind::Request, "a folder without shards", "shards that are not merged").hint(
        format!(
            "run `polycl {command} --merge {out}` once all are done, or remove {shards}",
            out = out.display(),
            shards = folder(out).display()
        ),
    ))
}

/// Refuses a folder that holds anything already: the shards of an import do not add to it.
///
/// # Errors
/// [`Kind::Request`]
pub fn refuse_filled(out: &Path) -> Result<()> {
    // While shards are merged, the data set begins to be there.
    if beginning(out).is_file() {
        return Ok(());
    }
    let is_own = |name: &str| name.starts_with(".polycl") || name == "shards";
    let entries = fs::read_dir(out).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !is_own(name)).min().map_or(Ok(()), |name| {
        Err(Error::new(out, Kind::Request, "a new folder for shards to write to", format!("{name} in it"))
            .hint("choose another --out, or remove what is there"))
    })
}

/// A record of a shard, as [`write`] leaves it.
///
/// # Errors
/// [`Kind::Io`] and [`Kind::Format`].
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(|e| Error::io(path, "read it", &e))?;
    serde_json::from_slice(&text).map_err(|e| {
        Error::caused(path, Kind::Format, "a record of shards", e)
            .hint("remove its folder and run the shards again")
    })
}

/// Writes a record of a shard.
///
/// # Errors
/// [`Kind::Io`]
pub fn write(path: &Path, record: &impl Serialize) -> Result<()> {
    output::atomically(path, |file| {
        serde_json::to_writer(&mut *file, record)?;
        file.write_all(b"\n")
    })
}
