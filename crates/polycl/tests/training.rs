//! Pre-training, fine-tuning and prediction as a user runs them, on small phantoms.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use polycl_image::nifti;

use common::Folder;

/// A folder with a data set of five phantom patients at 32².
fn cohort() -> Folder {
    let folder = Folder::new();
    for line in [
        "phantom --out cohort --patients 5 --size 32 --seed 3",
        "import --manifest cohort/manifest.csv --out dataset --size 32",
    ] {
        folder.done(line);
    }
    folder
}

const PRETRAIN: &str = "pretrain dataset --strategy mixed --organ liver --epochs 3 --steps 3 --batch 4";
const FINETUNE: &str = "finetune dataset --organ liver --epochs 3 --steps 3 --batch 4 --validate";

fn bytes(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.at(name)).unwrap()
}

/// The log without its column of time.
fn log(folder: &Folder, run: &str) -> Vec<serde_json::Value> {
    let text = String::from_utf8(bytes(folder, &format!("{run}/log.jsonl"))).unwrap();
    let record = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("seconds");
        record
    };
    text.lines().map(record).collect()
}

fn assert_same_run(folder: &Folder, a: &str, b: &str) {
    let weights = |run: &str| bytes(folder, &format!("{run}/latest.safetensors"));
    assert!(weights(a) == weights(b), "{a} and {b} differ");
    assert_eq!(log(folder, a), log(folder, b));
}

/// Starts a training and kills it as soon as `epochs` epochs are logged, wherever it is then.
fn killed(folder: &Folder, line: &str, run: &str, epochs: usize) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_polycl"))
        .args(line.split_whitespace())
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (log, start) = (folder.at(&format!("{run}/log.jsonl")), Instant::now());
    while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < epochs {
        assert!(start.elapsed() < Duration::from_secs(120), "no {epochs} epochs");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_same_seed_gives_the_same_bits_whatever_the_threads() {
    let folder = cohort();
    folder.done(&format!("{PRETRAIN} --out one --threads 1"));
    folder.done(&format!("{PRETRAIN} --out two --threads 2"));
    assert_same_run(&folder, "one", "two");
    folder.done(&format!("{PRETRAIN} --out other --seed 1"));
    assert!(bytes(&folder, "one/latest.safetensors") != bytes(&folder, "other/latest.safetensors"));
}

#[test]
fn a_killed_run_resumes_to_the_same_bits() {
    let folder = cohort();
    folder.done(&format!("{PRETRAIN} --net resnet18 --out whole"));
    for epochs in [1, 2] {
        let (run, line) =
            (format!("broken{epochs}"), format!("{PRETRAIN} --net resnet18 --out broken{epochs}"));
        killed(&folder, &line, &run, epochs);
        folder.done(&format!("{line} --resume"));
        assert_same_run(&folder, "whole", &run);
    }

    let finetune = format!("{FINETUNE} --encoder whole --freeze 1");
    folder.done(&format!("{finetune} --out tuned"));
    killed(&folder, &format!("{finetune} --out cut"), "cut", 1);
    folder.done(&format!("{finetune} --out cut --resume"));
    assert_same_run(&folder, "tuned", "cut");
    assert!(bytes(&folder, "tuned/best.safetensors") == bytes(&folder, "cut/best.safetensors"));
}

/// What a shell says of `polycl` with its first words before it, and how that ends.
#[cfg(unix)]
fn in_shell(folder: &Folder, before: &str, line: &str) -> (Option<i32>, String) {
    let output = Command::new("bash")
        .args(["-c", &format!("{before} exec \"$0\" {line}"), env!("CARGO_BIN_EXE_polycl")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
#[cfg(unix)]
fn a_run_that_is_asked_to_stop_is_saved_within_its_epoch() {
    let folder = cohort();
    let line = "finetune dataset --organ liver --epochs 2 --steps 12 --batch 4";
    folder.done(&format!("{line} --out whole"));
    for signal in ["INT", "TERM"] {
        let line = format!("{line} --save-every 0 --out {signal}");
        let child = Command::new(env!("CARGO_BIN_EXE_polycl"))
            .args(line.split_whitespace())
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (latest, start) = (folder.at(&format!("{signal}/latest.safetensors")), Instant::now());
        while !latest.exists() {
            assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
            std::thread::sleep(Duration::from_millis(2));
        }
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("stopped after 0 of 2 epochs and "), "{said}");
        assert!(said.contains("resume with --resume"), "{said}");
        folder.done(&format!("{line} --resume"));
        assert_same_run(&folder, "whole", signal);
        let files = std::fs::read_dir(folder.path().join(signal)).unwrap().count();
        assert_eq!(files, std::fs::read_dir(folder.path().join("whole")).unwrap().count());
    }
}

#[test]
fn a_run_belongs_to_one_process() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out run"));
    // As another process would: the lock is the open file's.
    let held = polycl_base::lock::hold(&folder.at("run"), ".polycl-run.lock").unwrap();
    insta::assert_snapshot!(folder.refused(&format!("{FINETUNE} --out run --resume")));
    drop(held);
    folder.done(&format!("{FINETUNE} --out run --resume"));
}

#[test]
#[cfg(unix)]
fn a_disk_that_is_full_costs_an_epoch_at_most() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out whole"));
    let size = bytes(&folder, "whole/latest.safetensors").len();
    // No file may grow beyond that: not even the first checkpoint fits.
    let full = format!("trap '' XFSZ; ulimit -f {};", size / 2048);
    let line = format!("{FINETUNE} --out cut");
    let (code, said) = in_shell(&folder, &full, &line);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cut/") && said.contains("safetensors: could not write it: "), "{said}");
    assert!(said.contains("hint: ") && said.contains("--resume"), "{said}");
    // One checkpoint later it is the same, and the one that is there stays whole.
    killed(&folder, &format!("{line} --resume"), "cut", 1);
    let latest = folder.at("cut/latest.safetensors");
    let before = std::fs::read(&latest).unwrap_or_default();
    let (code, said) = in_shell(&folder, &full, &format!("{line} --resume"));
    assert_eq!(code, Some(2), "{said}");
    assert!(std::fs::read(&latest).unwrap_or_default() == before);
    folder.done(&format!("{line} --resume"));
    assert_same_run(&folder, "whole", "cut");
    let files = |run: &str| std::fs::read_dir(folder.path().join(run)).unwrap().count();
    assert_eq!(files("cut"), files("whole"), "nothing temporary is left");
}

#[test]
fn nobody_has_to_listen() {
    let folder = cohort();
    for line in [format!("{FINETUNE} --out run"), "predict run cohort/images --out masks".to_owned()] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_polycl"))
            .args(line.split_whitespace())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The readers go before anything is said.
        drop((child.stdout.take(), child.stderr.take()));
        assert!(child.wait().unwrap().success(), "{line}");
    }
}

