//! Studies as a user runs them, on small phantoms.

mod common;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::Folder;
use common::processes::signal;

/// Training patients of one hospital, and test patients of that and of another one, at 32².
fn hospitals() -> Folder {
    let folder = Folder::new();
    for (name, patients, domain, seed) in [("train", 6, "a", 3), ("near", 2, "a", 4), ("far", 2, "b", 4)] {
        folder.done(&format!(
            "phantom --out {name}-files --patients {patients} --domain {domain} --size 32 --seed {seed}"
        ));
        folder.done(&format!("import --manifest {name}-files/manifest.csv --out {name} --size 32"));
    }
    folder
}

const TESTS: &str = "
[[test]]
name = 'same hospital'
dataset = 'near'
namesakes = true
[[test]]
name = 'other hospital'
dataset = 'far'
";

/// A study of as little as there can be.
fn study(methods: &str, budgets: &str, seeds: &str, rest: &str) -> String {
    format!(
        "dataset = 'train'\norgans = ['liver']\nmethods = {methods}\nbudgets = {budgets}\nseeds = {seeds}\nimages = 48\n\
         [pretraining.training]\nepochs = 2\n[finetuning.training]\nepochs = 2\nsteps = 2\nbatch = 4\n{rest}"
    )
}

/// What a report says but for the times that trainings took.
fn tables(folder: &Folder, out: &str) -> [String; 2] {
    let report = fs::read_to_string(folder.at(&format!("{out}/report.md"))).unwrap();
    let (before, after) = report.split_once("## Compute spent").unwrap();
    let (_, after) = after.split_once("## How it was done").unwrap();
    [format!("{before}{after}"), fs::read_to_string(folder.at(&format!("{out}/scores.csv"))).unwrap()]
}

#[test]
fn every_method_ends_in_a_report() {
    let folder = hospitals();
    let methods =
        "['scratch', 'simclr', 'moco', 'byol', 'positional', 'mae', 'scan', 'organ', 'mixed', 'mixed-all']";
    folder.write("study.toml", &study(methods, "[1]", "[0, 1]", TESTS));
    let shown = folder.done("study study.toml --out study");
    assert!(shown.contains("report.html"), "{shown}");
    let [report, scores] = tables(&folder, "study");
    for title in
        ["scratch", "SimCLR", "MoCo v2", "BYOL", "positional", "MAE", "PolyCL-S", "PolyCL-O", "PolyCL-M"]
    {
        assert!(report.contains(&format!("| {title} | 0.")), "{title}: {report}");
    }
    // 10 methods, 2 seeds, 2 patients of each of 2 tests.
    assert_eq!(scores.lines().count(), 1 + 10 * 2 * 2 * 2, "{scores}");
    let html = fs::read_to_string(folder.at("study/report.html")).unwrap();
    assert_eq!(html.matches("<svg").count(), 4, "Dice and HD95 of two tests");
    assert_eq!(html.matches("data:image/png").count(), 2 * 3 * 2, "three patients a test, beside scratch");
    assert!(
        !html.contains("http://") || html.contains("http://www.w3.org"),
        "nothing is loaded from elsewhere"
    );
}

#[test]
fn kills_change_nothing_and_more_budgets_repeat_nothing() {
    let folder = hospitals();
    folder.write("study.toml", &study("['scratch', 'mixed']", "[1, 4]", "[0, 1]", TESTS));
    folder.done("study study.toml --out straight --jobs 2");
    for (milliseconds, kill) in [(700, true), (1900, false), (1300, true)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_polycl"))
            .args(["study", "study.toml", "--out", "killed", "--jobs", "1"])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        if kill {
            child.kill().unwrap();
            child.wait().unwrap();
            continue;
        }
        // Asked to stop, it ends in order, and so does the command at work.
        signal(&child, "TERM");
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 130)), "{code:?}");
    }
    folder.done("study study.toml --out killed --jobs 2");
    assert_eq!(tables(&folder, "straight"), tables(&folder, "killed"));

    folder.write("study.toml", &study("['scratch', 'mixed']", "[1, 2, 4]", "[0, 1]", TESTS));
    let more = folder.done("study study.toml --out straight");
    assert!(more.contains("2 pre-trainings (2 done), 12 fine-tunings (8 done)"), "{more}");
    let [_, before] = tables(&folder, "killed");
    let [_, after] = tables(&folder, "straight");
    assert!(before.lines().all(|line| after.contains(line)), "earlier scores stay");
}

