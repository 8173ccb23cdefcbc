//! Rounds of training as MONAI Label's clients start, watch and stop them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use polycl_app::round::Scale;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::desk::Desk;
use crate::export::{Group, Which};
use crate::refusal::{Answer, Refusal};
use crate::rounds;

/// The name of the only trainer.
const TRAINER: &str = "round";
/// The time that a round has to end in order.
const ORDER: Duration = Duration::from_secs(20);

/// What a client sets; the rest of its parameters is about other programs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    pretrain: bool,
    settings: Scale,
}

/// Trainers by name.
pub fn trainers(desk: &Desk) -> Map<String, Value> {
    let mut trainers = Map::new();
    if desk.request.program.is_some() {
        let text = "Reviewed scans train a network, which then proposes masks for all other scans";
        trainers.insert(TRAINER.to_owned(), json!({"description": text, "config": {"pretrain": false}}));
    }
    trainers
}

/// Figures of trainings by trainer: how far the round at work is, and the Dice of the latest network on scans that it had
/// neither seen nor proposed anything for.
pub fn stats(desk: &Desk) -> Map<String, Value> {
    let mut stats = Map::new();
    let table = rounds::table(desk);
    let rounds = table["rounds"].as_array().map_or(&[][..], Vec::as_slice);
    let measured = rounds.iter().rev().find_map(|round| round["unseen"]["dice"].as_f64());
    let now = &table["now"];
    if rounds.is_empty() {
        return stats;
    }
    let [done, of] = ["done", "of"].map(|key| now[key].as_u64().unwrap_or(0));
    stats.insert(
        TRAINER.to_owned(),
        json!({"epoch": done, "total_epochs": of.max(1), "best_metric": measured.unwrap_or(0.0)}),
    );
    stats
}

/// Begins a round with all reviewed scans, or goes on with one of the same scans that was stopped.
///
/// # Errors
/// `running`, `no_such_trainer`, a body that is no JSON; as [`rounds::start`] and [`rounds::resume`].
pub fn start(desk: &Arc<Desk>, trainer: Option<&str>, body: &[u8]) -> Answer<Value> {
    if trainer.is_some_and(|name| name != TRAINER) || trainers(desk).is_empty() {
        return Err(Refusal::missing("no_such_trainer", "There is no such trainer.")
            .hint("choose one of those that /info/ lists"));
    }
    let wanted: Wanted = if body.is_empty() {
        Wanted::default()
    } else {
        serde_json::from_slice(body).map_err(|e| {
            Refusal::new(StatusCode::BAD_REQUEST, "json", format!("The body is not as expected: {e}."))
        })?
    };
    let state = rounds::state(desk);
    if state["running"] == true {
        let message = "A training is at work already.";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "running", message)
            .hint("wait until it is done, or stop it"));
    }
    let scans = Which::Group(Group::Reviewed);
    let asked = rounds::Asked { scans, pretrain: wanted.pretrain, settings: wanted.settings };
    if rounds::goes_on(desk, &asked)? {
        rounds::resume(desk)?;
    } else {
        rounds::start(desk, asked)?;
    }
    status(desk, false)
}

/// Asks the round at work to stop; the next start goes on with it.
///
/// # Errors
/// As [`rounds::stop`].
pub fn stop(desk: &Desk) -> Answer<Value> {
    rounds::stop(desk)?;
    // Clients start the next one at once.
    let until = Instant::now() + ORDER;
    while rounds::state(desk)["running"] == true && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut told = status(desk, false)?;
    told["status"] = json!("STOPPED");
    Ok(told)
}

/// The round at work or the latest one; only one at work `if_running`.
///
/// # Errors
/// `no_training`
pub fn status(desk: &Desk, if_running: bool) -> Answer<Value> {
    let now = rounds::state(desk);
    let is_running = now["running"] == true;
    let table = if if_running { Value::Null } else { rounds::table(desk) };
    let latest = table["rounds"].as_array().and_then(|rounds| rounds.last());
    if !is_running && (if_running || latest.is_none()) {
        return Err(Refusal::missing("no_training", "No training is at work.")
            .hint("draw the organs in some scans, mark these as reviewed, and start one"));
    }
    let status = match (is_running, now.is_null(), now["error"].is_null()) {
        (true, ..) => "RUNNING",
        (_, true, _) => "DONE",
        (_, _, true) => "STOPPED",
        (_, _, false) => "ERROR",
    };
    let step = now["step"].as_str().unwrap_or("done");
    let mut details = vec![format!("step: {step}")];
    details
        .extend(now["lines"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    details.extend(now["error"].as_str().map(str::to_owned));
    let of_latest = |key: &str| latest.map_or(Value::Null, |round| round[key].clone());
    Ok(json!({
        "id": of_latest("round"),
        "status": status,
        "start_ts": of_latest("began"),
        "end_ts": null,
        "details": details,
        "request": {},
    }))
}