#[test]
fn a_folder_that_was_there_is_mended_after_a_kill() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out whole"));
    // As a kill leaves it between the two files that are moved in.
    let settings = bytes(&folder, "whole/config.toml");
    std::fs::write(folder.at("run/config.toml"), settings).unwrap();
    std::fs::write(folder.at("run/.polycl-abc.partial/run.json"), "{").unwrap();
    folder.done(&format!("{FINETUNE} --out run --resume"));
    assert_same_run(&folder, "whole", "run");
    assert!(!folder.path().join("run/.polycl-abc.partial").exists());
}

#[test]
fn what_follows_the_trained_weights_resumes_to_the_same_bits() {
    let folder = cohort();
    for (method, following) in
        [("moco", ["key.", "queue"]), ("byol", ["target.encoder.", "target.projection."])]
    {
        let (whole, cut) = (format!("{method}_whole"), format!("{method}_cut"));
        let line =
            format!("pretrain dataset --method {method} --net resnet18 --epochs 4 --steps 3 --batch 4");
        folder.done(&format!("{line} --out {whole}"));
        // The second kill meets a checkpoint within an epoch.
        for epochs in [2, 3] {
            killed(&folder, &format!("{line} --out {cut} --resume --save-every 0"), &cut, epochs);
        }
        folder.done(&format!("{line} --out {cut} --resume"));
        assert_same_run(&folder, &whole, &cut);
        // The optimiser knows what is trained; what follows is saved, and is not.
        let names = names(&folder.at(&format!("{cut}/latest.safetensors")));
        for name in following {
            assert!(names.iter().any(|saved| saved.starts_with(name)), "{method} saves {name}");
            let moments = format!("optimiser.first.{name}");
            assert!(!names.iter().any(|saved| saved.starts_with(&moments)), "{method} trains {name}");
        }
    }
}

