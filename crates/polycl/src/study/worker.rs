//! Runs what a plan holds by the commands a person would type, a few at a time, each a process of its own: a
//! crash stays its own, and every run can be repeated by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use polycl_nn::checkpoint;
use polycl_nn::train::{TEACHER, read_log, weights};
use polycl_volume::dataset::Source;
use polycl_volume::{Error, Input, nifti, output};
use serde::{Deserialize, Serialize};

use super::live::Live;
use super::oracle;
use super::plan::{Finish, Network, Plan, Test};
use crate::stop;

/// The file that says that a training is done.
pub const DONE: &str = "trained.json";
/// The file that says that a test is done.
pub const SUMMARY: &str = "scores/summary.json";
/// The folder of it.
pub const SCORES: &str = "scores";

/// A pre-training or a fine-tuning, by its number in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    Encoder(usize),
    Network(usize),
}

/// What came of the jobs so far.
struct Board {
    waiting: Vec<Job>,
    /// Encoders that are there, or failed.
    encoders: BTreeSet<usize>,
    /// Jobs that failed, with what they said.
    failed: Vec<(String, anyhow::Error)>,
}

impl Plan {
    /// Runs all that is not there yet on `jobs` processes; returns what failed.
    pub fn execute(
        &self,
        jobs: usize,
        threads: usize,
        live: &Live,
    ) -> anyhow::Result<Vec<(String, anyhow::Error)>> {
        for test in &self.tests {
            self.lay_out(test)?;
        }
        // Networks stand behind the encoders of their seed and fold, so that results come early.
        let mut waiting: Vec<Job> = Vec::new();
        for (number, network) in self.networks.iter().enumerate() {
            let encoder = network.encoder.map(Job::Encoder).filter(|encoder| !waiting.contains(encoder));
            waiting.extend(encoder);
            waiting.push(Job::Network(number));
        }
        let board = Board { waiting, encoders: BTreeSet::new(), failed: Vec::new() };
        let (board, changed) = (Mutex::new(board), Condvar::new());
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(job) = self.take(&board, &changed) {
                        let name = self.name(job);
                        live.began(&name);
                        // A panic must not leave the others waiting for this job for ever.
                        let run = AssertUnwindSafe(|| self.run(job, threads));
                        let done = catch_unwind(run).unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked")));
                        if !(stop::asked() && done.is_err()) {
                            live.ended(self, job, &name, done.as_ref().err());
                        }
                        let mut board = board.lock().expect("no thread panics while it holds the board");
                        // What was asked to stop has not failed. Nobody takes anything more.
                        if stop::asked() && done.is_err() {
                            changed.notify_all();
                            break;
                        }
                        if let Job::Encoder(number) = job {
                            board.encoders.insert(number);
                        }
                        if let Err(error) = done {
                            board.failed.push((name, error));
                        }
                        changed.notify_all();
                    }
                });
            }
        });
        Ok(board.into_inner().expect("no thread panics while it holds the board").failed)
    }

    /// The next job whose encoder is there; waits for one while there may be any.
    fn take(&self, board: &Mutex<Board>, changed: &Condvar) -> Option<Job> {
        let mut board = board.lock().expect("no thread panics while it holds the board");
        loop {
            if stop::asked() {
                return None;
            }
            // What has lost its encoder is taken, too, to be told as failed.
            let ready = |job: &Job| match job {
                Job::Encoder(_) => true,
                Job::Network(number) => {
                    self.networks[*number].encoder.is_none_or(|e| board.encoders.contains(&e))
                }
            };
            if let Some(at) = board.waiting.iter().position(ready) {
                return Some(board.waiting.remove(at));
            }
            if board.waiting.is_empty() {
                return None;
            }
            board = changed.wait(board).expect("no thread panics while it holds the board");
        }
    }

    pub fn name(&self, job: Job) -> String {
        match job {
            Job::Encoder(number) => self.encoders[number].title.clone(),
            Job::Network(number) => {
                let Network { arm, budget, seed, fold, .. } = self.networks[number];
                let fold = fold.map_or(String::new(), |fold| format!(", fold {fold}"));
                let (title, budget) = (&self.arms[arm].title, self.config.budgets[budget]);
                format!("{title}, budget {budget}, seed {seed}{fold}")
            }
        }
    }

    fn run(&self, job: Job, threads: usize) -> anyhow::Result<()> {
        match job {
            Job::Encoder(number) => {
                let encoder = &self.encoders[number];
                let unit = Unit::open(&encoder.dir, threads)?;
                unit.train("pretrain", &self.config.dataset, &encoder.config)
            }
            Job::Network(number) => self.network(&self.networks[number], threads),
        }
    }

    fn network(&self, network: &Network, threads: usize) -> anyhow::Result<()> {
        let mut config = network.config.clone();
        if let Some(encoder) = network.encoder {
            let run = self.encoders[encoder].dir.join("run");
            // A run alone may be half trained.
            ensure!(self.encoders[encoder].dir.join(DONE).exists(), "its pre-training failed");
            config.encoder = Some(run);
        }
        let unit = Unit::open(&network.dir, threads)?;
        unit.train("finetune", &network.dataset, &config)?;
        for test in network.tests.iter().map(|&test| &self.tests[test]) {
            for finish in self.finishes(network) {
                let out = self.result(network, test, finish);
                if out.join(SUMMARY).exists() {
                    continue;
                }
                let masks = out.join("masks");
                match finish {
                    Finish::Plain => unit.predict(test, &masks, &[])?,
                    Finish::Refined => unit.predict(test, &masks, &self.refining()?)?,
                    Finish::Oracle => self.clip(network, test, &masks)?,
                }
                unit.evaluate(test, &out)?;
            }
        }
        Ok(())
    }

    /// What is scored of a network.
    pub fn finishes(&self, network: &Network) -> impl Iterator<Item = Finish> {
        let (refined, oracle) = (network.refine, self.config.oracle);
        Finish::ALL.into_iter().filter(move |finish| match finish {
            Finish::Plain => true,
            Finish::Refined => refined,
            Finish::Oracle => oracle,
        })
    }

    /// The flags of `predict` that refine.
    fn refining(&self) -> anyhow::Result<Vec<String>> {
        let refinement = self.config.refinement.as_ref().context("a refinement")?;
        let mut flags = vec!["--refine".to_owned(), refinement.model.to_string()];
        flags.extend(["--cache".to_owned(), text(&self.out.join("cache"))?]);
        if let Some(weights) = &refinement.weights {
            flags.extend(["--weights".to_owned(), text(weights)?]);
        }
        Ok(flags)
    }

    fn clip(&self, network: &Network, test: &Test, out: &Path) -> anyhow::Result<()> {
        if out.exists() {
            return Ok(());
        }
        let scans = &self.datasets[test.dataset].1.index.scans;
        let cases = test.scans.iter().map(|&scan| scans[scan].case.as_str());
        let masks = self.result(network, test, Finish::Plain).join("masks");
        Ok(oracle::clip_all(cases, &masks, &test.dir.join("labels"), out)?)
    }

    /// Where the masks and scores of a network on a test are; refined ones are another network's, too.
    pub fn result(&self, network: &Network, test: &Test, finish: Finish) -> PathBuf {
        let name = test.dir.file_name().unwrap_or_default();
        let kind = match finish {
            Finish::Plain => "tests".to_owned(),
            Finish::Refined => format!("refined by {}", self.refined_by),
            Finish::Oracle => "oracle".to_owned(),
        };
        network.dir.join(kind.replace(|c: char| !c.is_ascii_alphanumeric(), "_")).join(name)
    }

    /// Whether all that a method needs was trained and tested; a method of which a part failed is not compared.
    pub fn complete(&self, arm: usize) -> bool {
        let scored = |network: &Network, finish| {
            let mut results =
                network.tests.iter().map(|&test| self.result(network, &self.tests[test], finish));
            results.all(|result| result.join(SUMMARY).exists())
        };
        let mut networks = self.networks.iter().filter(|network| network.arm == arm);
        networks.all(|network| self.finishes(network).all(|finish| scored(network, finish)))
    }

    /// Scans and true masks of a test as folders that `predict` and `evaluate` take. Labels have the numbers of
    /// the training data, those of other organs are left out.
    fn lay_out(&self, test: &Test) -> anyhow::Result<()> {
        if test.dir.exists() {
            return Ok(());
        }
        let (path, dataset) = &self.datasets[test.dataset];
        let numbers = self.numbers();
        let organs: BTreeMap<u16, u16> = numbers
            .iter()
            .filter_map(|(organ, &number)| Some((dataset.index.label(organ)?, number)))
            .collect();
        let names = serde_json::to_string_pretty(&numbers)?;
        output::folder_atomically(&test.dir, |folder| {
            for &number in &test.scans {
                let scan = &dataset.index.scans[number];
                let mut truth = dataset.truth(number)?;
                truth.voxels.iter_mut().for_each(|voxel| *voxel = organs.get(voxel).copied().unwrap_or(0));
                nifti::write_mask(&folder.join(format!("labels/{}.nii.gz", scan.case)), &truth)?;
                place(&scan.image, &folder.join("images"), &scan.case)?;
            }
            output::atomically(&folder.join("labels/labels.json"), |file| writeln!(file, "{names}"))
        })
        .with_context(|| format!("test '{}' of {}", self.test_names[test.name], path.display()))
    }
}

