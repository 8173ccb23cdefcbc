//! The help of every command, as a person reads it.

mod common;

use std::path::Path;

use common::Folder;

/// Every command, and every part of one.
const COMMANDS: [&str; 22] = [
    "demo",
    "phantom",
    "import",
    "export",
    "inspect",
    "suggest",
    "pretrain",
    "finetune",
    "predict",
    "propagate",
    "refine",
    "fetch",
    "evaluate",
    "study",
    "bench",
    "bench step",
    "bench sam",
    "bench sam2",
    "bench refine",
    "bench propagate",
    "bench read",
    "help",
];

fn pages(lines: impl IntoIterator<Item = String>) -> String {
    let folder = Folder::new();
    let said =
        lines.into_iter().map(|line| format!("$ polycl {}\n{}", line.trim(), folder.done(line.trim())));
    said.collect::<Vec<_>>().join("\n")
}

#[test]
fn help() {
    let commands = std::iter::once(&"").chain(&COMMANDS);
    insta::assert_snapshot!(pages(commands.map(|command| format!("{command} --help"))));
}

#[test]
fn help_in_short() {
    insta::assert_snapshot!(pages(
        ["", "import", "finetune", "predict"].map(|command| format!("{command} -h"))
    ));
}

#[test]
fn topics() {
    insta::assert_snapshot!(pages(["help formats".to_owned(), "help workflow".to_owned()]));
}

/// The rows of a page on a terminal of 80 columns.
fn rows(line: &str) -> usize {
    let page = Folder::new().polycl_with(line, &[("COLUMNS", Path::new("80"))]);
    assert!(page.starts_with("exit 0"), "{page}");
    let rows = page.lines().skip(1).map(|line| line.chars().count().div_ceil(80).max(1)).sum();
    println!("{rows} rows: polycl {line}");
    rows
}

/// `-h` of a command, and a topic, are read without scrolling.
#[test]
fn help_fits_a_screen() {
    let commands = std::iter::once("").chain(COMMANDS).map(|command| format!("{command} -h"));
    let topics = ["help formats".to_owned(), "help workflow".to_owned()];
    let long: Vec<String> = commands.chain(topics).filter(|line| rows(line) > 40).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn help_of_nothing_known() {
    assert!(Folder::new().refused("help imports").contains("imports: expected a command"));
    assert!(Folder::new().done("help bench step").contains("polycl bench step [OPTIONS]"));
}

#[test]
fn a_step_is_timed_with_the_keys_of_the_peer() {
    let line = Folder::new()
        .done("bench step --size 32 --batch 1 --steps 2 --warmup 0 --net resnet18 --task inference");
    let json: serde_json::Value = serde_json::from_str(line.strip_prefix("exit 0\n").unwrap()).unwrap();
    let keys = [
        "net",
        "task",
        "batch",
        "size",
        "threads",
        "median_s",
        "min_s",
        "max_s",
        "idle_rss_mib",
        "peak_rss_mib",
    ];
    for key in keys.into_iter().chain(["peer"]) {
        assert!(!json[key].is_null(), "{key}");
    }
    assert!(json["min_s"].as_f64() <= json["median_s"].as_f64() && json["median_s"].as_f64() > Some(0.0));
}
