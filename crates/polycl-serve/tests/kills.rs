//! Kills (-9) while a person draws, propagates and reviews: all that was acknowledged is there afterwards. A few with the
//! other tests; many by `scripts/kill-serve`. Fifty clients at once, too.

#[path = "kills/client.rs"]
mod client;
#[path = "kills/server.rs"]
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use client::Client;
use polycl_phantom::{Config, Domain, cohort};
use serde_json::{Value, json};
use server::Server;

const SIDE: usize = 96;
const SLICES: usize = 12;
/// Steps that the server keeps.
const STEPS: usize = 500;

fn phantoms(folder: &Path, count: usize) {
    let config = Config { seed: 3, domain: Domain::A, size: SIDE, slices: Some(SLICES) };
    cohort::write(&config, 0..count, &folder.join("cohort"), &()).unwrap();
}

/// A person's knowledge of what was done to a scan: the mask now, and those before and after it by undo and redo, each with
/// whether the step between took back that the scan is reviewed.
#[derive(Default)]
struct Known {
    mask: Vec<u8>,
    undo: Vec<(Vec<u8>, bool)>,
    redo: Vec<(Vec<u8>, bool)>,
    seq: u64,
    note: String,
    reviewed: bool,
}

/// Something that a person does.
#[derive(Debug, Clone)]
enum Act {
    Stroke {
        z: usize,
        start: usize,
        length: usize,
        label: u8,
    },
    Undo,
    Redo,
    Note(String),
    Review(bool),
    /// Changes the mask in a way that only the server knows.
    Interpolate,
    Propagate,
}

impl Act {
    fn of(random: &mut impl FnMut(usize) -> usize) -> Self {
        match random(20) {
            0..=9 => {
                let length = 1 + random(300);
                let start = random(SIDE * SIDE - length);
                Self::Stroke { z: random(SLICES), start, length, label: 1 + random(2) as u8 }
            }
            10..=12 => Self::Undo,
            13 => Self::Redo,
            14 => Self::Note(format!("note {}", random(1000))),
            15 => Self::Review(random(2) == 0),
            16 | 17 => Self::Interpolate,
            _ => Self::Propagate,
        }
    }

    /// The route, and what it is asked.
    fn asked(&self, seq: u64) -> (&'static str, Value) {
        match self {
            Self::Stroke { z, start, length, label } => (
                "edits",
                json!({"tab": "a", "seq": seq, "plane": "axial", "label": label, "quiet": true,
                       "planes": [{"k": z, "set": [[start, length]]}]}),
            ),
            Self::Undo => ("undo", json!({"tab": "a"})),
            Self::Redo => ("redo", json!({"tab": "a"})),
            Self::Note(note) => ("note", json!({"tab": "a", "note": note})),
            Self::Review(reviewed) => ("review", json!({"tab": "a", "reviewed": reviewed})),
            Self::Interpolate => ("interpolate", json!({"tab": "a", "label": 1})),
            Self::Propagate => ("propagate", json!({"tab": "a", "labels": [1]})),
        }
    }
}

impl Known {
    /// Does in memory what was acknowledged.
    fn take(&mut self, act: &Act, mask_now: impl FnOnce() -> Vec<u8>) {
        self.perform(act, mask_now);
        let surplus = self.undo.len().saturating_sub(STEPS);
        self.undo.drain(..surplus);
    }

    fn perform(&mut self, act: &Act, mask_now: impl FnOnce() -> Vec<u8>) {
        match act {
            Act::Stroke { z, start, length, label } => {
                let first = z * SIDE * SIDE + start;
                let mut mask = self.mask.clone();
                mask[first..first + length].fill(*label);
                if mask != self.mask {
                    self.step(mask);
                }
            }
            Act::Undo => {
                if let Some((before, taken)) = self.undo.pop() {
                    self.redo.push((std::mem::replace(&mut self.mask, before), taken));
                    self.reviewed = taken;
                }
            }
            Act::Redo => {
                if let Some((after, _)) = self.redo.pop() {
                    let before = std::mem::replace(&mut self.mask, after);
                    self.undo.push((before, std::mem::take(&mut self.reviewed)));
                }
            }
            Act::Note(note) => self.note.clone_from(note),
            Act::Review(reviewed) => {
                if !reviewed {
                    // No undoing brings the word again.
                    self.undo.iter_mut().chain(&mut self.redo).for_each(|(_, taken)| *taken = false);
                }
                self.reviewed = *reviewed;
            }
            Act::Interpolate | Act::Propagate => self.step(mask_now()),
        }
    }

