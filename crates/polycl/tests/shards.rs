//! Cohorts done in shards by several processes: what is merged is what one process leaves, byte for byte.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::Folder;
use common::processes::{ended, signal, until};

const SHARDS: u32 = 4;

/// All files below a folder by their places, locks left out.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                found.insert(format!("{name}/"), Vec::new());
                open.push(path);
            } else if !path.file_name().unwrap().to_string_lossy().starts_with(".polycl") {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn same(folder: &Folder, one: &str, other: &str) {
    let [one, other] = [one, other].map(|name| files(&folder.at(name)));
    assert_eq!(Vec::from_iter(one.keys()), Vec::from_iter(other.keys()));
    let differ = one.iter().filter(|(name, bytes)| other[*name] != **bytes).map(|(name, _)| name);
    assert_eq!(Vec::from_iter(differ), Vec::<&String>::new());
}

/// Does all shards but one, kills some of them on the way, and does those again; what merging says before the last.
fn in_shards(folder: &Folder, words: &str, out: &str, kill_after: Duration) -> String {
    let line = |at: u32| format!("{words} --out {out} --shard {at}/{SHARDS}");
    for at in [1, 2] {
        let mut killed = folder.start(&line(at));
        std::thread::sleep(kill_after);
        let _ = killed.kill();
        killed.wait().unwrap();
    }
    // Two at once, and two that were killed.
    let both = [0, 1].map(|at| folder.start(&line(at)));
    for mut child in both {
        assert!(child.wait().unwrap().code().is_some_and(|code| code < 2));
    }
    let command = words.split_whitespace().next().unwrap();
    assert!(folder.start(&line(2)).wait().unwrap().code().is_some_and(|code| code < 2));
    let refused = folder.refused(&format!("{command} --merge {out}"));
    // The environment tells the last one.
    let mut last = Command::new(env!("CARGO_BIN_EXE_polycl"));
    let words = format!("{words} --out {out} --shard auto");
    last.args(words.split_whitespace()).current_dir(folder.path()).env("SLURM_ARRAY_TASK_ID", "4");
    last.env("SLURM_ARRAY_TASK_MIN", "1").env("SLURM_ARRAY_TASK_COUNT", SHARDS.to_string());
    let last = last.stdin(Stdio::null()).output().unwrap();
    assert!(last.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&last.stderr));
    refused
}

#[test]
fn shards_that_are_merged_are_what_one_process_leaves() {
    let folder = Folder::new();
    folder.done("phantom --out files --patients 9 --domain a --size 32 --seed 5");
    // One that cannot be read, and one that is another's twin.
    fs::write(folder.at("files/images/broken.nii.gz"), b"no scan").unwrap();
    let images = fs::read_dir(folder.at("files/images")).unwrap().map(|entry| entry.unwrap().path());
    let first = images.filter(|path| !path.ends_with("broken.nii.gz")).min().unwrap();
    fs::copy(&first, folder.at("files/images/twin.nii.gz")).unwrap();

    let import = "import --images files/images --labels files/labels --size 32";
    folder.ended(&format!("{import} --out whole"), 1);
    let mut said = vec![in_shards(&folder, import, "parts", Duration::from_millis(40))];
    said.push(folder.refused("finetune parts --organ liver --out run"));
    said.push(folder.refused(&format!("{import} --out parts --continue")));
    said.push(folder.refused(&format!("{import} --out parts --shard 1/5")));
    said.push(folder.refused(&format!("{import} --keep 0.5 --out parts --shard 1/{SHARDS}")));
    folder.ended("import --merge parts", 1);
    same(&folder, "whole", "parts");
    said.push(folder.refused("import --merge parts"));
    said.push(folder.refused(&format!("{import} --out parts --shard 1/{SHARDS}")));

    fs::remove_file(folder.at("files/images/twin.nii.gz")).unwrap();
    folder.write("train.toml", "[training]\nepochs = 1\nsteps = 2\nbatch = 2\n");
    folder.done("finetune whole --organ liver --config train.toml --out run");
    let predict = "predict run files/images --probabilities";
    folder.ended(&format!("{predict} --out masks"), 1);
    said.push(in_shards(&folder, predict, "masks-parts", Duration::from_millis(120)));
    folder.ended("predict --merge masks-parts", 1);
    same(&folder, "masks", "masks-parts");

    let evaluate = "evaluate --reference files/labels --prediction masks";
    folder.done(&format!("{evaluate} --out scores"));
    said.push(in_shards(&folder, evaluate, "scores-parts", Duration::from_millis(20)));
    folder.done("evaluate --merge scores-parts");
    same(&folder, "scores", "scores-parts");
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn all_shards_compute_as_the_first_one_does() {
    let folder = Folder::new();
    folder.done("phantom --out files --patients 3 --domain a --size 32 --seed 6");
    folder.done("import --images files/images --labels files/labels --size 32 --out data");
    folder.write("train.toml", "[training]\nepochs = 1\nsteps = 2\nbatch = 2\n");
    folder.done("finetune data --organ liver --config train.toml --out run");
    let portable = [("POLYCL_SIMD", Path::new("portable"))];
    let predict = "predict run files/images";
    let whole = folder.polycl_with(&format!("{predict} --out whole"), &portable);
    assert!(whole.starts_with("exit 0"), "{whole}");
    let first = folder.polycl_with(&format!("{predict} --out parts --shard 0/2"), &portable);
    assert!(first.starts_with("exit 0"), "{first}");
    // A better processor keeps to it.
    folder.done(&format!("{predict} --out parts --shard 1/2"));
    folder.done("predict --merge parts");
    same(&folder, "whole", "parts");
    // One that lacks what the first had is refused, where there is such a thing.
    folder.done(&format!("{predict} --out better --shard 0/2"));
    let began = fs::read_to_string(folder.at("better/shards/shards.json")).unwrap();
    if began.contains("portable") {
        println!("skipped: the processor has nothing better than portable");
        return;
    }
    let refused = folder.polycl_with(&format!("{predict} --out better --shard 1/2"), &portable);
    assert!(refused.starts_with("exit 2") && refused.contains("on which the first shard began"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_shard_that_was_paused_too_long_leaves_its_work_to_whoever_took_it() {
    let folder = Folder::new();
    folder.done("phantom --out files --patients 12 --domain a --size 64 --seed 7");
    folder.done("import --images files/images --labels files/labels --size 64 --out data");
    folder.write("train.toml", "[training]\nepochs = 1\nsteps = 2\nbatch = 2\n");
    folder.done("finetune data --organ liver --config train.toml --out run");
    folder.done("predict run files/images --out whole");
    let words = "predict run files/images --out parts --shard 0/1";
    let mut paused = Command::new(env!("CARGO_BIN_EXE_polycl"))
        .args(words.split_whitespace())
        .current_dir(folder.path())
        .env("POLYCL_CLAIMS", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let masks = || {
        let files = fs::read_dir(folder.at("parts/shards/0")).into_iter().flatten().flatten();
        files.filter(|file| file.path().extension().is_some_and(|ending| ending == "gz")).count()
    };
    until(|| masks() > 1);
    signal(&paused, "STOP");
    let begun = masks();
    let claims = [("POLYCL_CLAIMS", Path::new("1"))];
    let other = folder.polycl_with(words, &claims);
    assert!(other.starts_with("exit 0") && masks() > begun, "{other}");
    signal(&paused, "CONT");
    assert_eq!(ended(&mut paused).code(), Some(2));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut paused.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("another process that took it over"), "{said}");
    folder.done("predict --merge parts");
    same(&folder, "whole", "parts");
}
