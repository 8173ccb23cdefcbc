//! Rounds with a program that does as it is told: one at a time, paused while people wait, stopped, gone on with, failed.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Asked, Body, Guard, HOST, Server, ServiceExt, request, runtime, stroke, to_bytes, write_scan};
use crate::{monai, rounds};

/// Says what it is called with and what it hears; `finish` and `fail` beside it end it.
const PROGRAM: &str = r#"#!/bin/sh
dir=$(dirname "$0")
echo "$@" >> "$dir/calls"
if [ -e "$dir/fail" ]; then echo "error: the loss is no number" >&2; exit 2; fi
[ "$1" = finetune ] || { echo "import: 50 % done" >&2; exit 0; }
echo "epoch 1/2  loss 0.5: 25 % done" >&2
rm -f "$dir/ended"
exec 3<&0
{ while read -r word; do echo "$word" >> "$dir/heard"; done; echo end >> "$dir/heard"; : > "$dir/ended"; } <&3 &
while :; do
  [ -e "$dir/ended" ] && exit 130
  [ -e "$dir/finish" ] && exit 0
  sleep 0.02
done
"#;

struct Bench {
    server: Server,
    tools: PathBuf,
}

impl Bench {
    /// Six scans, of which the first ones are drawn and reviewed.
    async fn new(reviewed: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d", "e", "f"] {
            write_scan(&folder.path().join(format!("{name}.nii.gz")));
        }
        let tools = folder.path().join("tools");
        std::fs::create_dir(&tools).unwrap();
        let program = tools.join("polycl");
        std::fs::write(&program, PROGRAM).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let request = crate::Request { program: Some(program), ..request(folder.path()) };
        let server = Server::with(folder, request);
        server.post("/api/session", json!({"who": "Ann", "tab": "a"})).await;
        for name in reviewed {
            let (id, _) = server.open(name, "a").await;
            assert_eq!(
                server.post(&format!("/api/scans/{id}/edits"), stroke(1, 1, 3, 40, 5)).await.status,
                StatusCode::OK
            );
            let body = json!({"tab": "a", "reviewed": true});
            assert_eq!(server.post(&format!("/api/scans/{id}/review"), body).await.status, StatusCode::OK);
            server.post(&format!("/api/scans/{id}/close"), json!({"tab": "a"})).await;
        }
        Self { server, tools }
    }

    async fn start(&self, body: Value) -> super::Answered {
        self.server.post("/api/rounds", body).await
    }

    fn now(&self) -> Value {
        rounds::state(&self.server.desk)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.tools.join(name)).unwrap_or_default()
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.tools.join(name), "").unwrap();
    }

    /// Waits until something is so.
    fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            let heard = [self.read("calls"), self.read("heard")];
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {} {heard:?}", self.now());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn until_rest(&self) {
        self.until("the round comes to rest", |bench| bench.now()["running"] != true);
    }

    fn until_tuning(&self) {
        self.until("fine-tuning begins", |bench| {
            bench.now()["step"] == "finetune" && bench.now()["done"] == 25
        });
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        rounds::end(&self.server.desk);
    }
}

/// The scans that the first round's table names.
fn scan_names(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("polycl/rounds/1/masks/manifest.csv")).unwrap();
    let name = |line: &str| line.split(',').nth(3).map(|case| case.trim_matches('"').to_owned());
    let mut names: Vec<String> = text.lines().skip(1).filter_map(name).collect();
    names.sort();
    names
}