    /// Goes a step forth, after which there is nothing to do again.
    fn step(&mut self, mask: Vec<u8>) {
        let before = std::mem::replace(&mut self.mask, mask);
        self.undo.push((before, std::mem::take(&mut self.reviewed)));
        self.redo.clear();
    }
}

struct Person<'a> {
    client: &'a Client,
    scan: String,
}

impl Person<'_> {
    fn state(&self) -> Value {
        self.client.post(&format!("/api/scans/{}/open", self.scan), &json!({"tab": "a"})).unwrap().1
    }

    /// Steps that can be undone.
    fn steps(&self) -> Option<usize> {
        self.client.get_json(&format!("/api/scans/{}", self.scan))?["undo"]
            .as_u64()
            .map(|steps| steps as usize)
    }

    fn mask(&self) -> Option<Vec<u8>> {
        let bytes = self.client.get(&format!("/api/scans/{}/mask", self.scan))?.1;
        let mut mask = Vec::with_capacity(SIDE * SIDE * SLICES);
        for run in bytes.chunks_exact(6) {
            let length = u32::from_le_bytes([run[0], run[1], run[2], run[3]]) as usize;
            mask.resize(mask.len() + length, run[4]);
        }
        assert_eq!(mask.len(), SIDE * SIDE * SLICES);
        Some(mask)
    }

    fn act(&self, act: &Act, seq: u64) -> Option<(u16, Value)> {
        let (route, body) = act.asked(seq);
        self.client.post(&format!("/api/scans/{}/{route}", self.scan), &body)
    }

    /// Waits until no job is at work; false where the server is gone meanwhile.
    fn rest(&self) -> bool {
        loop {
            match self.client.get_json(&format!("/api/scans/{}", self.scan)) {
                None => return false,
                Some(scan) if scan["job"].is_null() => return true,
                Some(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

/// Kills a server at random moments of a person's work, and compares what is there with what was acknowledged.
fn kill(times: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    phantoms(folder.path(), 1);
    let mut state = seed;
    // SplitMix64
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % below as u64) as usize
    };
    let mut known = Known { mask: vec![0; SIDE * SIDE * SLICES], ..Known::default() };
    let (mut done, mut acknowledged, mut unsure) = (0, 0, None::<Act>);
    let mut by_act = std::collections::BTreeMap::<String, usize>::new();
    while done < times {
        let server = Server::start(&folder.path().join("cohort/images"));
        let client = server.client();
        client.post("/api/session", &json!({"who": "Ann"})).unwrap();
        let person = Person { scan: client.first_scan(), client: &client };
        check(&person, &mut known, unsure.take());
        let killer = server.kill_after(Duration::from_millis(20 + random(600) as u64));
        loop {
            let act = Act::of(&mut random);
            let seq = known.seq + 1;
            let answer = person.act(&act, seq);
            let name = format!("{act:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
            let Some((status, told)) = answer else {
                *by_act.entry(name).or_default() += 1;
                unsure = Some(act);
                break;
            };
            match status {
                200 => {}
                // Nothing to undo, nothing to follow: nothing is done.
                409 => continue,
                _ => panic!("{act:?}: {status} {told}"),
            }
            if matches!(act, Act::Stroke { .. }) {
                known.seq = seq;
            }
            if matches!(act, Act::Propagate) && !person.rest() {
                *by_act.entry(name).or_default() += 1;
                unsure = Some(act);
                break;
            }
            if matches!(act, Act::Interpolate | Act::Propagate) {
                let Some((mask, steps)) = person.mask().zip(person.steps()) else {
                    *by_act.entry(name).or_default() += 1;
                    unsure = Some(act);
                    break;
                };
                if steps != known.undo.len() {
                    known.take(&act, || mask);
                }
            } else {
                known.take(&act, Vec::new);
            }
            acknowledged += 1;
        }
        killer.join().unwrap();
        done += 1;
    }
    let server = Server::start(&folder.path().join("cohort/images"));
    let client = server.client();
    check(&Person { scan: client.first_scan(), client: &client }, &mut known, unsure);
    server.stop();
    // The mask for other programs is that of the last moment.
    let mask = folder.path().join("cohort/images/polycl/masks");
    assert!(
        mask.read_dir().unwrap().any(|entry| entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .ends_with(".nii.gz"))
    );
    eprintln!("{done} kills, {acknowledged} acts acknowledged, none lost; killed in {by_act:?}");
}

/// Holds what is there to what was acknowledged. Of the act at which the server was killed nobody knows.
fn check(person: &Person<'_>, known: &mut Known, unsure: Option<Act>) {
    let state = person.state();
    let there = person.mask().unwrap();
    let (undo, redo) = (known.undo.len(), known.redo.len());
    let matches = |known: &Known| {
        there == known.mask
            && state["undo"] == known.undo.len()
            && state["redo"] == known.redo.len()
            && state["note"] == known.note.as_str()
            && state["reviewed"].is_null() != known.reviewed
    };
    if matches(known) {
        if let Some(act @ Act::Stroke { .. }) = &unsure {
            // Sent again, it is done once.
            let (status, told) = person.act(act, known.seq + 1).unwrap();
            assert_eq!(status, 200, "{told}");
            known.seq += 1;
            known.take(act, Vec::new);
            assert!(person.mask().unwrap() == known.mask, "a stroke that was sent again");
        }
        return;
    }
    let act = unsure.unwrap_or_else(|| panic!("lost: {undo} and {redo} steps were known, {state}"));
    known.take(&act, || there.clone());
    if let Act::Stroke { .. } = act {
        known.seq += 1;
        let (_, told) = person.act(&act, known.seq).unwrap();
        assert_eq!(told["again"], true, "{told}");
    }
    let differing = (0..known.mask.len()).filter(|&at| there[at] != known.mask[at]).count();
    let Known { note, reviewed, .. } = &*known;
    assert!(
        matches(known),
        "after {act:?}: {undo} and {redo} steps were known, then {} and {}; {differing} voxels differ; note {note:?}, reviewed {reviewed}; {state}",
        known.undo.len(),
        known.redo.len(),
    );
}

#[test]
fn what_was_acknowledged_outlives_kills() {
    kill(4, 1);
}

/// `scripts/kill-serve` runs this.
#[test]
#[ignore = "takes minutes"]
fn many_kills_of_the_server() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    kill(number("POLYCL_KILLS", 200) as usize, number("POLYCL_KILL_SEED", 7));
}

/// Fifty clients for a minute, three scans open: no error, and memory that stays where it was.
#[test]
#[ignore = "takes a minute"]
fn fifty_clients() {
    let seconds = std::env::var("POLYCL_SECONDS").map_or(60, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    phantoms(folder.path(), 3);
    let server = Server::start(&folder.path().join("cohort/images"));
    let scans: Vec<String> = server.client().scans();
    let before = server.memory();
    let end = Instant::now() + Duration::from_secs(seconds);
    let answers: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50)
            .map(|number| {
                let (client, scan) = (server.client(), scans[number % 3].clone());
                scope.spawn(move || {
                    let (mut fine, mut refused) = (0, 0);
                    for turn in 0.. {
                        if Instant::now() > end {
                            break;
                        }
                        let plane = ["axial/5", "coronal/40", "sagittal/40"][turn % 3];
                        let path = format!("/api/scans/{scan}/plane/{plane}");
                        assert_eq!(client.get(&path).expect("an answer").0, 200);
                        let edit = json!({"tab": format!("t{number}"), "seq": turn, "plane": "axial", "label": 1,
                            "planes": [{"k": turn % SLICES, "set": [[number * 100 + turn % 50, 40]]}]});
                        let (status, told) = client.post(&format!("/api/scans/{scan}/edits"), &edit).expect("an answer");
                        match (status, told["error"].as_str()) {
                            (200, _) => fine += 1,
                            (409, Some("read_only")) => refused += 1,
                            _ => panic!("{status} {told}"),
                        }
                    }
                    (fine, refused)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let [fine, refused] = [answers.iter().map(|a| a.0).sum::<usize>(), answers.iter().map(|a| a.1).sum()];
    let after = server.memory();
    eprintln!("{fine} edits, {refused} refused to readers; memory {before} to {after} MiB");
    assert!(fine > 0 && refused > 0);
    assert!(after < before + 400, "{before} to {after} MiB");
    server.stop();
}