fn names(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.names().into_iter().map(str::to_owned).collect()
}

#[test]
fn a_frozen_encoder_stays_and_a_thawed_one_moves() {
    let folder = cohort();
    folder.done(&format!("{PRETRAIN} --net resnet18 --out encoder"));
    folder.done(&format!("{FINETUNE} --encoder encoder --freeze 3 --out frozen"));
    folder.done(&format!("{FINETUNE} --encoder encoder --freeze 2 --out thawed"));
    let of = |run: &str, name: &str| tensor(&folder.at(&format!("{run}/latest.safetensors")), name);
    for name in ["encoder.conv1.weight", "encoder.layer4.1.bn2.weight", "encoder.bn1.running_mean"] {
        assert_eq!(of("encoder", name), of("frozen", name), "{name}");
        assert_ne!(of("encoder", name), of("thawed", name), "{name}");
    }
}

fn tensor(path: &Path, name: &str) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data().to_vec()
}

/// Losses and Dice differ in the last digits from one instruction set to another.
fn without_scores(text: &str) -> String {
    ["loss", "Dice"].iter().fold(text.to_owned(), |text, score| {
        let mark = format!("{score} ");
        let mut parts = text.split(&mark);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            let number = part.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(part.len());
            assert!(part[..number].parse::<f64>().is_ok(), "a {score} is a number: {part}");
            format!("{text}{score} […]{}", &part[number..])
        })
    })
}

#[test]
fn a_run_and_its_files() {
    let folder = cohort();
    folder.done(&format!("{PRETRAIN} --out encoder"));
    folder.done(&format!("{FINETUNE} --encoder encoder --cases 4 --out run"));
    insta::assert_snapshot!(String::from_utf8(bytes(&folder, "run/config.toml")).unwrap());
    let files =
        ["best.safetensors", "config.toml", "curve.svg", "latest.safetensors", "log.jsonl", "run.json"];
    for file in files {
        assert!(folder.path().join("run").join(file).exists(), "{file}");
    }
    let card: serde_json::Value = serde_json::from_slice(&bytes(&folder, "run/run.json")).unwrap();
    let count = |key: &str| card[key].as_array().unwrap().len();
    assert_eq!(
        (count("training_cases"), count("validation_cases"), count("pretraining_cases")),
        (3, 1, 5),
        "four patients: one of them validates"
    );
    assert_eq!(log(&folder, "run").len(), 3);
    insta::assert_snapshot!(without_scores(
        &(folder.polycl("inspect encoder") + &folder.polycl("inspect run"))
    ));
    insta::assert_snapshot!(folder.polycl(&format!("{PRETRAIN} --out encoder")));
    insta::assert_snapshot!(folder.polycl(&format!("{PRETRAIN} --rate 0.5 --out encoder --resume")));
}

#[test]
fn settings_come_from_a_file_and_flags_go_over_them() {
    let folder = cohort();
    folder.write(
        "settings.toml",
        "strategy = \"scan\"\ntemperature = 0.5\n[training]\nepochs = 1\nsteps = 1\nbatch = 2\nrate = 0.01\n",
    );
    folder.done("pretrain dataset --config settings.toml --rate 0.002 --out run");
    insta::assert_snapshot!(String::from_utf8(bytes(&folder, "run/config.toml")).unwrap());
    folder.write("typo.toml", "strategy = \"scan\"\ntemprature = 0.5\n");
    insta::assert_snapshot!(folder.refused("pretrain dataset --config typo.toml --out other"));
}

#[test]
fn several_organs_at_once() {
    let folder = cohort();
    let line = "finetune dataset --organ kidney_left --organ kidney_right --organ liver --epochs 1 --steps 1 --batch 2 --flip true";
    folder.done(&format!("{line} --net resnet18 --loss dice+ce --out run"));
    folder.done("predict run cohort/images --out masks --flip --largest --probabilities");
    let names = String::from_utf8(bytes(&folder, "masks/labels.json")).unwrap();
    insta::assert_snapshot!(names);
    let mask = nifti::read_mask(&folder.at("masks/a000.nii.gz")).unwrap();
    assert!(mask.voxels.iter().all(|label| [0, 1, 3, 4].contains(label)));
    let map = |organ: &str| {
        nifti::read_image(&folder.at(&format!("masks/probabilities/a000_{organ}.nii.gz"))).unwrap()
    };
    let maps = ["liver", "kidney_left", "kidney_right"].map(map);
    for i in 0..mask.voxels.len() {
        let sum: f32 = maps.iter().map(|map| map.voxels[i]).sum();
        assert!((-1e-5..=1.00001).contains(&sum), "{sum}");
    }
}