#[test]
fn folds_test_everybody_once_and_nobody_who_was_seen() {
    let folder = hospitals();
    let rest = "[method.later]\nbase = 'scan'\ntitle = 'scan, later'\npretraining = { temperature = 0.5 }\n\
                [method.ranges]\nbase = 'scratch'\nfinetuning = { self_train = true }\n";
    let text = study("['scratch', 'later', 'ranges']", "[2, 'all']", "[5]", rest)
        .replace("images =", "folds = 3\nexclude = ['a003']\nimages =");
    folder.write("study.toml", &text);
    folder.done("study study.toml --out study");
    let [report, scores] = tables(&folder, "study");
    assert!(report.contains("| scan, later | 0."), "{report}");
    let tested = |method: &str, budget: &str| {
        let line = |line: &&str| line.starts_with(&format!("{method},hand,{budget},"));
        let patients = scores.lines().filter(line).map(|line| line.split(',').nth(8).unwrap().to_owned());
        let mut patients: Vec<String> = patients.collect();
        patients.sort();
        patients
    };
    let all: Vec<String> = [0, 1, 2, 4, 5].map(|patient| format!("a{patient:03}")).to_vec();
    for method in ["scratch", "later", "ranges"] {
        assert_eq!([tested(method, "2"), tested(method, "all")], [all.clone(), all.clone()], "{method}");
    }
    for network in fs::read_dir(folder.at("study/networks/x").parent().unwrap()).unwrap() {
        let network = network.unwrap().path();
        let card = fs::read_to_string(network.join("run/run.json")).unwrap();
        let card: serde_json::Value = serde_json::from_str(&card).unwrap();
        // Two of the five, less those of the fold, train by masks; the ranges of the others are known.
        let name = network.file_name().unwrap().to_str().unwrap();
        let ranged = name.starts_with("ranges_2_");
        assert_eq!(network.join("run/teacher/run.json").exists(), ranged, "{name}");
        let unseen = !name.starts_with("later") && !ranged;
        assert_eq!(card["pretraining_cases"].as_array().unwrap().is_empty(), unseen, "{name}");
        let test = fs::read_dir(network.join("tests")).unwrap().next().unwrap().unwrap().path();
        let cases = fs::read_to_string(test.join("scores/cases.csv")).unwrap();
        for group in ["training_cases", "validation_cases", "pretraining_cases"] {
            for seen in card[group].as_array().unwrap() {
                let case = seen["case"].as_str().unwrap();
                let network = network.display();
                assert!(!cases.contains(case), "{case} is in {group} and in the test of {network}");
                assert_ne!(case, "a003", "who is left out of everything");
            }
        }
    }
}

#[test]
fn other_masks_of_the_same_scans_are_a_way_of_their_own() {
    let folder = hospitals();
    let manifest = fs::read_to_string(folder.at("train-files/manifest.csv")).unwrap();
    let rows = manifest.lines().enumerate().map(|(at, line)| match at {
        0 => format!("{line},origin\n"),
        _ => format!("{line},predicted\n"),
    });
    folder.write("train-files/machine.csv", &rows.collect::<String>());
    folder.done("import --manifest train-files/machine.csv --out machine --size 32");
    let rest = format!("[labels.machine]\ndataset = 'machine'\nmethods = ['mixed']\n{TESTS}");
    folder.write("study.toml", &study("['scratch', 'mixed']", "[4]", "[0]", &rest));
    folder.done("study study.toml --out study");
    let [report, scores] = tables(&folder, "study");
    assert!(report.contains("| PolyCL-M, machine masks | 0."), "{report}");
    assert!(report.contains("## Other masks against those drawn by hand"), "{report}");
    // All three learn from the same patients, whoever drew their masks.
    let mut trained = Vec::new();
    for network in fs::read_dir(folder.at("study/networks/x").parent().unwrap()).unwrap() {
        let settings = fs::read_to_string(network.unwrap().path().join("settings.toml")).unwrap();
        trained.push(settings.parse::<toml::Table>().unwrap()["split"].clone());
    }
    assert_eq!(trained.len(), 3);
    assert!(trained.windows(2).all(|two| two[0] == two[1]), "{trained:?}");
    assert!(scores.contains("mixed,machine,4,0,"), "{scores}");
}

#[test]
fn a_method_whose_trainings_fail_is_left_out_and_the_others_are_reported() {
    let folder = hospitals();
    let rest = format!("[method.mixed]\npretraining = {{ training = {{ rate = 1e30 }} }}\n{TESTS}");
    folder.write("study.toml", &study("['scratch', 'scan', 'mixed']", "[1]", "[0]", &rest));
    let shown = folder.polycl("study study.toml --out study");
    assert!(shown.starts_with("exit 1"), "{shown}");
    assert!(shown.contains("PolyCL-M, budget 1, seed 0: the pre-training before it failed"), "{shown}");
    let [report, scores] = tables(&folder, "study");
    assert!(report.contains("PolyCL-M is left out of everything: some of its trainings failed."), "{report}");
    assert!(report.contains("| PolyCL-S | 0.") && !report.contains("| PolyCL-M | 0."), "{report}");
    assert!(!scores.contains("mixed"), "{scores}");
}