/// Puts a scan into a folder as NIfTI.
fn place(scan: &Source, folder: &Path, case: &str) -> polycl_volume::Result<()> {
    let ending = if scan.path.extension().is_some_and(|ending| ending == "gz") { "nii.gz" } else { "nii" };
    let to = folder.join(format!("{case}.{ending}"));
    if nifti::is_nifti(&scan.path) {
        link(&scan.path, &to)
    } else {
        nifti::write_image(&to, &Input::at(scan)?.image()?)
    }
}

/// A link to a scan, or a copy where there are no links.
fn link(scan: &Path, to: &Path) -> polycl_volume::Result<()> {
    let failed = |e: &std::io::Error| Error::io(scan, "link to it", e);
    fs::create_dir_all(to.parent().unwrap_or(Path::new("."))).map_err(|e| failed(&e))?;
    let scan = scan.canonicalize().map_err(|e| {
        failed(&e).hint("paths of a data set are as they were imported: run the study from the same folder")
    })?;
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&scan, to);
    #[cfg(not(unix))]
    let linked = fs::copy(&scan, to).map(drop);
    linked.map_err(|e| failed(&e))
}

/// The folder of a job while it is at work.
struct Unit<'a> {
    dir: &'a Path,
    threads: usize,
    /// Held by this process and by the commands it starts, so that a study that is begun again waits for a
    /// command that has outlived the one before.
    lock: File,
}

