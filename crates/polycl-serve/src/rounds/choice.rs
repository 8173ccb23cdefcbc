//! The scans of a round: those that train, those that are held back, and those that await a proposal.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::Record;
use crate::desk::Desk;
use crate::document::{Document, Facts, MachineKind};
use crate::export::{Group, Which};
use crate::folder::Entry;
use crate::marks::Mark;
use crate::publish;
use crate::refusal::{Answer, Refusal};

/// One in so many scans that await a proposal gets none.
const SHARE: usize = 4;

/// The reviewed scans on which something is drawn, all or those that are named.
///
/// # Errors
/// `no_such_scan`, `not_reviewed`; what reading a document says.
pub fn reviewed(desk: &Desk, which: &Which) -> Answer<Vec<Arc<Entry>>> {
    let (entries, named) = match which {
        Which::Group(Group::Reviewed | Group::All) => (desk.entries(), false),
        Which::Some(ids) => (ids.iter().map(|id| desk.entry(id)).collect::<Answer<Vec<_>>>()?, true),
    };
    let mut chosen = Vec::new();
    for entry in entries {
        let is_fit = entry.state() == "reviewed"
            && desk.document(&entry)?.is_some_and(|document| {
                document.facts.review.is_some() && !publish::shown(&document).is_empty()
            });
        if is_fit {
            chosen.push(entry);
        } else if named {
            let message = format!("{} is not reviewed, or nothing is drawn on it.", entry.name);
            return Err(
                Refusal::conflict("not_reviewed", message).hint("leave it out, or mark it as reviewed first")
            );
        }
    }
    Ok(chosen)
}

/// The names of the labels that masks show.
///
/// # Errors
/// A refusal where a document cannot be read.
pub fn organs(desk: &Desk, chosen: &[Arc<Entry>]) -> Answer<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in chosen {
        names.extend(desk.document(entry)?.iter().flat_map(publish::shown).map(|(_, name)| name));
    }
    Ok(names)
}

/// The scans for which nothing will be proposed: one in four of those that are not reviewed, at least one where there are
/// two, none of which any network has proposed anything for. Ids are hashes, so their order is by chance and stays.
///
/// # Errors
/// A refusal where a document cannot be read.
pub fn held_back(desk: &Desk, chosen: &[Arc<Entry>]) -> Answer<Vec<Arc<Entry>>> {
    let is_open = |entry: &Arc<Entry>| {
        !["reviewed", "unreadable"].contains(&entry.state()) && chosen.iter().all(|own| own.id != entry.id)
    };
    let open: Vec<Arc<Entry>> = desk.entries().into_iter().filter(is_open).collect();
    let count = if open.len() < 2 { 0 } else { (open.len() / SHARE).max(1) };
    let mut held = Vec::new();
    for entry in open {
        if held.len() == count {
            break;
        }
        if !was_shown(desk, &entry)? && awaits(desk, &entry)? {
            held.push(entry);
        }
    }
    Ok(held)
}

/// The scans on which an encoder may be pre-trained beside those that train: nobody is measured on them unswayed.
pub fn pretraining(desk: &Desk, chosen: &[Arc<Entry>], held_back: &[Arc<Entry>]) -> Vec<Arc<Entry>> {
    let others = desk.entries().into_iter().filter(|entry| {
        !["reviewed", "unreadable"].contains(&entry.state())
            && chosen.iter().chain(held_back).all(|own| own.id != entry.id)
    });
    others.collect()
}

/// The scans that are held back still, by id.
pub fn still_held_back(desk: &Desk, record: &Record) -> BTreeSet<String> {
    let is_open = |id: &&String| desk.entry(id).is_ok_and(|entry| entry.state() != "reviewed");
    record.held_back.iter().filter(is_open).cloned().collect()
}

/// True if the latest round holds a scan back still.
pub fn is_held_back(desk: &Desk, id: &str) -> bool {
    let latest = crate::locked::locked(&desk.rounds.all).last().cloned();
    latest.is_some_and(|record| still_held_back(desk, &record).contains(id))
}

/// True if a network has proposed anything for a scan, now or before somebody undid it.
///
/// # Errors
/// A refusal where a document cannot be read.
pub fn was_shown(desk: &Desk, entry: &Entry) -> Answer<bool> {
    let arrived = |record: &Record| record.arrived.contains_key(&entry.id);
    if entry.label.is_some() || crate::locked::locked(&desk.rounds.all).iter().any(arrived) {
        return Ok(true);
    }
    Ok(desk.document(entry)?.is_some_and(|document| was_predicted(&document)))
}

pub fn was_predicted(document: &Document) -> bool {
    document.facts.shown.kinds().contains(&MachineKind::Predicted)
        || document.facts.machines.kinds().contains(&MachineKind::Predicted)
}

/// True if nobody has drawn on a scan, reviewed it, or given a mask to begin with: a network may propose one.
///
/// # Errors
/// A refusal where a document cannot be read.
pub fn awaits(desk: &Desk, entry: &Entry) -> Answer<bool> {
    if entry.label.is_some() || ["reviewed", "unreadable"].contains(&entry.state()) {
        return Ok(false);
    }
    Ok(desk.document(entry)?.is_none_or(|document| is_untouched(&document.facts)))
}

/// True if all that there is comes from networks that were trained here or elsewhere.
pub fn is_untouched(facts: &Facts) -> bool {
    let blank = |mark: &Mark| matches!(mark, Mark::Unknown | Mark::Empty | Mark::Proposed | Mark::Viewed);
    let machines = facts.machines.kinds();
    facts.review.is_none()
        && machines.iter().all(|kind| *kind == MachineKind::Predicted)
        && facts.marks.values().all(|marks| {
            marks.slices.iter().all(blank) && marks.coronal.is_empty() && marks.sagittal.is_empty()
        })
}