#[test]
fn refined_masks_are_compared_with_the_same_masks_as_they_were() {
    let folder = hospitals();
    let shown = folder.polycl("fetch litemedsam");
    if !shown.starts_with("exit 0") {
        println!("skipped: no weights of LiteMedSAM can be had: {shown}");
        return;
    }
    folder.done("phantom --out one-files --patients 1 --domain b --size 32 --seed 5");
    folder.done("import --manifest one-files/manifest.csv --out one --size 32");
    let rest = "[refinement]\nmodel = 'litemedsam'\nmethods = ['scratch']\nbudgets = [1]\n\
                [[test]]\nname = 'one'\ndataset = 'one'\n";
    folder.write("study.toml", &study("['scratch', 'scan']", "[1, 2]", "[0]", rest));
    folder.done("study study.toml --out study");
    let [report, scores] = tables(&folder, "study");
    assert!(report.contains("| one | 1 | scratch, refined | scratch |"), "{report}");
    assert_eq!(scores.lines().filter(|line| line.contains(",1,one,")).count(), 1, "{scores}");
}

#[test]
fn slices_are_drawn_in_several_ways_and_an_oracle_is_a_row_of_its_own() {
    let folder = hospitals();
    let rest = format!("[method.spread]\nbase = 'scratch'\ndraw = 'spread'\n{TESTS}");
    let text = study("['scratch', 'spread', 'scan']", "[2]", "[0, 1]", &rest)
        .replace("images =", "slices = [2, 3]\noracle = true\nprimary = 'spread'\nimages =");
    folder.write("study.toml", &text);
    folder.done("study study.toml --out study");
    let mut drawn = 0;
    for network in fs::read_dir(folder.at("study/networks/x").parent().unwrap()).unwrap() {
        let network = network.unwrap().path();
        let name = network.file_name().unwrap().to_str().unwrap().to_owned();
        let settings: toml::Table =
            fs::read_to_string(network.join("settings.toml")).unwrap().parse().unwrap();
        let Some(cases) = settings.get("drawn") else {
            assert!(name.contains("_2_seed"), "{name} is of whole patients");
            continue;
        };
        let slices: Vec<usize> =
            cases.as_table().unwrap().values().map(|slices| slices.as_array().unwrap().len()).collect();
        let budget = if name.contains("_2_slices") { 2 } else { 3 };
        assert_eq!(slices.iter().sum::<usize>(), budget, "{name}");
        assert_eq!(slices.len(), if name.starts_with("spread") { budget } else { 1 }, "{name}");
        let patients = settings["split"]["train"].as_array().unwrap();
        assert_eq!(patients.len(), slices.len(), "{name} trains who is drawn");
        drawn += 1;
    }
    assert_eq!(drawn, 3 * 2 * 2, "methods, budgets in slices, seeds");

    let [report, scores] = tables(&folder, "study");
    for said in [
        "| Dice by budget | 2 | 2 slices | 3 slices |",
        "| scratch, oracle | 0.",
        "## Against scratch",
        "| same hospital | 2 slices | spread | scratch |",
        "same hospital, 3 drawn slices: the evidence does not separate spread from scratch",
        "## By draw",
        "| Dice, other hospital | budget | seed 0 | seed 1 |",
        "| spread | 2 slices | 0.",
    ] {
        assert!(report.contains(said), "{said}: {report}");
    }
    for unsaid in
        ["| same hospital | 2 | spread | scratch |", "oracle | scratch |", "slices | scratch, oracle |"]
    {
        assert!(!report.contains(unsaid), "{unsaid}: {report}");
    }
    // Two tests of two patients, two seeds; what lies outside the true slices is never right.
    let rows: Vec<Vec<&str>> = scores.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let (oracle, plain): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row[12] == "1");
    assert_eq!([oracle.len(), plain.len()], [3 * 3 * 2 * 4; 2], "{scores}");
    for row in oracle {
        let same = plain.iter().find(|other| row[..10] == other[..10]).unwrap();
        let [cut, whole] = [row, same].map(|row| row[10].parse::<f64>().unwrap());
        assert!(cut >= whole, "{row:?} {same:?}");
    }

    let again = folder.done("study study.toml --out study");
    assert!(again.contains("2 pre-trainings (2 done), 18 fine-tunings (18 done)"), "{again}");
    assert_eq!(tables(&folder, "study"), [report, scores]);
}