/// What a training leaves when it is done.
#[derive(Serialize, Deserialize)]
pub struct Trained {
    pub seconds: f64,
}

impl Trained {
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(DONE);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

impl<'a> Unit<'a> {
    fn open(dir: &'a Path, threads: usize) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).map_err(|e| Error::io(dir, "make the folder", &e))?;
        let path = dir.join(".lock");
        let lock = File::create(&path).map_err(|e| Error::io(&path, "write it", &e))?;
        lock.lock().map_err(|e| Error::io(&path, "lock it", &e))?;
        Ok(Self { dir, threads, lock })
    }

    /// Trains unless that is done; `seconds` are those of all epochs, whenever they were trained.
    fn train(&self, command: &str, dataset: &Path, config: &impl Serialize) -> anyhow::Result<()> {
        let (run, done) = (self.dir.join("run"), self.dir.join(DONE));
        if done.exists() {
            return Ok(());
        }
        let settings = self.dir.join("settings.toml");
        let toml = toml::to_string(config)?;
        output::atomically(&settings, |file| file.write_all(toml.as_bytes()))?;
        let words = [command.to_owned(), text(dataset)?, "--config".into(), text(&settings)?];
        self.polycl(words.into_iter().chain(["--out".into(), text(&run)?, "--resume".into()]))?;
        ensure!(weights(&run).exists(), "no weights in {}", run.display());
        let teacher = Some(run.join(TEACHER)).filter(|teacher| teacher.exists());
        let mut seconds = 0.0;
        for run in [&run].into_iter().chain(&teacher) {
            seconds += read_log(run)?.iter().map(|record| record.seconds).sum::<f64>();
        }
        let text = serde_json::to_string(&Trained { seconds })?;
        output::atomically(&done, |file| writeln!(file, "{text}"))?;
        // Nobody goes on from a training that is done. A kill before this leaves a larger file, no more.
        for run in [&run].into_iter().chain(&teacher) {
            checkpoint::forget_optimiser(&run.join("latest.safetensors"))?;
        }
        Ok(())
    }