#[test]
fn without_validation_a_training_ends_when_its_loss_falls_no_more() {
    let folder = cohort();
    let line =
        "finetune dataset --organ liver --epochs 40 --steps 1 --batch 2 --rate 1e-9 --schedule constant";
    folder.done(&format!("{line} --patience 3 --out run"));
    let losses: Vec<f64> =
        log(&folder, "run").iter().map(|record| record["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() < 40, "{losses:?}");
    let (before, last) = losses.split_at(losses.len() - 3);
    let lowest = before.iter().copied().fold(f64::MAX, f64::min);
    assert!(last.iter().all(|&loss| loss >= lowest), "{losses:?}");
}

/// Runs of earlier versions hold no averaged weights, and do not know of how many parts an organ is.
#[test]
fn a_run_of_an_earlier_version_keeps_all_components() {
    let folder = cohort();
    folder.done("finetune dataset --organ liver --epochs 1 --steps 1 --batch 2 --average 0 --out run");
    folder.done("predict run cohort/images --all-components --out all");
    folder.done("predict run cohort/images --out kept");
    let card = String::from_utf8(bytes(&folder, "run/run.json")).unwrap();
    let mut card: serde_json::Value = serde_json::from_str(&card).unwrap();
    assert!(card["organs"][0].as_object_mut().unwrap().remove("parts").is_some());
    folder.write("run/run.json", &card.to_string());
    folder.done("predict run cohort/images --out old");
    let masks = |out: &str| ["a000", "a001"].map(|case| bytes(&folder, &format!("{out}/{case}.nii.gz")));
    assert!(masks("old") == masks("all"));
    assert!(masks("kept") != masks("all"), "an untrained network's masks are of many parts");
}

#[test]
fn probabilities_are_smoothed_along_the_body_as_asked() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out run"));
    let line = "predict run cohort/images/a000.nii.gz --probabilities --all-components";
    folder.done(&format!("{line} --smooth 0 --out masks"));
    let map = || nifti::read_image(&folder.at("masks/probabilities/a000_liver.nii.gz")).unwrap();
    let mask = || bytes(&folder, "masks/a000.nii.gz");
    let (plain, before) = (map(), mask());
    folder.done(&format!("{line} --out masks --continue"));
    assert!(mask() != before, "a mask that was made otherwise is not kept");
    let card: serde_json::Value = serde_json::from_slice(&bytes(&folder, "masks/polycl.json")).unwrap();
    assert_eq!(card["made"]["a000"]["smooth"], 2.5);
    let (smooth, [nx, ny, nz]) = (map(), plain.space.shape);
    let apart = plain.space.spacing()[2];
    for z in 0..nz {
        let near = (0..nz).map(|other| (other, other.abs_diff(z) as f64 * apart / 2.5));
        let near: Vec<(usize, f64)> =
            near.filter(|(_, away)| *away <= 3.0).map(|(z, away)| (z, (-away * away / 2.0).exp())).collect();
        let whole: f64 = near.iter().map(|(_, weight)| weight).sum();
        for i in 0..nx * ny {
            let mean =
                near.iter().map(|(z, weight)| weight * f64::from(plain.plane(*z)[i])).sum::<f64>() / whole;
            assert!((mean - f64::from(smooth.plane(z)[i])).abs() < 1e-5, "slice {z}");
        }
    }
    for wrong in ["-1", "nan", "1000"] {
        let told = folder.refused(&format!("{line} --out masks --smooth={wrong}"));
        assert!(told.contains("smooth: expected 0 to 100 mm"), "{told}");
    }
}

const SCORED: &str = "evaluate --reference cohort/labels --prediction masks --labels 1";

#[test]
fn organs_are_found_only_in_slices_that_are_named() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out run"));
    let line = "predict run cohort/images --all-components";
    folder.done(&format!("{line} --out plain"));
    folder.write("ranges.csv", "scan,organ,first_slice,last_slice\na000,liver,3,5\n");
    insta::assert_snapshot!(folder.polycl(&format!("{line} --ranges ranges.csv --out masks")));
    let mask = |out: &str, case: &str| nifti::read_mask(&folder.at(&format!("{out}/{case}.nii.gz"))).unwrap();
    let (plain, cut) = (mask("plain", "a000"), mask("masks", "a000"));
    let shows = |slice: usize| plain.plane(slice).iter().any(|voxel| *voxel != 0);
    assert!(shows(2) && shows(4), "an untrained network finds something everywhere");
    for slice in 0..cut.space.shape[2] {
        let kept = (3..=5).contains(&slice);
        assert!(if kept {
            cut.plane(slice) == plain.plane(slice)
        } else {
            cut.plane(slice).iter().all(|v| *v == 0)
        });
    }
    assert!(mask("plain", "a001").voxels == mask("masks", "a001").voxels);
    let told = folder.polycl(&format!("{SCORED} --out scores"));
    let note =
        "1 of 5 predictions kept to slices that a person had named: their scores are not the network's alone";
    assert!(told.contains(&format!("note: {note}")), "{told}");
    assert!(String::from_utf8(bytes(&folder, "scores/summary.json")).unwrap().contains(note));
    let lone = SCORED.replace("/labels", "/labels/a001.nii.gz").replace("masks", "masks/a001.nii.gz");
    assert!(!folder.done(&format!("{lone} --out lone")).contains("named"), "another mask's ranges");
    // Shards tell the same, and cut the same.
    for shard in ["0/2", "1/2"] {
        folder.done(&format!("{line} --ranges ranges.csv --out shared --shard {shard}"));
        folder.done(&format!("{SCORED} --out united --shard {shard}"));
    }
    folder.done("predict --merge shared");
    assert!(folder.done("evaluate --merge united").contains(note));
    assert!(mask("shared", "a000").voxels == cut.voxels);
    let card: serde_json::Value = serde_json::from_slice(&bytes(&folder, "shared/polycl.json")).unwrap();
    assert_eq!(card["ranged"], serde_json::json!(["a000"]));

    folder.write("ranges.csv", "scan,organ,first_slice,last_slice\na000,liver,,\na000,nose,1,2\n");
    insta::assert_snapshot!(folder.polycl(&format!("{line} --ranges ranges.csv --out masks --continue")));
    assert!(mask("masks", "a000").voxels.iter().all(|voxel| *voxel == 0));
    folder.done(&format!("{line} --out masks --continue"));
    assert!(mask("masks", "a000").voxels == plain.voxels);
    assert!(!folder.done(&format!("{SCORED} --out again")).contains("named"));

    for rows in ["a000,nose,1,2", "a009,liver,1,2", "a000,liver,1,99"] {
        folder.write("ranges.csv", &format!("scan,organ,first_slice,last_slice\n{rows}\n"));
        insta::assert_snapshot!(folder.polycl(&format!("{line} --ranges ranges.csv --out others")));
    }
}

