//! A command of `polycl` as a process of low priority, which is paused, let go on and stopped through its standard input. It
//! ends by itself where this server dies.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use polycl_app::round::{GO, PAUSE, STEERED};
use polycl_base::{Error, Kind, Result, Subject};

/// Between looks at who waits.
const LOOK: Duration = Duration::from_millis(10);
/// Between looks at what the command says.
const LISTEN: Duration = Duration::from_millis(250);
/// The time that a command has to end in order.
const PATIENCE: Duration = Duration::from_secs(60);

/// Exit codes of commands, as ARCHITECTURE.md lists them.
const SOME_FAILED: i32 = 1;
const STOPPED: i32 = 130;

/// How a command is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Go,
    Pause,
    Stop,
}

/// The end of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Done,
    /// Done but for some scans.
    SomeFailed,
    Stopped,
    /// The command of another server is at work still.
    Held,
    Failed(String),
}

/// Whoever steers a command and hears what it says.
pub trait Rider {
    fn wish(&self) -> Wish;

    /// Hears that the command is paused or goes on.
    fn paused(&self, is_paused: bool);

    /// Hears a line that the command has said.
    fn hear(&self, line: &str);
}

/// Runs a command to its end; what it says goes to the file `log`, too.
///
/// # Errors
/// [`Kind::Io`] where the program cannot be started or the log not be written.
pub fn run(program: &Path, words: &[OsString], log: &Path, rider: &dyn Rider) -> Result<End> {
    let told = |e: std::io::Error| Error::io(log, "write what a command says", &e);
    let mut out = File::options().create(true).append(true).open(log).map_err(told)?;
    // The command has the log, and so its lock, for as long as it is at work, even where its server has died.
    if cfg!(unix) && matches!(out.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(End::Held);
    }
    let line = words.join(&OsString::from(" "));
    writeln!(out, "$ polycl {}", line.display()).map_err(told)?;
    let mut said = Said { file: File::open(log).map_err(told)?, rest: String::new(), error: None };
    said.skip().map_err(told)?;
    let child = start(program, words, &out).map_err(|e| {
        let kind = if e.kind() == ErrorKind::NotFound { Kind::Request } else { Kind::Io };
        Error::caused(Subject::File(program.into()), kind, "a program that can be started", e)
    })?;
    let mut process = Process { child };
    let (mut wish, mut asked_at, mut heard) = (Wish::Go, None, Instant::now());
    let status = loop {
        if let Some(status) = process.child.try_wait().map_err(told)? {
            break status;
        }
        let next = rider.wish();
        if next != wish && wish != Wish::Stop {
            process.steer(next);
            rider.paused(next == Wish::Pause);
            asked_at = (next == Wish::Stop).then(Instant::now);
            wish = next;
        }
        if asked_at.is_some_and(|asked| asked.elapsed() > PATIENCE) {
            // A run loses no more than by a crash.
            let _ = process.child.kill();
        }
        if heard.elapsed() > LISTEN {
            said.hear(rider).map_err(told)?;
            heard = Instant::now();
        }
        std::thread::sleep(LOOK);
    };
    said.hear(rider).map_err(told)?;
    Ok(end(status, wish, said.error))
}

fn end(status: ExitStatus, wish: Wish, error: Option<String>) -> End {
    match status.code() {
        Some(0) => End::Done,
        Some(SOME_FAILED) if error.is_none() => End::SomeFailed,
        Some(STOPPED) => End::Stopped,
        None if wish == Wish::Stop => End::Stopped,
        _ => End::Failed(error.unwrap_or_else(|| format!("The command has failed: {status}."))),
    }
}

/// Starts the program so that whatever a person does goes before it, where the system can do that.
fn start(program: &Path, words: &[OsString], out: &File) -> std::io::Result<Child> {
    let begin = |mut command: Command| -> std::io::Result<Child> {
        let [stdout, stderr] = [out.try_clone()?, out.try_clone()?];
        command.args(words).env(STEERED, "1").stdin(Stdio::piped()).stdout(stdout).stderr(stderr).spawn()
    };
    if cfg!(unix) && program.is_file() {
        let mut nice = Command::new("nice");
        nice.args(["-n", "10"]).arg(program);
        match begin(nice) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            begun => return begun,
        }
    }
    begin(Command::new(program))
}

/// A process that ends with this.
struct Process {
    child: Child,
}

impl Process {
    fn steer(&mut self, wish: Wish) {
        let word = match wish {
            Wish::Go => GO,
            Wish::Pause => PAUSE,
            Wish::Stop => return drop(self.child.stdin.take()),
        };
        // A command that has just ended hears nothing.
        let _ = self.child.stdin.as_mut().map(|input| writeln!(input, "{word}"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The lines of a command's log.
struct Said {
    file: File,
    /// A line that has no end yet.
    rest: String,
    /// The reason of a failure, as commands say it.
    error: Option<String>,
}

impl Said {
    /// Passes by what commands before have said.
    fn skip(&mut self) -> std::io::Result<()> {
        use std::io::{Seek, SeekFrom};
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    fn hear(&mut self, rider: &dyn Rider) -> std::io::Result<()> {
        use std::io::Read;
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        while let Some((line, rest)) = self.rest.split_once('\n') {
            let (line, rest) = (line.trim_end().to_owned(), rest.to_owned());
            if let Some(error) = line.strip_prefix("error: ") {
                self.error = Some(error.to_owned());
            }
            rider.hear(&line);
            self.rest = rest;
        }
        Ok(())
    }
}