    fn predict(&self, test: &Test, masks: &Path, flags: &[String]) -> anyhow::Result<()> {
        let (run, images) = (self.dir.join("run"), test.dir.join("images"));
        let words = ["predict".to_owned(), text(&run)?, text(&images)?, "--out".into(), text(masks)?];
        self.polycl(words.into_iter().chain(["--continue".to_owned()]).chain(flags.iter().cloned()))
    }

    /// Scores the masks in a folder beside them.
    fn evaluate(&self, test: &Test, out: &Path) -> anyhow::Result<()> {
        let (masks, scores, labels) = (out.join("masks"), out.join(SCORES), test.dir.join("labels"));
        let reference = ["evaluate".to_owned(), "--reference".into(), text(&labels)?];
        let prediction = ["--prediction".to_owned(), text(&masks)?, "--out".into(), text(&scores)?];
        self.polycl(reference.into_iter().chain(prediction))
    }

    /// Runs one command; what it says goes to `log.txt`.
    fn polycl(&self, words: impl Iterator<Item = String>) -> anyhow::Result<()> {
        ensure!(!stop::asked(), "it was asked to stop");
        let words: Vec<String> = words.collect();
        let path = self.dir.join("log.txt");
        let log = File::options().create(true).append(true).open(&path);
        let mut log = log.map_err(|e| Error::io(&path, "write it", &e))?;
        writeln!(log, "$ polycl {}", words.join(" ")).map_err(|e| Error::io(&path, "write it", &e))?;
        let begin = log.metadata().map_or(0, |metadata| metadata.len());
        let mut child = Command::new(program()?)
            .args(&words)
            .args(["--threads", &self.threads.to_string()])
            .stdin(Stdio::from(self.lock.try_clone()?))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .context("starting a process of this program")?;
        let status = wait(&mut child)?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read(&path).unwrap_or_default();
        let said = String::from_utf8_lossy(said.get(begin as usize..).unwrap_or_default()).into_owned();
        let said = said.lines().find_map(|line| line.strip_prefix("error: ")).map(str::to_owned);
        bail!(
            "{}: {}",
            path.display(),
            said.unwrap_or_else(|| format!("`polycl {}` failed: {status}", words[0]))
        )
    }
}

/// Waits for a command, and hands on to it that it should stop. A command that has heard Ctrl-C from the
/// terminal itself is not disturbed by that.
fn wait(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop::asked() && !told {
            told = true;
            let sent = Command::new("sh").args(["-c", "kill -TERM $0", &child.id().to_string()]).status();
            // Without a shell, what can be sent loses no more than a crash would.
            if !sent.is_ok_and(|sent| sent.success()) {
                child.kill()?;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// This program, as it runs: on Linux also where its file has been replaced since, so that versions never
/// mix in a study.
pub fn program() -> anyhow::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        Ok(running.to_owned())
    } else {
        std::env::current_exe().context("where this program is")
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{}: expected a name in UTF-8", path.display()))
}