#[test]
fn masks_have_the_geometry_of_their_scans() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out run"));
    folder.done("phantom --out other --patients 3 --domain b --size 48 --seed 9");
    folder.done("predict run other/images --out masks");
    for case in ["b000", "b001", "b002"] {
        let space = |folder_name: &str| {
            nifti::read_space(&folder.at(&format!("{folder_name}/{case}.nii.gz"))).unwrap()
        };
        let (image, mask) = (space("other/images"), space("masks"));
        assert_eq!(image, mask);
        assert_eq!(image.native, mask.native);
    }
    let trained: serde_json::Value = serde_json::from_slice(&bytes(&folder, "masks/polycl.json")).unwrap();
    assert_eq!(trained["trained_on"], serde_json::json!([]));
    // The same file under another name is known again.
    std::fs::copy(folder.at("cohort/images/a001.nii.gz"), folder.at("renamed/mine.nii.gz")).unwrap();
    insta::assert_snapshot!(folder.polycl("predict run renamed --out again"));
    // And stays known when more scans come into the folder.
    folder.done("predict run other/images --out again");
    let trained: serde_json::Value = serde_json::from_slice(&bytes(&folder, "again/polycl.json")).unwrap();
    assert_eq!(trained["trained_on"], serde_json::json!(["mine"]));
}

