//! Who works on a folder of a shared file system, told by files alone, for locks of the operating system do not reach
//! from computer to computer everywhere.
//!
//! Claims are numbered, and the one of the highest number holds. To claim is to create the file of the next number,
//! which succeeds for one alone. A holder writes a new beat into its file now and then. Whoever waits watches the beat
//! by a clock of its own, so that clocks may differ: a claim whose beat stays the same for the patience of the one who
//! watches is over, and the next number is free. A holder that was paused finds a higher number when it looks, and has
//! lost.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Error, Kind, Result, output};

/// A claim without a new beat for so long is over, unless somebody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Beats in that time.
const BEATS: u32 = 6;

/// The contents of a claim's file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    host: String,
    process: u32,
    /// The job of a scheduler, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// Milliseconds without a beat after which it is over, as its holder means them.
    #[serde(default)]
    patience: u64,
    beat: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
}

/// The files of one claim's numbers, and a clock.
trait Shelf {
    fn numbers(&self) -> io::Result<Vec<u64>>;
    /// Nothing where there is no such file.
    fn read(&self, number: u64) -> io::Result<Option<String>>;
    /// Creates an empty file; false where one is there.
    fn create(&self, number: u64) -> io::Result<bool>;
    fn write(&self, number: u64, text: &str) -> io::Result<()>;
    fn remove(&self, number: u64);
    fn now(&self) -> Duration;
}

/// A claim as it was seen last, and since when it has looked so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    number: u64,
    text: String,
    since: Duration,
}

fn highest(shelf: &impl Shelf) -> io::Result<Option<u64>> {
    Ok(shelf.numbers()?.into_iter().max())
}

/// Takes the next number if nobody holds the highest one.
fn take(
    shelf: &impl Shelf,
    sight: &mut Option<Sight>,
    patience: Duration,
    said: &Said,
) -> io::Result<Option<u64>> {
    let before = highest(shelf)?;
    if let Some(number) = before {
        // The time before it is read counts, for this process may be paused after; and of the first sight the time after.
        let now = shelf.now();
        let Some(text) = shelf.read(number)? else { return Ok(None) };
        let Said { released, patience: own, .. } = serde_json::from_str(&text).unwrap_or_default();
        let patience = patience.max(Duration::from_millis(own));
        let same = sight.as_ref().filter(|seen| seen.number == number && seen.text == text);
        let over = same.is_some_and(|seen| now.saturating_sub(seen.since) >= patience);
        if same.is_none() {
            *sight = Some(Sight { number, text, since: shelf.now() });
        }
        if !released && !over {
            return Ok(None);
        }
    }
    let own = before.map_or(1, |number| number + 1);
    if !shelf.create(own)? {
        return Ok(None);
    }
    shelf.write(own, &text_of(said))?;
    // Whoever was paused before it created a file may come long after the number was taken and given back.
    let numbers = shelf.numbers()?;
    if numbers.iter().max() != Some(&own) {
        shelf.remove(own);
        return Ok(None);
    }
    *sight = None;
    numbers.into_iter().filter(|number| number + 1 < own).for_each(|number| shelf.remove(number));
    Ok(Some(own))
}

fn holds(shelf: &impl Shelf, own: u64) -> io::Result<bool> {
    Ok(highest(shelf)? == Some(own))
}

fn text_of(said: &Said) -> String {
    serde_json::to_string(said).expect("a claim is JSON")
}

/// The files of a claim in a folder.
#[derive(Debug, Clone)]
struct Files {
    folder: PathBuf,
    /// `.NAME.claim-`
    prefix: String,
    begun: Instant,
}

impl Files {
    fn new(folder: &Path, name: &str, begun: Instant) -> Self {
        Self { folder: folder.to_path_buf(), prefix: format!(".{name}.claim-"), begun }
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}{number:06}", self.prefix))
    }
}

