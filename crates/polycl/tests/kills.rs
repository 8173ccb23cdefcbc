//! Kills at random moments: what is repeated or resumed ends as if nothing had happened.
//!
//! The suite does five; `scripts/kill-test` does as many as it is told to, of every command that takes long.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Folder, contents};

/// A command that is killed and given again until it is done.
struct Stage {
    name: &'static str,
    line: String,
    /// What the repeated command has in addition.
    again: &'static str,
    /// What it leaves, which is compared.
    out: &'static str,
}

/// Commands that save after every step, so that kills meet many of them.
fn trainings() -> [Stage; 3] {
    let training = "--net unet --epochs 3 --steps 2 --batch 2 --save-every 0";
    let pretrain = format!("pretrain dataset --strategy mixed --organ liver {training} --out encoder");
    let finetune =
        "finetune dataset --organ liver --encoder encoder --freeze 1 --epochs 3 --steps 2 --batch 2";
    let finetune = format!("{finetune} --save-every 0 --out run");
    let self_training = "finetune dataset --organ liver --config ranged.toml --epochs 2 --steps 2 --batch 4";
    let self_training = format!("{self_training} --save-every 0 --out taught");
    [
        Stage { name: "pretrain", line: pretrain, again: "--resume", out: "encoder" },
        Stage { name: "finetune", line: finetune, again: "--resume", out: "run" },
        Stage { name: "self-training", line: self_training, again: "--resume", out: "taught" },
    ]
}

/// Two patients train by their masks, the others by the ranges of the liver.
const RANGED: &str = "ranged = [\"a002\", \"a003\", \"a004\"]\n[split]\ntrain = [\"a000\", \"a001\"]\n";

/// Files by their names.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Everything that a command leaves, but for the one column of times, events (which are times, too) and the
/// locks that a kill may leave.
fn result(folder: &Path) -> Files {
    let mut all = BTreeMap::new();
    for (path, bytes) in contents(folder) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(!name.ends_with(".partial"), "{} was left behind", path.display());
        let path = path.strip_prefix(folder).unwrap().to_path_buf();
        let parent = path.parent().unwrap().to_path_buf();
        if name == "log.jsonl" {
            all.insert(path, without_seconds(&bytes));
        } else if name.contains("tfevents") {
            let before = all.insert(parent.join("events"), Vec::new());
            assert!(before.is_none(), "one file of events");
        } else if !name.ends_with(".lock") {
            all.insert(path, bytes);
        }
    }
    all
}

fn without_seconds(log: &[u8]) -> Vec<u8> {
    let record = |line: &[u8]| {
        let mut record: serde_json::Value = serde_json::from_slice(line).unwrap();
        record.as_object_mut().unwrap().remove("seconds");
        format!("{record}\n").into_bytes()
    };
    log.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).flat_map(record).collect()
}

/// A place where stages run one after the other, and how each ends when nobody disturbs it.
struct Course {
    folder: Folder,
    stages: Vec<Stage>,
    undisturbed: Vec<(Files, Duration)>,
    random: u64,
    kills: usize,
}

impl Course {
    fn new(folder: Folder, stages: Vec<Stage>, seed: u64) -> Self {
        let run = |stage: &Stage| {
            let start = Instant::now();
            let status = start_command(&folder, &stage.line).wait().unwrap();
            assert!(status.success(), "{}", stage.line);
            (result(&folder.path().join(stage.out)), start.elapsed())
        };
        let undisturbed = stages.iter().map(run).collect();
        eprintln!("seed {seed}");
        Self { folder, stages, undisturbed, random: seed, kills: 0 }
    }

