//! Tasks as processes of this machine, each command one of its own: a crash stays its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use polycl_base::claim::Claims;
use polycl_base::{Error, lock};
use polycl_nn::train::RUN_LOCK;
use shared_child::SharedChild;

use super::runner::{Runner, Ticket};
use super::task::Task;

/// Starts `polycl`, each command a process.
pub struct LocalProcesses {
    program: PathBuf,
    /// Threads of each process.
    threads: usize,
    /// Variables of their environment.
    variables: Vec<(&'static str, String)>,
    /// The time after which a command that shows no sign of life is over, where other computers take part.
    patience: Option<Duration>,
    next: usize,
    tasks: BTreeMap<Ticket, Running>,
}

impl LocalProcesses {
    /// `program` is the file of `polycl`.
    pub fn new(program: &Path, threads: usize) -> Self {
        let program = program.to_owned();
        Self { program, threads, variables: Vec::new(), patience: None, next: 0, tasks: BTreeMap::new() }
    }

    /// Sets a variable of the environment of all processes.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.variables.push((name, value));
    }

    /// Believes claims of commands more than locks, which a process that is paused keeps.
    pub fn share(&mut self, patience: Duration) {
        self.patience = Some(patience);
        self.set(lock::CLAIMS, patience.as_secs_f64().to_string());
    }
}

impl Runner for LocalProcesses {
    fn submit(&mut self, task: Task) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let folder = task.folder().to_owned();
        let task = Arc::new(Mutex::new(task));
        let running = Running {
            task,
            folder,
            next: None,
            lock: None,
            others: self.patience.map(Claims::new),
            process: None,
            cancelled: false,
        };
        self.tasks.insert(ticket, running);
        ticket
    }

    fn poll(&mut self, ticket: Ticket) -> Option<anyhow::Result<()>> {
        let running = self.tasks.get_mut(&ticket)?;
        let how = How { program: &self.program, threads: self.threads, variables: &self.variables };
        let end = match running.go_on(&how) {
            Ok(false) => return None,
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        self.tasks.remove(&ticket);
        Some(end)
    }

    fn cancel(&mut self, ticket: Ticket) {
        if let Some(running) = self.tasks.get_mut(&ticket) {
            running.cancelled = true;
        }
    }
}

/// The program of all commands, and what each is given.
struct How<'a> {
    program: &'a Path,
    threads: usize,
    variables: &'a [(&'static str, String)],
}

/// A task under way. A thread finds its next command, and does what needs none: that may take as long as a command.
struct Running {
    task: Arc<Mutex<Task>>,
    folder: PathBuf,
    next: Option<JoinHandle<anyhow::Result<Option<Vec<String>>>>>,
    /// Held by this process and by the commands it starts, so that a study that is begun again waits for a
    /// command that has outlived the one before.
    lock: Option<File>,
    /// Watches whether a command of another process is at work here, where claims tell.
    others: Option<Claims>,
    /// The command at work.
    process: Option<Process>,
    cancelled: bool,
}

impl Running {
    /// Goes as far as it can without waiting; true when all is done.
    fn go_on(&mut self, how: &How<'_>) -> anyhow::Result<bool> {
        if self.lock.is_none() {
            self.lock = claim(&self.folder, self.others.as_mut())?;
        }
        let Some(lock) = &self.lock else {
            ensure!(!self.cancelled, STOPPED);
            return Ok(false);
        };
        if let Some(process) = &mut self.process
            && !process.ended(self.cancelled)?
        {
            return Ok(false);
        }
        self.process = None;
        if self.next.as_ref().is_some_and(|next| !next.is_finished()) {
            return Ok(false);
        }
        let Some(next) = self.next.take() else {
            self.next = Some(next_of(Arc::clone(&self.task)));
            return Ok(false);
        };
        // A panic must not take the other tasks with it.
        let Some(words) = next.join().unwrap_or_else(|_| Err(anyhow!("the training panicked")))? else {
            return Ok(true);
        };
        ensure!(!self.cancelled, STOPPED);
        self.process = Some(Process::start(how, &self.folder, words, lock)?);
        Ok(false)
    }
}

fn next_of(task: Arc<Mutex<Task>>) -> JoinHandle<anyhow::Result<Option<Vec<String>>>> {
    std::thread::spawn(move || {
        let mut task = task.lock().map_err(|_| anyhow!("the training panicked"))?;
        task.next_command()
    })
}

const STOPPED: &str = "the study was asked to stop";

/// The lock of a task's folder, once nobody else has it: a process that is paused may have it for ever, while none of its
/// commands is at work.
fn claim(dir: &Path, others: Option<&mut Claims>) -> anyhow::Result<Option<File>> {
    fs::create_dir_all(dir).map_err(|e| Error::io(dir, "make the folder", &e))?;
    let path = dir.join(".lock");
    let lock = lock::file(&path)?;
    let Some(others) = others else { return Ok(lock) };
    // A command of a process that has died may be at work still, on this computer or another.
    if !lock::is_unclaimed(&dir.join("run").join(RUN_LOCK), others)? {
        return Ok(None);
    }
    let unlocked = || File::options().write(true).open(&path).map_err(|e| Error::io(&path, "write it", &e));
    Ok(Some(lock.map_or_else(unlocked, Ok)?))
}

/// A command at work.
struct Process {
    child: SharedChild,
    /// Its first word.
    name: String,
    /// The file that what it says goes to, and its length before.
    log: PathBuf,
    begin: u64,
    told: bool,
}

impl Process {
    fn start(how: &How<'_>, dir: &Path, words: Vec<String>, lock: &File) -> anyhow::Result<Self> {
        let path = dir.join("log.txt");
        let log = File::options().create(true).append(true).open(&path);
        let mut log = log.map_err(|e| Error::io(&path, "write it", &e))?;
        writeln!(log, "$ polycl {}", words.join(" ")).map_err(|e| Error::io(&path, "write it", &e))?;
        let begin = log.metadata().map_or(0, |metadata| metadata.len());
        let mut command = Command::new(how.program);
        command
            .args(&words)
            .args(["--threads", &how.threads.to_string()])
            .envs(how.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(lock.try_clone()?))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log));
        let child = SharedChild::spawn(&mut command).context("starting a process of this program")?;
        let name = words.into_iter().next().unwrap_or_default();
        Ok(Self { child, name, log: path, begin, told: false })
    }

    /// True once it has ended well. Hands on to it that it should stop; a command that has heard Ctrl-C from the
    /// terminal itself is not disturbed by that.
    fn ended(&mut self, cancelled: bool) -> anyhow::Result<bool> {
        let Some(status) = self.child.try_wait()? else {
            if cancelled && !self.told {
                self.told = true;
                end(&self.child)?;
            }
            return Ok(false);
        };
        if status.success() {
            return Ok(true);
        }
        let said = fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(said.get(self.begin as usize..).unwrap_or_default()).into_owned();
        let said = said.lines().find_map(|line| line.strip_prefix("error: ")).map(str::to_owned);
        bail!(
            "{}: {}",
            self.log.display(),
            said.unwrap_or_else(|| format!("`polycl {}` failed: {status}", self.name))
        )
    }
}

/// Asks a process to end in order. Where it cannot be asked, what is killed loses no more than by a crash.
fn end(child: &SharedChild) -> io::Result<()> {
    #[cfg(unix)]
    {
        /// The number of SIGTERM on every Unix.
        const TERM: i32 = 15;
        if shared_child::unix::SharedChildExt::send_signal(child, TERM).is_ok() {
            return Ok(());
        }
    }
    child.kill()
}