#[test]
fn a_round_runs_pauses_stops_and_goes_on() {
    runtime().block_on(async {
        let bench = Bench::new(&["a", "b"]).await;
        let answer = bench.start(json!({"scans": "reviewed", "settings": {"size": 64, "epochs": 2}})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        bench.until_tuning();
        assert_eq!(bench.start(json!({"scans": "reviewed"})).await.code(), "round_at_work");
        assert_eq!(bench.server.post("/api/rounds/resume", json!({})).await.code(), "round_at_work");
        let calls = bench.read("calls");
        let [import, finetune] = calls.lines().collect::<Vec<_>>()[..] else { panic!("{calls}") };
        assert!(
            import.starts_with("import --continue --manifest") && import.ends_with("--size 64"),
            "{import}"
        );
        assert!(
            finetune.contains("--resume")
                && finetune.contains("--organ=liver")
                && !finetune.contains("spleen")
                && finetune.ends_with("--epochs 2"),
            "{finetune}"
        );
        assert_eq!(scan_names(bench.server.folder.path()), ["a", "b"]);
        // A person waits.
        let waiting = bench.server.desk.waiting();
        bench.until("a pause", |bench| bench.read("heard") == "pause\n");
        assert_eq!(bench.now()["paused"], true);
        drop(waiting);
        bench.until("training goes on", |bench| bench.read("heard") == "pause\ngo\n");
        assert_eq!(bench.server.post("/api/rounds/stop", json!({})).await.status, StatusCode::OK);
        bench.until_rest();
        assert_eq!(bench.read("heard"), "pause\ngo\nend\n");
        let now = bench.now();
        assert_eq!(
            (&now["step"], &now["running"], &now["error"]),
            (&json!("finetune"), &json!(false), &json!(null))
        );
        assert_eq!(bench.server.post("/api/rounds/stop", json!({})).await.code(), "no_round");
        assert_eq!(bench.server.post("/api/rounds/resume", json!({})).await.status, StatusCode::OK);
        bench.until_tuning();
        bench.touch("finish");
        // This program leaves no network.
        bench.until_rest();
        let now = bench.now();
        assert_eq!(now["step"], "finetune");
        assert!(now["error"].as_str().unwrap().contains("run.json"), "{now}");
        assert_eq!(bench.read("calls").lines().count(), 3);
    });
}

#[test]
fn an_error_is_told_and_a_round_that_was_cut_off_is_offered() {
    runtime().block_on(async {
        let bench = Bench::new(&["a", "b"]).await;
        bench.touch("fail");
        bench.start(json!({"scans": "reviewed"})).await;
        bench.until_rest();
        let now = bench.now();
        assert_eq!((&now["step"], &now["error"]), (&json!("import"), &json!("the loss is no number")));
        // Another server finds it.
        let all = rounds::Rounds::open(&bench.server.desk.out).unwrap();
        assert_eq!(all.unfinished(), Some(1));
        std::fs::remove_file(bench.tools.join("fail")).unwrap();
        bench.server.post("/api/rounds/resume", json!({})).await;
        bench.until_tuning();
        assert_eq!(bench.now()["error"], Value::Null);
        // The server stops: so does the program.
        rounds::end(&bench.server.desk);
        assert!(bench.read("heard").ends_with("end\n"));
    });
}

#[test]
fn what_cannot_train_is_refused() {
    runtime().block_on(async {
        let bench = Bench::new(&["a"]).await;
        for (body, code) in [
            (json!({"scans": "reviewed"}), "too_few"),
            (json!({"scans": ["no such scan"]}), "no_such_scan"),
            (json!({"scans": [bench.server.id("b").await]}), "not_reviewed"),
            (json!({"scans": "reviewed", "settings": {"size": 40}}), "bad_settings"),
            (json!({"scans": "reviewed", "settings": {"epochs": 0}}), "bad_settings"),
            (json!({"scans": "reviewed", "settings": {"rate": 1}}), "not_json"),
        ] {
            assert_eq!(bench.start(body.clone()).await.code(), code, "{body}");
        }
        assert_eq!(bench.server.post("/api/rounds/resume", json!({})).await.code(), "no_round");
        assert_eq!(bench.now(), Value::Null);
        assert!(!bench.server.desk.out.join("rounds/1").exists());
        let server = Server::new();
        assert_eq!(server.post("/api/rounds", json!({"scans": "reviewed"})).await.code(), "no_program");
    });
}

#[test]
fn scans_are_held_back_from_all_that_a_network_sees() {
    runtime().block_on(async {
        let bench = Bench::new(&["a", "b"]).await;
        bench.touch("fail");
        bench.start(json!({"scans": "reviewed", "pretrain": true})).await;
        bench.until_rest();
        let held = bench.server.get("/api/rounds").await.json()["held_back"].clone();
        let held: Vec<String> = serde_json::from_value(held).unwrap();
        assert_eq!(held.len(), 1);
        let entry = bench.server.desk.entry(&held[0]).unwrap();
        let mut expected = vec!["a", "b", "c", "d", "e", "f"];
        expected.retain(|name| *name != entry.name);
        assert_eq!(scan_names(bench.server.folder.path()), expected);
        // Of scans that are not reviewed no mask is named.
        let manifest = bench.server.desk.out.join("rounds/1/masks/manifest.csv");
        let masked = std::fs::read_to_string(manifest).unwrap().matches(".nii.gz\",\"").count();
        assert_eq!(masked, 2);
        assert!(bench.server.desk.out.join("rounds/1/masks/labels/reviewed.csv").is_file());
    });
}

#[test]
fn clients_of_monai_label_start_watch_and_stop_rounds() {
    runtime().block_on(async {
        let mut bench = Bench::new(&["a"]).await;
        let guard = Guard::new(HOST.parse().unwrap(), None, &[]).unwrap();
        let password = guard.token().to_owned();
        bench.server.router = monai::routes(monai::Door::new(&bench.server.desk, guard));
        let server = |bench: &Bench| bench.server.router.clone();
        let login = format!("username=Ann&password={password}");
        let ask = async |bench: &Bench, method: &str, path: &str, token: Option<&str>, body: String| {
            let asked = Asked::builder().method(method).uri(path).header("host", HOST);
            let asked = match token {
                Some(token) => asked.header("authorization", format!("bearer {token}")),
                None => asked,
            };
            let response = server(bench).oneshot(asked.body(Body::from(body)).unwrap()).await.unwrap();
            let status = response.status();
            let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
            (status, serde_json::from_slice::<Value>(&bytes).unwrap_or_default())
        };
        let (_, told) = ask(&bench, "POST", "/auth/token", None, login).await;
        let token = told["access_token"].as_str().unwrap().to_owned();
        let token = Some(token.as_str());
        let none = String::new;
        let (_, info) = ask(&bench, "GET", "/info/", token, none()).await;
        assert_eq!(info["trainers"]["round"]["config"], json!({"pretrain": false}));
        assert_eq!(info["train_stats"], json!({}));
        // One reviewed scan is too few, and nothing was ever trained.
        let settings = json!({"pretrain": false, "client_id": "x", "settings": {"epochs": 2}}).to_string();
        let (status, told) = ask(&bench, "POST", "/train/round", token, settings.clone()).await;
        assert_eq!(status, StatusCode::CONFLICT, "{told}");
        for path in ["/train/", "/train/?check_if_running=true"] {
            assert_eq!(ask(&bench, "GET", path, token, none()).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(ask(&bench, "POST", "/train/other", token, none()).await.0, StatusCode::NOT_FOUND);
        assert_eq!(ask(&bench, "DELETE", "/train/", token, none()).await.0, StatusCode::CONFLICT);
        assert_eq!(ask(&bench, "POST", "/train/round", None, none()).await.0, StatusCode::UNAUTHORIZED);
        drop(bench);

        let mut bench = Bench::new(&["a", "b"]).await;
        let guard = Guard::new(HOST.parse().unwrap(), None, &[]).unwrap();
        let login = format!("username=Ann&password={}", guard.token());
        bench.server.router = monai::routes(monai::Door::new(&bench.server.desk, guard));
        let (_, told) = ask(&bench, "POST", "/auth/token", None, login).await;
        let token = told["access_token"].as_str().unwrap().to_owned();
        let token = Some(token.as_str());
        let (status, told) = ask(&bench, "POST", "/train/round", token, settings.clone()).await;
        assert_eq!((status, &told["status"]), (StatusCode::OK, &json!("RUNNING")), "{told}");
        bench.until_tuning();
        assert_eq!(
            ask(&bench, "GET", "/train/?check_if_running=true", token, none()).await.0,
            StatusCode::OK
        );
        let (status, _) = ask(&bench, "POST", "/train/round", token, settings.clone()).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        let (_, info) = ask(&bench, "GET", "/info/", token, none()).await;
        assert_eq!(info["train_stats"]["round"]["total_epochs"], 100);
        let (status, told) = ask(&bench, "DELETE", "/train/", token, none()).await;
        assert_eq!((status, &told["status"]), (StatusCode::OK, &json!("STOPPED")));
        assert!(!told["details"].as_array().unwrap().is_empty());
        bench.until_rest();
        let (_, told) = ask(&bench, "GET", "/train/", token, none()).await;
        assert_eq!((&told["status"], &told["id"]), (&json!("STOPPED"), &json!(1)), "{told}");
        // Starting again goes on with it.
        let (_, told) = ask(&bench, "POST", "/train/round", token, settings).await;
        assert_eq!((&told["status"], &told["id"]), (&json!("RUNNING"), &json!(1)), "{told}");
        bench.touch("fail");
        bench.touch("finish");
        bench.until_rest();
    });
}