impl Shelf for Files {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(&self.prefix)?.parse::<u64>().ok());
            numbers.extend(number);
        }
        Ok(numbers)
    }

    fn read(&self, number: u64) -> io::Result<Option<String>> {
        match fs::read_to_string(self.file(number)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn create(&self, number: u64) -> io::Result<bool> {
        match File::options().write(true).create_new(true).open(self.file(number)) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn write(&self, number: u64, text: &str) -> io::Result<()> {
        // Not to the disk itself: a beat that waits for one may come too late, and means nothing after a crash.
        let mut file = output::temporary_file(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(self.file(number))?;
        Ok(())
    }

    fn remove(&self, number: u64) {
        // One that stays is passed over.
        let _ = fs::remove_file(self.file(number));
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// Refuses a folder in which two processes could create the same file: claims would mean nothing there.
///
/// # Errors
/// [`Kind::Request`] for such a folder; [`Kind::Io`].
pub fn check(folder: &Path) -> Result<()> {
    let failed = |e: io::Error| Error::io(folder, "claim work in it", &e);
    fs::create_dir_all(folder).map_err(failed)?;
    let place = tempfile::Builder::new().prefix(".polycl-").tempdir_in(folder).map_err(failed)?;
    let files = Files::new(place.path(), "check", Instant::now());
    let first = files.create(1).and_then(|created| files.write(1, "1").map(|()| created)).map_err(failed)?;
    let again = files.create(1).map_err(failed)?;
    let kept = files.read(1).map_err(failed)?;
    if first && !again && kept.as_deref() == Some("1") {
        return Ok(());
    }
    let expected = "a folder in which one process alone can create a file";
    Err(Error::new(folder, Kind::Request, expected, "one in which a second process could, too")
        .hint("choose a folder on another file system, or run one process alone"))
}

/// Watches the claims of others, and takes those that are free.
#[derive(Debug)]
pub struct Claims {
    patience: Duration,
    begun: Instant,
    sights: BTreeMap<PathBuf, Sight>,
}

impl Claims {
    pub fn new(patience: Duration) -> Self {
        Self { patience, begun: Instant::now(), sights: BTreeMap::new() }
    }

    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Claims the work called `name` in a folder, which is made if need be; nothing where another process has it, or
    /// may have: whether one that has died is told apart only by asking again.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn take(&mut self, folder: &Path, name: &str) -> Result<Option<Claim>> {
        let failed = |e: io::Error| Error::io(folder, "claim the work in it", &e);
        fs::create_dir_all(folder).map_err(failed)?;
        let files = Files::new(folder, name, self.begun);
        let patience = self.patience.as_millis() as u64;
        let said =
            Said { host: host(), process: std::process::id(), job: job(), patience, ..Said::default() };
        let key = files.file(0);
        let mut sight = self.sights.remove(&key);
        let taken = take(&files, &mut sight, self.patience, &said).map_err(failed)?;
        self.sights.extend(sight.map(|sight| (key, sight)));
        Ok(taken.map(|number| Claim::beating(files, number, said, self.patience)))
    }

    /// As [`Self::take`], but waits until the work is free: for what takes a moment.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn in_turn(&mut self, folder: &Path, name: &str) -> Result<Claim> {
        loop {
            if let Some(claim) = self.take(folder, name)? {
                return Ok(claim);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As [`Self::take`], but waits until it is known whether another process is at work there, or until `stop`.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn wait(&mut self, folder: &Path, name: &str, stop: &dyn Fn() -> bool) -> Result<Option<Claim>> {
        let key = Files::new(folder, name, self.begun).file(0);
        let mut first: Option<Sight> = None;
        let begun = Instant::now();
        loop {
            let taken = self.take(folder, name)?;
            let sight = self.sights.get(&key);
            let is_at_work = first.is_some() && first.as_ref() != sight;
            if taken.is_some() || is_at_work || stop() || begun.elapsed() > 2 * self.patience {
                return Ok(taken);
            }
            first = first.or_else(|| sight.cloned());
            std::thread::sleep((self.patience / 100).min(Duration::from_millis(200)));
        }
    }

    /// As [`Self::wait`], for what cannot wait for others.
    ///
    /// # Errors
    /// [`Kind::Request`] where another process is at work; [`Kind::Io`].
    pub fn take_or_refuse(&mut self, folder: &Path, name: &str) -> Result<Claim> {
        if let Some(claim) = self.wait(folder, name, &|| false)? {
            return Ok(claim);
        }
        let sight = self.sights.get(&Files::new(folder, name, self.begun).file(0));
        let Said { host, process, job, .. } =
            sight.and_then(|sight| serde_json::from_str(&sight.text).ok()).unwrap_or_default();
        let job = job.map_or_else(String::new, |job| format!(", job {job}"));
        let found = format!("process {process} on {host}{job} at work");
        Err(Error::new(folder, Kind::Request, "no other process at work here", found)
            .hint("wait until it is done, or stop it"))
    }
}

fn host() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let told = || fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|text| text.trim().to_owned());
    named("HOSTNAME").or_else(told).or_else(|| named("COMPUTERNAME")).unwrap_or_else(|| "a computer".into())
}

/// The job of a scheduler that runs this process.
fn job() -> Option<String> {
    ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "HQ_TASK_ID", "JOB_NAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
}

/// Work that this process has, as long as this lives and is not lost.
#[derive(Debug)]
pub struct Claim {
    files: Files,
    number: u64,
    said: Said,
    lost: Arc<AtomicBool>,
    heart: Option<(Sender<()>, JoinHandle<u64>)>,
}

impl Claim {
    fn beating(files: Files, number: u64, said: Said, patience: Duration) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = channel();
        let heart = {
            let (files, said, lost) = (files.clone(), said.clone(), Arc::clone(&lost));
            std::thread::spawn(move || {
                let (mut beat, mut written) = (0, Instant::now());
                while stopped.recv_timeout(patience / BEATS) == Err(RecvTimeoutError::Timeout) {
                    let text = text_of(&Said { beat: beat + 1, ..said.clone() });
                    let kept = holds(&files, number).and_then(|holds| {
                        if holds {
                            files.write(number, &text)?;
                        }
                        Ok(holds)
                    });
                    match kept {
                        Ok(true) => (beat, written) = (beat + 1, Instant::now()),
                        // A file system that is away for a while takes the claim no sooner than others would.
                        Err(_) if written.elapsed() < patience / 2 => {}
                        _ => {
                            lost.store(true, Ordering::Relaxed);
                            break;
                        }
                    }
                }
                beat
            })
        };
        Self { files, number, said, lost, heart: Some((stop, heart)) }
    }

    /// True once another process may have the work: this one was paused, or could not write, for too long.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Looks now whether this process has the work still. It has not where the folder is gone.
    pub fn holds(&self) -> bool {
        !self.is_lost() && holds(&self.files, self.number).unwrap_or_else(|e| e.kind() != ErrorKind::NotFound)
    }

    /// Looks now whether nobody has taken the work over.
    pub fn is_last(&self) -> bool {
        holds(&self.files, self.number).unwrap_or(false)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some((stop, heart)) = self.heart.take() else { return };
        drop(stop);
        let beat = heart.join().unwrap_or_default();
        if !self.is_lost() && holds(&self.files, self.number).unwrap_or(false) {
            let said = Said { beat: beat + 1, released: true, ..self.said.clone() };
            // If it cannot be given back, it will be over in a while.
            let _ = self.files.write(self.number, &text_of(&said));
        }
    }
}

#[cfg(test)]
mod tests;