    /// From 0 to 1, as SplitMix64 has it.
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Begins a stage anew, kills it up to `kills` times, lets it end, and compares.
    fn trial(&mut self, stage: usize, kills: usize) {
        let whole = self.undisturbed[stage].1;
        let out = self.folder.path().join(self.stages[stage].out);
        std::fs::remove_dir_all(&out).unwrap();
        for _ in 0..kills {
            let moment = whole.mul_f64(self.draw());
            if !self.killed(stage, moment) {
                break;
            }
            self.kills += 1;
        }
        let Stage { name, line, again, .. } = &self.stages[stage];
        let cache = self.folder.path().join("cache");
        let shown = self.folder.polycl_with(&format!("{line} {again}"), &[("POLYCL_CACHE", &cache)]);
        assert!(shown.starts_with("exit 0"), "{name}, after {} kills: {shown}", self.kills);
        let (found, expected) = (result(&out), &self.undisturbed[stage].0);
        let names = |all: &Files| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(expected), "{name}, after {} kills", self.kills);
        for (path, bytes) in &found {
            assert!(expected[path] == *bytes, "{name}, after {} kills: {}", self.kills, path.display());
        }
        let left = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".partial")).collect();
        assert!(left.is_empty(), "{name} left {left:?}");
    }

    /// Gives the command of a stage and kills it at a moment; whether it was still at work.
    fn killed(&self, stage: usize, moment: Duration) -> bool {
        let Stage { line, again, .. } = &self.stages[stage];
        let mut child = start_command(&self.folder, &format!("{line} {again}"));
        std::thread::sleep(moment);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{line} {again}: {status}");
            return false;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        true
    }
}

fn start_command(folder: &Folder, line: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_polycl"))
        .args(line.split_whitespace())
        .env("POLYCL_CACHE", folder.path().join("cache"))
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn phantoms() -> Folder {
    let folder = Folder::new();
    folder.done("phantom --out cohort --patients 5 --size 32 --seed 3");
    folder.write("ranged.toml", RANGED);
    folder
}

const IMPORT: &str = "import --manifest cohort/manifest.csv --out dataset --size 32";

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

/// A seed that is another one every time, unless it is given.
fn seed() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    number("POLYCL_KILL_SEED").unwrap_or(now)
}

#[test]
fn five_kills_at_random_moments_change_no_bit() {
    let folder = phantoms();
    folder.done(IMPORT);
    let mut course = Course::new(folder, trainings().into(), seed());
    for round in 0.. {
        if course.kills >= 5 {
            break;
        }
        course.trial(round % 3, (5 - course.kills).min(3));
    }
}

#[test]
#[ignore = "scripts/kill-test runs it, for as long as it takes"]
fn many_kills() {
    let wanted = number("POLYCL_KILLS").unwrap_or(500) as usize;
    let import = Stage { name: "import", line: IMPORT.to_owned(), again: "--continue", out: "dataset" };
    let predict = "predict run cohort/images --flip --out masks".to_owned();
    let predict = Stage { name: "predict", line: predict, again: "--continue", out: "masks" };
    let [pretrain, finetune, self_training] = trainings();
    let mut stages = vec![import, pretrain, finetune, self_training, predict];
    // NAME=FILE, as in `polycl fetch NAME --from FILE`.
    match std::env::var("POLYCL_KILL_FETCH") {
        Ok(given) => {
            let (name, file) = given.split_once('=').expect("POLYCL_KILL_FETCH is NAME=FILE");
            let line = format!("fetch {name} --from {file}");
            stages.push(Stage { name: "fetch", line, again: "", out: "cache" });
        }
        Err(_) => eprintln!("fetch is left out: POLYCL_KILL_FETCH=NAME=FILE names what to fetch from where"),
    }
    let count = stages.len();
    let mut course = Course::new(phantoms(), stages, seed());
    let mut kills = vec![0; count];
    while course.kills < wanted {
        // Every stage comes to its share, however often it is done before it is killed.
        let stage = (0..count).min_by_key(|&stage| kills[stage]).unwrap();
        let before = course.kills;
        course.trial(stage, 4.min(wanted - before));
        kills[stage] += course.kills - before;
    }
    for (stage, kills) in course.stages.iter().zip(kills) {
        println!("{}: {kills} kills, every result as undisturbed", stage.name);
    }
}