#[test]
fn a_mask_replaces_neither_its_scan_nor_masks_of_another_network() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out run"));
    folder.done(&format!("{FINETUNE} --seed 5 --out other"));
    folder.done("predict run cohort/images/a000.nii.gz --out masks");
    let scan = bytes(&folder, "cohort/images/a000.nii.gz");
    let into_scans = folder.refused("predict run cohort/images --out cohort/images");
    let into_others = folder.refused("predict other cohort/images --out masks");
    insta::assert_snapshot!(into_scans + &into_others);
    assert!(bytes(&folder, "cohort/images/a000.nii.gz") == scan);
}

#[test]
fn an_encoder_that_was_fine_tuned_has_seen_those_masks() {
    let folder = cohort();
    folder.done(&format!("{PRETRAIN} --out encoder"));
    folder.done(&format!("{FINETUNE} --encoder encoder --cases 2 --out first"));
    folder.done(&format!("{FINETUNE} --encoder first --cases 1 --seed 4 --out second"));
    let count = |run: &str, key: &str| {
        let card: serde_json::Value =
            serde_json::from_slice(&bytes(&folder, &format!("{run}/run.json"))).unwrap();
        card[key].as_array().unwrap().len()
    };
    assert_eq!((count("first", "training_cases"), count("first", "pretraining_cases")), (2, 5));
    assert_eq!((count("second", "training_cases"), count("second", "pretraining_cases")), (3, 5));
}

#[test]
fn filters_are_shuffled_only_where_there_are_some() {
    let folder = cohort();
    folder.write("control.toml", "shuffled_encoder = true\n");
    let line = format!("{FINETUNE} --config control.toml");
    let told = folder.refused(&format!("{line} --out run"));
    assert!(told.contains("expected an encoder, to which `shuffled_encoder` belongs"), "{told}");
    folder.done(&format!("{PRETRAIN} --out encoder"));
    folder.done(&format!("{line} --encoder encoder --out control"));
    folder.done(&format!("{FINETUNE} --encoder encoder --out run"));
    assert!(bytes(&folder, "control/latest.safetensors") != bytes(&folder, "run/latest.safetensors"));
}

#[test]
fn targets_that_cannot_be_written() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out run"));
    folder.write("file", "not a folder");
    let lines = [
        format!("{PRETRAIN} --out file/run"),
        format!("{FINETUNE} --out file/run"),
        "predict run cohort/images --out file/masks".to_owned(),
        "demo --out file/demo".to_owned(),
    ];
    insta::assert_snapshot!(lines.map(|line| folder.refused(&line)).join("\n"));
}

#[test]
fn a_resumed_run_needs_its_settings_no_second_time_and_its_data_unchanged() {
    let folder = cohort();
    folder.done(&format!("{PRETRAIN} --out run"));
    let before = log(&folder, "run");
    folder.done("pretrain dataset --out run --resume");
    assert_eq!(log(&folder, "run"), before, "nothing is left to do");
    std::fs::copy(folder.at("run/latest.safetensors"), folder.at("whole.safetensors")).unwrap();
    let stripped = without_optimiser(&bytes(&folder, "run/latest.safetensors"));
    std::fs::write(folder.at("run/latest.safetensors"), stripped).unwrap();
    let no_optimiser = folder.refused("pretrain dataset --out run --resume");
    std::fs::rename(folder.at("whole.safetensors"), folder.at("run/latest.safetensors")).unwrap();
    folder.done("import --manifest cohort/manifest.csv --keep 0.9 --out smaller --size 32");
    let other_data = folder.refused("pretrain smaller --out run --resume");
    insta::assert_snapshot!(no_optimiser + &other_data);
}

fn without_optimiser(bytes: &[u8]) -> Vec<u8> {
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let weights = file.iter().filter(|(name, _)| !name.starts_with("optimiser."));
    safetensors::serialize(weights, metadata.metadata().clone()).unwrap()
}

#[test]
fn one_broken_scan_does_not_stop_the_others() {
    let folder = cohort();
    folder.done(&format!("{FINETUNE} --out run"));
    folder.write("cohort/images/a009.nii.gz", "no scan");
    let shown = folder.polycl("predict run cohort/images --out masks");
    assert!(shown.starts_with("exit 1\n"), "{shown}");
    assert_eq!(shown.matches("cohort/images/a009.nii.gz: expected").count(), 1, "{shown}");
    assert!(shown.contains("5 of 6 scans segmented"), "{shown}");
    let more = folder.polycl("predict run cohort/images --out masks --continue");
    assert!(more.contains("0 of 6 scans segmented, 5 were there already: masks"), "{more}");
    let again = folder.polycl("predict run cohort/images --out masks");
    assert!(again.contains("note: 5 of 6 masks are there already and are made again; --continue"), "{again}");
    assert_eq!(std::fs::read_dir(folder.at("masks/.")).unwrap().count(), 5 + 2);
}