#[test]
fn what_cannot_be_met_is_refused_before_anything_runs() {
    let folder = hospitals();
    folder.done("import --images train-files/images --out unlabelled --size 32");
    let scratch = |budgets: &str, rest: &str| study("['scratch']", budgets, "[0]", rest);
    let with = |text: String, setting: &str| text.replace("images =", &format!("{setting}\nimages ="));
    let cases = [
        ("a budget larger than the cohort", scratch("[1, 7]", TESTS)),
        (
            "a test of training patients",
            scratch("[1]", "[[test]]\nname = 'own'\ndataset = 'train'\nnamesakes = true\n"),
        ),
        ("a test of namesakes", scratch("[1]", "[[test]]\nname = 'near'\ndataset = 'near'\n")),
        ("a test without masks", scratch("[1]", "[[test]]\nname = 'none'\ndataset = 'unlabelled'\n")),
        (
            "a method whose needs the data cannot meet",
            study("['organ']", "[1]", "[0]", TESTS).replace("'liver'", "'spine'"),
        ),
        ("an organ nobody has drawn", scratch("[1]", TESTS).replace("'liver'", "'heart'")),
        ("an unknown method", study("['scratch', 'dino']", "[1]", "[0]", TESTS)),
        ("a typo", scratch("[1]", TESTS).replace("images", "imgaes")),
        ("a typo below", scratch("[1]", TESTS).replace("steps", "setps")),
        (
            "a setting that the study says itself",
            scratch("[1]", TESTS).replace("steps = 2", "steps = 2\nseed = 3"),
        ),
        ("nobody to test on", scratch("[1]", "")),
        ("more folds than patients", scratch("[1]", "").replace("images =", "folds = 7\nimages =")),
        ("no budget that there is", scratch("['some']", TESTS)),
        ("no budget at all", scratch("[]", TESTS)),
        ("more slices than there are", with(scratch("[]", TESTS), "slices = [2, 5000]")),
        ("no slice", with(scratch("[1]", TESTS), "slices = [5, 0]")),
        ("a draw of no slices", with(scratch("[1]", TESTS), "draw = 'spread'")),
        (
            "a method's draw of no slices",
            scratch("[1]", &format!("[method.scratch]\ndraw = 'suggested'\n{TESTS}")),
        ),
        (
            "slices of other masks",
            with(scratch("[1]", &format!("[labels.other]\ndataset = 'near'\n{TESTS}")), "slices = [5]"),
        ),
        ("slices that validate", with(scratch("[1]", TESTS), "slices = [5]\nfinetuning.validate = true")),
        ("a method twice", study("['scratch', 'scratch']", "[1]", "[0]", TESTS)),
        (
            "settings of another method",
            study(
                "['simclr']",
                "[1]",
                "[0]",
                &format!("[method.simclr]\npretraining = {{ negatives = 'all' }}\n{TESTS}"),
            ),
        ),
        ("masks of other scans", scratch("['all']", &format!("[labels.other]\ndataset = 'near'\n{TESTS}"))),
        ("images that make no whole steps", study("['scan']", "[1]", "[0]", TESTS).replace("48", "50")),
        (
            "a patient to leave out whom there is not",
            scratch("[1]", TESTS).replace("images", "exclude = ['x']\nimages"),
        ),
        (
            "another network for one method",
            study(
                "['scan']",
                "[1]",
                "[0]",
                &format!("[method.scan]\npretraining = {{ net = 'resnet18' }}\n{TESTS}"),
            ),
        ),
        (
            "refinement without weights",
            scratch("[1]", &format!("[refinement]\nmodel = 'litemedsam'\nweights = 'nowhere.pth'\n{TESTS}")),
        ),
    ];
    let mut shown = String::new();
    for (what, text) in cases {
        folder.write("study.toml", &text);
        shown += &format!("# {what}\n{}\n", folder.refused("study study.toml --out study"));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_changed_data_set_is_refused_under_a_resumed_study() {
    let folder = hospitals();
    folder.write("study.toml", &study("['scratch']", "[1]", "[0]", TESTS));
    folder.done("study study.toml --out study");
    fs::remove_dir_all(folder.at("near/x").parent().unwrap()).unwrap();
    folder.done("import --manifest near-files/manifest.csv --out near --size 64");
    insta::assert_snapshot!(folder.refused("study study.toml --out study"));
}
