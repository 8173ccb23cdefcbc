//! Studies by several processes: tasks one by one, and all that join in.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::Folder;
use common::processes::{ended, signal, until};

/// 14 small trainings, two of them pre-trainings.
fn study() -> Folder {
    let folder = Folder::new();
    for (name, patients, seed) in [("train", 6, 3), ("near", 2, 4)] {
        folder.done(&format!(
            "phantom --out {name}-files --patients {patients} --domain a --size 32 --seed {seed}"
        ));
        folder.done(&format!("import --manifest {name}-files/manifest.csv --out {name} --size 32"));
    }
    folder.write(
        "study.toml",
        "dataset = 'train'\norgans = ['liver']\nmethods = ['scratch', 'mixed']\nbudgets = [1, 2, 4]\nseeds = [0, 1]\n\
         images = 48\npictures = false\n[pretraining.training]\nepochs = 2\n[finetuning.training]\nepochs = 2\nsteps = 2\n\
         batch = 4\n[[test]]\nname = 'near'\ndataset = 'near'\nnamesakes = true\n",
    );
    folder
}

fn scores(folder: &Folder, out: &str) -> String {
    fs::read_to_string(folder.at(&format!("{out}/scores.csv"))).unwrap()
}

/// Waits until some task under `out` is claimed.
fn until_claimed(folder: &Folder, out: &str) {
    let claimed = || {
        ["encoders", "networks"].into_iter().any(|kind| {
            let tasks = fs::read_dir(folder.at(&format!("{out}/{kind}"))).into_iter().flatten().flatten();
            tasks.into_iter().any(|task| task.path().join(".task.claim-000001").exists())
        })
    };
    until(claimed);
}

#[cfg(unix)]
#[test]
fn processes_that_join_end_in_the_same_scores_whoever_is_killed_or_paused() {
    let folder = study();
    folder.done("study study.toml --out straight --jobs 2");
    let join = "study study.toml --out joined --join --jobs 1 --claims --patience 2";
    let mut paused = folder.start(join);
    until_claimed(&folder, "joined");
    signal(&paused, "STOP");
    let mut killed = folder.start(join);
    std::thread::sleep(Duration::from_millis(600));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let mut last = folder.start(join);
    assert!(ended(&mut last).success());
    assert_eq!(scores(&folder, "straight"), scores(&folder, "joined"));
    // Whoever wakes finds that all is done.
    let report = fs::read(folder.at("joined/report.md")).unwrap();
    signal(&paused, "CONT");
    assert!(ended(&mut paused).success());
    assert_eq!(scores(&folder, "straight"), scores(&folder, "joined"));
    assert_eq!(fs::read(folder.at("joined/report.md")).unwrap(), report);
    // One without --join is alone.
    let mut alone = folder.start("study study.toml --out other");
    until(|| folder.at("other/.lock").exists());
    let refused = folder.refused("study study.toml --out other --join");
    assert!(refused.contains("one without --join is at work"), "{refused}");
    alone.kill().unwrap();
    alone.wait().unwrap();
}

#[test]
fn tasks_one_by_one_are_the_study() {
    let folder = study();
    folder.done("study study.toml --out straight --jobs 2");
    folder.done("study study.toml --out tasks --jobs 2 --plan plan.jsonl");
    assert!(!folder.at("tasks").exists(), "a plan alone makes nothing");
    let rows: Vec<serde_json::Value> = fs::read_to_string(folder.at("plan.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 14);
    let run = |row: &serde_json::Value| {
        let words: Vec<&str> =
            row["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(words[0], "polycl");
        let mut command = Command::new(env!("CARGO_BIN_EXE_polycl"));
        command.args(&words[1..]).current_dir(row["cwd"].as_str().unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().code().unwrap()
    };
    let needs = |row: &serde_json::Value| !row["needs"].as_array().unwrap().is_empty();
    let later = rows.iter().find(|row| needs(row)).unwrap();
    assert_eq!(run(later), 76, "its needs are not met");
    // Two at once: one does it, and the other says so.
    let first = &rows[0];
    let done = PathBuf::from(first["done"].as_str().unwrap());
    let id = first["id"].as_str().unwrap();
    let mut one = folder.start(&format!("study study.toml --out tasks --task {id}"));
    until(|| done.with_file_name(".task.claim-000001").exists());
    let code = run(first);
    assert!(code == 75 || code == 0 && done.exists(), "{code}");
    assert!(one.wait().unwrap().success() && done.exists());
    for row in rows.iter().filter(|row| !needs(row)).chain(rows.iter().filter(|row| needs(row))) {
        assert_eq!(run(row), 0);
        assert!(PathBuf::from(row["done"].as_str().unwrap()).exists());
    }
    assert!(!folder.at("tasks/report.md").exists());
    folder.done("study study.toml --out tasks --report-only");
    assert_eq!(scores(&folder, "straight"), scores(&folder, "tasks"));
    // A study that has changed since knows other tasks.
    let text = fs::read_to_string(folder.at("study.toml")).unwrap().replace("steps = 2", "steps = 3");
    folder.write("changed.toml", &text);
    insta::assert_snapshot!(
        [
            folder.refused(&format!("study changed.toml --out tasks --task {id}")),
            folder.refused("study study.toml --out tasks --task scratch_9"),
        ]
        .join("\n")
    );
}
