//! The network of a round proposes masks for scans that nobody has drawn on, one after the other, and yields to people.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use polycl_base::{Result, output};
use polycl_nn::device::Device;
use polycl_nn::predict::Predictor;

use super::record::{self, Record};
use super::{Work, choice, tell};
use crate::desk::{Desk, Trained};
use crate::folder::Entry;
use crate::locked::locked;
use crate::queue;
use crate::refusal::Answer;
use crate::{runs, work};

/// Between looks for a scan that nobody has open.
const WAIT: Duration = Duration::from_millis(500);

/// Makes a round's network the one that predicts.
///
/// # Errors
/// As [`Predictor::load`].
pub fn load(desk: &Desk, number: u32) -> Result<Arc<Trained>> {
    let predictor = Predictor::load(&desk.rounds.network(number), Device::Cpu)?;
    let trained = Trained { predictor, name: format!("round {number}"), round: Some(number) };
    Ok(desk.set_trained(trained))
}

/// Proposes masks for all scans that await one; false where it was stopped before.
pub fn to_all(desk: &Arc<Desk>, work: &Work) -> Answer<bool> {
    let trained = match desk.trained().filter(|trained| trained.round == Some(work.number)) {
        Some(trained) => trained,
        None => load(desk, work.number)?,
    };
    let mut tried: BTreeSet<String> = BTreeSet::new();
    loop {
        let Some(record) = desk.rounds.record(work.number) else { return Ok(true) };
        let awaiting = awaiting(desk, &record, &tried)?;
        let done = record.arrived.len() + tried.len();
        locked(&work.progress).advance(done, done + awaiting.len());
        tell(desk);
        if awaiting.is_empty() {
            return Ok(true);
        }
        if work.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        // A scan that somebody has open is left alone until it is closed.
        let free = awaiting.into_iter().find(|entry| !is_open(desk, entry));
        let Some(entry) = free.filter(|_| desk.has_room()) else {
            std::thread::sleep(WAIT);
            continue;
        };
        let proposed = desk.scan(&entry.id).and_then(|scan| work::propose(desk, &scan, &trained));
        match proposed {
            Ok(()) => {}
            Err(refusal) if refusal.code == "busy" => std::thread::sleep(WAIT),
            Err(refusal) => {
                desk.trouble(Some(&entry.id), &format!("{}: {}", entry.name, refusal.message));
                tried.insert(entry.id.clone());
            }
        }
    }
}

fn is_open(desk: &Desk, entry: &Entry) -> bool {
    desk.opened(&entry.id).is_some_and(|scan| scan.holder(&desk.hub).is_some())
}

/// The scans that await a proposal of a round, in the order of the queue.
fn awaiting(desk: &Desk, record: &Record, tried: &BTreeSet<String>) -> Answer<Vec<Arc<Entry>>> {
    let mut found = Vec::new();
    for entry in queue::ordered(desk.entries()) {
        let is_out = record.arrived.contains_key(&entry.id)
            || record.held_back.contains(&entry.id)
            || tried.contains(&entry.id);
        if !is_out && choice::awaits(desk, &entry)? {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Keeps a proposal as it arrived, to be compared with what a person makes of it.
///
/// # Errors
/// [`polycl_base::Kind::Io`]
pub fn keep(desk: &Desk, round: u32, id: &str, mask: &[u16]) -> Result<()> {
    let bytes = runs::encode(mask.iter().copied());
    output::atomically(&file(desk, round, id), |file| std::io::Write::write_all(file, &bytes))
}

/// Notes that a kept proposal of a round is in the document of a scan.
///
/// # Errors
/// [`polycl_base::Kind::Io`]
pub fn arrived(desk: &Desk, round: u32, id: &str, labels: &BTreeSet<u16>) -> Result<()> {
    desk.rounds.change(round, |record| {
        record.arrived.insert(id.to_owned(), labels.clone());
    })
}

/// A proposal as it arrived; nothing where it cannot be read.
pub fn kept(desk: &Desk, round: u32, id: &str, voxels: usize) -> Option<Vec<u16>> {
    runs::decode(&std::fs::read(file(desk, round, id)).ok()?, voxels)
}

fn file(desk: &Desk, round: u32, id: &str) -> PathBuf {
    record::folder(&desk.rounds.folder, round).join("proposals").join(id)
}