#[test]
fn requests_that_cannot_be_met() {
    let folder = cohort();
    folder.done("import --images cohort/images --size 32 --out unlabelled");
    let lines = [
        "pretrain dataset --strategy organ --organ spine --out run",
        "pretrain dataset --strategy mixed --organ heart --out run",
        "pretrain dataset --strategy organ --out run",
        "pretrain dataset --strategy scan --domain z --out run",
        "pretrain nothing --strategy scan --out run",
        "pretrain dataset --strategy scan --device cuda --out run",
        "pretrain dataset --strategy scan --epochs 0 --out run",
        "pretrain dataset --strategy scan --organ liver --out run",
        "pretrain dataset --strategy scan --rate 1e30 --epochs 1 --steps 3 --batch 2 --out run",
        "finetune dataset --organ liver --rotate nan --out run",
        "finetune dataset --organ liver --scale 2 --out run",
        "finetune dataset --organ liver --noise nan --out run",
        "finetune dataset --organ liver --foreground 1.5 --out run",
        "finetune dataset --organ liver --dropout 1 --out run",
        "finetune dataset --organ liver --warmup 1 --out run",
        "finetune dataset --organ liver --average -0.1 --out run",
        "finetune dataset --organ heart --out run",
        "finetune unlabelled --out run",
        "finetune unlabelled --organ liver --out run",
        "finetune dataset --organ liver --cases 9 --out run",
        "finetune dataset --organ liver --cases 2 --fraction 0.5 --out run",
        "finetune dataset --organ liver --encoder nothing --out run",
        "predict cohort cohort/images --out run",
    ];
    insta::assert_snapshot!(
        lines.map(|line| format!("$ polycl {line}\n{}", folder.refused(line))).join("\n")
    );
}

/// Name, shape and bytes of a tensor in a file.
type Stored = (String, Vec<usize>, Vec<u8>);

#[test]
fn checkpoints_of_another_network_or_damaged_ones() {
    let folder = cohort();
    folder.done(&format!("{PRETRAIN} --out encoder"));
    folder.done(&format!("{FINETUNE} --out run"));
    let mut said = String::new();
    let mut shown = |title: &str, line: &str| said += &format!("{title}: {}\n", folder.refused(line));
    shown("another net", "finetune dataset --organ liver --encoder encoder --net resnet18 --out new");
    shown("an encoder alone", "predict encoder cohort/images --out new");

    let best = folder.at("run/best.safetensors");
    let whole = std::fs::read(&best).unwrap();
    let rewritten = |change: &dyn Fn(&mut Vec<Stored>)| {
        let file = safetensors::SafeTensors::deserialize(&whole).unwrap();
        let mut tensors: Vec<_> =
            file.iter().map(|(n, t)| (n.to_owned(), t.shape().to_vec(), t.data().to_vec())).collect();
        tensors.sort();
        change(&mut tensors);
        let views = tensors.iter().map(|(name, shape, data)| {
            (
                name,
                safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap(),
            )
        });
        std::fs::write(&best, safetensors::serialize(views, None).unwrap()).unwrap();
    };
    rewritten(&|tensors| drop(tensors.remove(0)));
    shown("a missing tensor", "predict run cohort/images --out new");
    rewritten(&|tensors| tensors.push(("extra.weight".to_owned(), vec![1], vec![0; 4])));
    shown("an unused tensor", "predict run cohort/images --out new");
    rewritten(&|tensors| tensors[0].1 = vec![1, tensors[0].1.iter().product()]);
    shown("a misshapen tensor", "predict run cohort/images --out new");
    std::fs::write(&best, &whole[..whole.len() / 2]).unwrap();
    shown("a truncated file", "predict run cohort/images --out new");
    std::fs::write(&best, [0xff; 64]).unwrap();
    shown("no safetensors at all", "predict run cohort/images --out new");
    insta::assert_snapshot!(said);
}
