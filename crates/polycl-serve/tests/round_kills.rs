//! Kills (-9) of the server while a round trains: masks and the round are there afterwards, no command goes on unseen, and
//! the network has the same bits as one that nobody has disturbed. A few with the other tests; many by `scripts/kill-serve`.
//! Skipped where there is no `polycl` beside the tests.

#[path = "kills/client.rs"]
#[expect(dead_code, reason = "a part of it is for other tests")]
mod client;
#[path = "rounds/person.rs"]
mod person;
#[path = "kills/server.rs"]
#[expect(dead_code, reason = "nobody asks for memory here")]
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use person::{Person, phantoms};
use serde_json::{Value, json};
use server::Server;

/// The time that a command without its server may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commands of rounds in this folder that are at work.
fn commands(folder: &Path) -> Vec<String> {
    let rounds = folder.join("polycl/rounds").to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&rounds)).collect()
}

/// Waits until no command is at work.
fn until_alone(folder: &Path) {
    let begun = Instant::now();
    while !commands(folder).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "at work without a server: {:?}", commands(folder));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills a server at random moments of a round, and compares what is there with what was before.
fn kill(times: usize, seed: u64) {
    if server::program().is_none() {
        eprintln!("skipped: no polycl beside the tests; cargo test --workspace");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = phantoms(folder.path(), 6, 64, 12);
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let asked =
        json!({"scans": "reviewed", "pretrain": true, "settings": {"size": 32, "epochs": 3, "steps": 12}});
    let mut reviewed: Vec<(String, Vec<u16>)> = Vec::new();
    let mut killed_in = std::collections::BTreeMap::<String, usize>::new();
    let (mut begun, mut done) = (0_u64, 0);
    while done < times {
        let server = Server::start(&images);
        let client = server.client();
        let person = Person { client: &client, images: &images };
        if reviewed.is_empty() {
            client.post("/api/session", &json!({"who": "Ann"})).unwrap();
            reviewed = person.rows().iter().take(2).map(|row| (row.id.clone(), person.review(row))).collect();
        }
        check(&person, &reviewed, begun);
        let now = client.get_json("/api/rounds").unwrap()["now"].clone();
        let (route, body) = match now.is_null() {
            true => ("/api/rounds", &asked),
            false => ("/api/rounds/resume", &json!({})),
        };
        let killer = server.kill_after(Duration::from_millis(20 + random(2500)));
        if client.post(route, body).is_some_and(|(status, _)| status == 200) && now.is_null() {
            begun += 1;
        }
        let mut last = String::from("start");
        while let Some(rounds) = client.get_json("/api/rounds") {
            let now: &Value = &rounds["now"];
            last = now["step"].as_str().unwrap_or("done").to_owned();
            begun = begun.max(rounds["rounds"].as_array().unwrap().len() as u64);
            std::thread::sleep(Duration::from_millis(5));
        }
        killer.join().unwrap();
        *killed_in.entry(last).or_default() += 1;
        // A command ends by itself; the next server does not wait for that.
        if done % 2 == 0 {
            until_alone(&images);
        }
        done += 1;
    }
    let server = Server::start(&images);
    let client = server.client();
    let person = Person { client: &client, images: &images };
    check(&person, &reviewed, begun);
    if !client.get_json("/api/rounds").unwrap()["now"].is_null() {
        client.post("/api/rounds/resume", &json!({})).unwrap();
    }
    let all_done = |rounds: &Value| rounds["now"].is_null().then_some(());
    person.until("the round is done", all_done);
    // Once more, undisturbed: the same masks, the same bits.
    let (status, told) = client.post("/api/rounds", &asked).unwrap();
    assert_eq!(status, 200, "{told}");
    person.until("the undisturbed round is done", all_done);
    let rounds = client.get_json("/api/rounds").unwrap()["rounds"].as_array().unwrap().len();
    let weights = |round: usize| {
        ["encoder", "network"].map(|run| {
            let run = images.join(format!("polycl/rounds/{round}/{run}"));
            std::fs::read(run.join("latest.safetensors")).unwrap()
        })
    };
    let undisturbed = weights(rounds);
    for round in 1..rounds {
        assert!(weights(round) == undisturbed, "round {round} has other weights than one without kills");
    }
    server.stop();
    until_alone(&images);
    eprintln!("{done} kills in {killed_in:?}; {} rounds with the same weights", rounds);
}

/// Holds what is there to what was acknowledged.
fn check(person: &Person<'_>, reviewed: &[(String, Vec<u16>)], begun: u64) {
    let rows = person.rows();
    for (id, truth) in reviewed {
        let row = rows.iter().find(|row| row.id == *id).unwrap();
        assert_eq!(row.state, "reviewed", "{}", row.name);
        assert!(person.mask(id) == *truth, "the mask of {}", row.name);
    }
    let rounds = person.client.get_json("/api/rounds").unwrap();
    assert!(rounds["rounds"].as_array().unwrap().len() as u64 >= begun, "{rounds:#}");
    assert!(rounds["now"].is_null() || rounds["now"]["running"] == false, "{rounds:#}");
}

#[test]
fn a_round_outlives_kills() {
    kill(3, 5);
}

/// `scripts/kill-serve` runs this.
#[test]
#[ignore = "takes minutes"]
fn many_kills_during_rounds() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    kill(number("POLYCL_KILLS", 100) as usize, number("POLYCL_KILL_SEED", 7));
}
