//! The help of every command, as a person reads it.

mod common;

use common::Folder;

#[test]
fn help() {
    let folder = Folder::new();
    let commands = [
        "",
        "demo",
        "phantom",
        "import",
        "inspect",
        "suggest",
        "pretrain",
        "finetune",
        "predict",
        "propagate",
        "refine",
        "fetch",
        "evaluate",
        "bench step",
        "bench sam",
        "bench refine",
        "bench propagate",
        "bench read",
    ];
    let said = commands.map(|command| {
        let line = format!("{command} --help");
        format!("$ polycl {}\n{}", line.trim(), folder.done(line.trim()))
    });
    insta::assert_snapshot!(said.join("\n"));
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
